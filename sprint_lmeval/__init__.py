"""sprint-lmeval: an LM Evaluation Harness plugin for best-of-N with pruned attention heads.

Nothing heavy is imported here: the start-up hook imports this package in every Python process of the environment. The
public names are imported when they are asked for.
"""

__version__ = "0.2.0"

_PUBLIC = {  # name -> the module that holds it
    "Candidate": "candidates",
    "parse_candidates": "candidates",
    "prune_heads": "pruning.hooks",
    "generate": "generation.decode",
    "Row": "generation.rows",
    "Response": "generation.rows",
    "Settings": "generation.rows",
    "Store": "store.database",
    "Verdict": "answers.verdicts",
    "check_answer": "answers.verdicts",
    "pass_at_k": "passn.metrics",
    "unbiased_pass_at_k": "passn.metrics",
    "sprint_loss": "selection.methods.sprint_loss",
    "Selector": "selection.selector",
    "OutcomeMatrix": "outcomes.matrix",
}
__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_PUBLIC})
