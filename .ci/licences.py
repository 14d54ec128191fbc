"""List what is installed with this package, each with its version and licence: name, version, licence a line.

python .ci/licences.py              # this package's dependencies, and theirs
python .ci/licences.py --all        # everything in the environment
"""

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution, distributions


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str) -> dict[str, Distribution]:
    """Return the installed distributions that one needs, itself first; extras that are installed count."""
    found, waiting = {}, [name]
    while waiting:
        name = normal(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except PackageNotFoundError:  # of an extra or another platform
            continue
        waiting += [re.match(r"[\w.-]+", requirement)[0] for requirement in found[name].requires or ()]
    return found


def licence(of: Distribution) -> str:
    """Return the SPDX expression, else what the classifiers say, else the first line of the licence field."""
    fields = of.metadata
    classified = [c.rpartition(" :: ")[2] for c in fields.get_all("Classifier") or () if c.startswith("License :: ")]
    lines = (fields.get("License") or "").strip().splitlines() or ["unknown"]
    return fields.get("License-Expression") or ", ".join(classified) or lines[0][:80]


if __name__ == "__main__":
    everything = {normal(d.metadata["Name"]): d for d in distributions()}
    listed = everything if "--all" in sys.argv[1:] else needed("sprint-lmeval")
    for name in sorted(listed):
        print(f"{name:<36} {listed[name].version:<20} {licence(listed[name])}")
