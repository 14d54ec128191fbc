"""`python -m sprint_lmeval` is `sprint-lmeval …`, also where its script is not on the path (`pip install --target`)."""

import sys

from sprint_lmeval.cli import main

if __name__ == "__main__":
    sys.exit(main())
