"""Makes an installed, unmodified lm_eval find this package's models and tasks.

In: nothing; `start_up()` is called by `sprint_lmeval_autoload.pth` each time Python starts (from Python 3.15 on by the
`.start` file of that name, PEP 829). Out: when the harness imports its model registry or its task index, our models and
our task folder are added right after its own; its table shows a few metrics of our tasks. Standard library only, and
almost none of it: every Python process of the environment pays for this file.

lm_eval 0.4.13 has no plugin discovery. Its next release reads entry points for models (declared in pyproject.toml; an
alias that is registered already is left alone there and here), but tasks are still found in folders only.
"""

import os
import sys

MODELS = {
    "hf-pruned-bon": "sprint_lmeval.models.hf:HFPrunedBestOfN",
    "vllm-pruned-bon": "sprint_lmeval.models.engines.vllm:VLLMPrunedBestOfN",
    "server-pruned-bon": "sprint_lmeval.models.engines.server:ServerPrunedBestOfN",
}
SWITCH = "SPRINT_LMEVAL_AUTOLOAD"


def tasks_folder() -> str:
    """The folder with our task YAML: inside the package in a wheel, beside it in the repository."""
    package = os.path.dirname(os.path.abspath(__file__))
    inside = os.path.join(package, "tasks")
    return inside if os.path.isdir(inside) else os.path.join(os.path.dirname(package), "tasks")


def add_models(module) -> None:
    """Register our models as lazy placeholders; runs after `lm_eval.models` has registered its own.

    Registering earlier would leave the harness's registry non-empty, and it would then never load its own models.
    """
    from lm_eval.api.registry import model_registry

    end_as_ours()
    for alias, target in MODELS.items():
        if alias not in model_registry:
            model_registry.register(alias, target=target)


def add_tasks(module) -> None:
    """Let `TaskIndex.build` read our folder right after the harness's own, so that `--include_path` still wins."""
    from pathlib import Path

    build = module.TaskIndex.build
    if hasattr(build, "sprint_lmeval"):
        return
    own, ours = Path(module.__file__).parent, Path(tasks_folder())

    def build_with_ours(paths, *args, **options):
        paths = [Path(path) for path in paths]
        if own in paths and ours not in paths:
            paths.insert(paths.index(own) + 1, ours)
        return build(paths, *args, **options)

    build_with_ours.sprint_lmeval = True
    module.TaskIndex.build = staticmethod(build_with_ours)


def shorten_tables(module) -> None:
    """Let `make_table` print a few metrics of our tasks, in the order of k, and no 22 sorted as text."""
    real = module.make_table
    if hasattr(real, "sprint_lmeval"):
        return

    def make_table(result_dict, column="results", *args, **options):
        from sprint_lmeval.passn.table import shown

        few, sentence = shown(result_dict, column)
        return real(few, column, *args, **options) + (sentence and f"({sentence})\n")

    make_table.sprint_lmeval = True
    module.make_table = make_table


ACTIONS = {"lm_eval.models": add_models, "lm_eval.tasks._index": add_tasks, "lm_eval.utils": shorten_tables}


def act(name: str, module) -> None:
    """Run one action; whatever goes wrong costs one line on stderr, never the user's program."""
    try:
        ACTIONS[name](module)
    except Exception as problem:  # a harness release that is built differently must still run
        print(
            f"sprint-lmeval: could not add itself to {name} ({type(problem).__name__}: {problem}); "
            f"its tasks are in {tasks_folder()} (--include_path), and {SWITCH}=0 switches this hook off.",
            file=sys.stderr,
        )


class Loader:
    """The real loader of one module, followed by our action; everything else is the real loader's."""

    def __init__(self, real, finder) -> None:
        self.real, self.finder = real, finder

    def __getattr__(self, attribute):
        if attribute == "real":  # while being copied or unpickled there is no real loader yet
            raise AttributeError(attribute)
        return getattr(self.real, attribute)

    def create_module(self, spec):
        return self.real.create_module(spec)

    def exec_module(self, module) -> None:
        module.__loader__ = module.__spec__.loader = self.real
        self.real.exec_module(module)
        self.finder.done(module.__name__)
        act(module.__name__, module)


class Finder:
    """A meta-path finder for the modules of ACTIONS; takes itself away when all of them were imported.

    Duck-typed: importing `importlib.abc` for its base class would cost every Python process 20 ms.
    """

    def __init__(self, waiting: set[str]) -> None:
        self.waiting = waiting

    def find_spec(self, name, path=None, target=None):
        if name not in self.waiting:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(name, path, target) if finder is not self and hasattr(finder, "find_spec") else None
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = Loader(spec.loader, self)
                return spec
        return None

    def done(self, name: str) -> None:
        self.waiting.discard(name)
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)


def end_as_ours() -> None:
    """Let our command, and one that names a model of ours, end in one sentence, also while modules are imported."""
    words = getattr(sys, "argv", None) or [""]  # a program with Python inside may have none
    if words[0].endswith("sprint-lmeval") or MODELS.keys() & {word.rpartition("=")[2] for word in words}:
        from sprint_lmeval.errors import show_one_sentence

        show_one_sentence()


def start_up() -> None:
    """Called whenever Python starts: `register()`, unless the user switched it off."""
    if os.environ.get(SWITCH) != "0":
        end_as_ours()
        register()


def register() -> None:
    """Add our models and tasks, now where the harness is imported already, else as soon as it is.

    Also for `sprint-lmeval run` and for notebooks, where start-up files were not read. Calling it twice is harmless.
    """
    for name in ACTIONS:
        if name in sys.modules:
            act(name, sys.modules[name])
    waiting = {name for name in ACTIONS if name not in sys.modules}
    if waiting and not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder(waiting))
