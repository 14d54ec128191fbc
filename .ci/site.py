"""Hooks of mkdocs.yml: pages that are made from the code, and links that lead out of docs/.

In: argparse's help of every command, docs/notebooks/tour.ipynb. Out: commands.md, notebooks/tour.md. A link to another
file of the repository leads to REPO_URL where that is known, and is plain text otherwise.
"""

import json
import os
import re
from pathlib import Path

from mkdocs.structure.files import File, Files

REPOSITORY = os.environ.get("REPO_URL", "").rstrip("/")
os.environ["COLUMNS"] = "80"  # width of argparse's help, whatever the terminal


def on_files(files: Files, config) -> Files:
    files.append(File.generated(config, "commands.md", content=commands()))
    notebook = Path(config.docs_dir) / "notebooks/tour.ipynb"
    files.append(File.generated(config, "notebooks/tour.md", content=page_of(json.loads(notebook.read_text("utf-8")))))
    return files


def on_page_markdown(markdown: str, **_) -> str:
    markdown = markdown.replace("(notebooks/tour.ipynb)", "(notebooks/tour.md)")
    return re.sub(r"\[([^\]]+)\]\((?:\.\./)+([^)\s]+)\)", outside, markdown)


def outside(link: re.Match) -> str:
    text, path = link.groups()
    return f"[{text}]({REPOSITORY}/blob/main/{path})" if REPOSITORY else text


def commands() -> str:
    """Return the page of the command line: the help of `sprint-lmeval`, then that of each command."""
    from sprint_lmeval.cli import build_parser

    parser = build_parser()
    (subparsers,) = (action for action in parser._actions if hasattr(action, "choices") and action.dest == "command")
    parts = ["# Command line", helped(parser)]
    for name, command in subparsers.choices.items():
        parts += [f"## sprint-lmeval {name}", helped(command)]
    return "\n\n".join(parts)


def page_of(notebook: dict) -> str:
    """Return a notebook as Markdown: its texts, its code, and what came out as text."""
    parts = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        parts.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            shown = "".join(output.get("text") or data.get("text/plain", ""))
            parts.append("".join(data.get("text/markdown", "")) or f"```text\n{shown.rstrip()}\n```")
    return "\n\n".join(parts)


def helped(parser) -> str:
    return f"```text\n{parser.format_help().rstrip()}\n```"
