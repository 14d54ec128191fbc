"""Write where the project lives into what is published: project URLs, README links that work anywhere.

    python .ci/urls.py https://github.com/OWNER/NAME v0.2.0      # the repository, and the tag that links lead to

Changes pyproject.toml and README.md in place; the release workflow runs it in its own checkout. The help texts of an
installed package name the page of the documentation's site from these URLs (`documentation` of sprint_lmeval/names.py).
"""

import re
import sys
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[1]


def site_of(repository: str) -> str:
    """The address at which GitHub shows a repository's pages."""
    owner, name = urlsplit(repository).path.strip("/").split("/")
    return f"https://{owner.lower()}.github.io/{name}/"


def project_urls(repository: str) -> str:
    return (
        f'[project.urls]\nRepository = "{repository}"\nDocumentation = "{site_of(repository)}"\n'
        f'Changelog = "{repository}/blob/main/CHANGELOG.md"\nIssues = "{repository}/issues"\n'
    )


def absolute_links(text: str, repository: str, tag: str) -> str:
    """Return Markdown whose relative links lead into the repository at a tag, those of pictures to the files' bytes."""

    def absolute(found: re.Match) -> str:
        picture, label, link = found.groups()
        if link.startswith("../../"):  # as GitHub resolves them: parts of the repository's site, such as badges
            return f"{picture}[{label}]({repository}/{link.removeprefix('../../')})"
        return f"{picture}[{label}]({repository}/{'raw' if picture else 'blob'}/{tag}/{link})"

    return re.sub(r"(!?)\[((?:!\[[^\]]*\]\([^)]*\)|[^\]\[])*)\]\((?!https?:|#)([^)\s]+)\)", absolute, text)


def main(repository: str, tag: str) -> None:
    repository = repository.rstrip("/").removesuffix(".git")
    pyproject, readme = ROOT / "pyproject.toml", ROOT / "README.md"
    text = pyproject.read_text(encoding="utf-8")
    pyproject.write_text(text.replace("[project.urls]\n", project_urls(repository)), "utf-8")
    text = readme.read_text(encoding="utf-8")
    while (new := absolute_links(text, repository, tag)) != text:  # a picture inside a link
        text = new
    readme.write_text(text, "utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
