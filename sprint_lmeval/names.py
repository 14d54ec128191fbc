"""Names that users type and several packages read: default model, model arguments, priorities, pages of docs."""

PAPER_MODEL = "Qwen/Qwen2.5-Math-1.5B-Instruct"  # what `pretrained` is where nobody gives it
PRIORITIES = ("prefix", "ratio", "token", "mixed")  # of strategy=branch: which branches come first
MODEL_ARGUMENTS = (  # of the *-pruned-bon models, beside those of the harness's own
    "head_masks",
    "strategy",
    "pool",
    "strategy_seed",
    "first",
    "codes",
    "selector",
    "selector_encoder",
    "selector_check",
    "priority",
    "levels",
    "fill",
    "store",
    "n",
)


def documentation(page: str) -> str:
    """Return where a page is: on the site that the installed package names, else in the repository.

    Args:
        page: its name, such as `report`; empty for the whole.
    """
    from importlib.metadata import PackageNotFoundError, metadata

    try:
        urls = metadata("sprint-lmeval").get_all("Project-URL") or []
    except PackageNotFoundError:  # run from a folder
        urls = []
    site = dict(url.split(", ", 1) for url in urls).get("Documentation")
    return f"{site.rstrip('/')}/{page}" if site else f"docs/{page and page + '.md'} of the repository"
