"""The way of the data shows in the imports: each module imports only modules that stand above it in this list."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "sprint_lmeval"
# From the bottom up; a new module takes its place here.
ORDER = """
    sprint_lmeval
    errors
    autoload
    candidates
    encoder
    training
    set_cover
    method
    question_features
    forest
    coverage
    methods
    selector_card
    selector_folder
    selector
    architectures
    pruning
    self_test
    strategies
    stopping
    row_sampling
    rows
    row_cache
    layer_entries
    grouped_attention
    device_rules
    output_head
    passes
    drafts
    question_rows
    token_choice
    shared_reading
    decoding
    fast_way
    plain_generation
    generation
    response_text
    numerals
    extraction
    plain_answers
    grading
    answer_worker
    answer_pool
    answers
    metrics
    tiny
    tiny.families
    tiny.problems
    tiny.train
    fewshot
    documents
    passn_task
    questions
    outcome_files
    outcome_samples
    outcomes
    report
    report.statistics
    report.text
    report.lines
    report.samples
    report.facts
    report.result_files
    report.runs
    report.comparable
    report.rates
    report.scores
    report.leaderboard
    report.figures
    report.curves
    report.heads
    report.head_figures
    report.readme
    report.baseline
    report.gate_metrics
    report.gate_text
    report.gate
    report.page_math
    report.page_texts
    report.page_data
    report.page
    report.report_command
    pretrained
    fingerprint
    adapter_files
    adapters
    store
    kept_judgements
    hf_record
    selector_strategy
    training_matrix
    train_selector
    hf_arguments
    hf_settings
    store_keys
    stored_rows
    lazy_weights
    hf_checks
    hf_requests
    best_of_n
    hf
    adapter_cache
    adapter_test
    engine_rows
    engine_model
    server_client
    tokenizer_model
    server
    vllm_arguments
    vllm_later
    vllm
    tiny.evaluate
    head_listing
    dry_run
    run_command
    sweep
    scoring
    scoring.votes
    scoring.rpc
    scoring.redundancy
    scoring.stored
    scoring.score_files
    scoring.likelihoods
    scoring.rewards
    scoring.score_command
    adapters_command
    cli
    __main__
""".split()
WITHOUT_TORCH = "candidates encoder errors autoload strategies cli tiny tiny.families tiny.problems".split()
FORBIDDEN_THERE = {"torch", "transformers", "lm_eval", "datasets", "accelerate", "numpy"}


def name_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "sprint_lmeval"


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def imports(path: Path, top_level_only: bool = False) -> set[str]:
    """Return the full names of modules that a file imports, inside functions too unless told otherwise."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported_modules(path: Path) -> set[str]:
    """Return which of our modules a file imports, by their names in ORDER."""
    ours = {name.removeprefix("sprint_lmeval.") for name in imports(path) if name.startswith("sprint_lmeval")}
    return ours & set(MODULES)


def test_every_module_has_its_place():
    assert sorted(MODULES) == sorted(ORDER)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_one_way(module):
    above = {name for name in imported_modules(MODULES[module]) if ORDER.index(name) > ORDER.index(module)}
    assert not above, f"{module} imports {', '.join(sorted(above))}, which stand higher"


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_light_modules_import_nothing_heavy(module):
    heavy = {name.partition(".")[0] for name in imports(MODULES[module], top_level_only=True)} & FORBIDDEN_THERE
    assert not heavy, f"{module} imports {', '.join(sorted(heavy))}"


def test_the_check_sees_imports_of_every_kind(tmp_path):
    source = tmp_path / "module.py"
    source.write_text("import sprint_lmeval.hf\ndef f():\n    from sprint_lmeval import cli\n    import torch.nn\n")
    assert imported_modules(source) == {"hf", "cli", "sprint_lmeval"}
    assert "torch.nn" in imports(source) and "torch.nn" not in imports(source, top_level_only=True)


def test_no_python_in_the_folders_named_like_standard_modules():
    """`selectors` is a standard module: a Python file in the folder of that name would break asyncio for everyone."""
    repository = PACKAGE.parent
    found = [path for folder in ("selectors", "tasks") for path in (repository / folder).rglob("*.py")]
    assert found == []
