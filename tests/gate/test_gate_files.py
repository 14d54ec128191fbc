"""What is committed for the gate: baselines are whole and without texts, workflow and script make the same runs."""

import re
import shlex

import pytest
import yaml

from sprint_lmeval.cli import build_parser
from sprint_lmeval.gate.baseline import LETTERS, read_baseline
from tests.shared.environments import REPOSITORY

BASELINES = sorted((REPOSITORY / "baselines").glob("*.json"))
WORKFLOW = yaml.safe_load((REPOSITORY / ".github/workflows/gate.yml").read_text())
STEPS = {step.get("name"): step for step in WORKFLOW["jobs"]["gate"]["steps"]}


def folded(lines: str) -> set[str]:
    return {" ".join(line.split()) for line in lines.splitlines() if line.strip()}


def test_every_committed_baseline_is_named():
    page = (REPOSITORY / "baselines/README.md").read_text()
    assert BASELINES and all(f"`{path.name}`" in page for path in BASELINES)


@pytest.mark.parametrize("path", BASELINES, ids=lambda path: path.stem)
def test_committed_baselines_hold_no_texts(path):
    runs = read_baseline(path)
    assert all(len(run.questions) >= 20 and run.facts["grader"] for run in runs)
    known = {"id", "hash", "verdicts", "truncated", "majority"}
    lines = [line for line in path.read_text().splitlines() if line.startswith('{"id"')]
    assert len(lines) == sum(len(run.questions) for run in runs)
    for line in lines:
        found = yaml.safe_load(line.rstrip(","))  # JSON is YAML
        assert set(found) <= known and set(found["verdicts"]) <= set(LETTERS)
        assert re.fullmatch(r"[\w/.-]{1,60}", found["id"]) and re.fullmatch(r"[0-9a-f]{64}", found["hash"])


def test_the_workflow_makes_the_runs_that_the_projects_own_gate_makes():
    script = (REPOSITORY / ".ci/gate_runs").read_text()
    runs = {" ".join(line.removeprefix("run ").split()) for line in script.splitlines() if line.startswith("run --")}
    assert folded(WORKFLOW["env"]["RUNS"]) == runs
    assert WORKFLOW["env"]["COMMON"] in " ".join(script.split())
    kept = {
        (run.strategy, run.n, len(run.questions)) for run in read_baseline(REPOSITORY / WORKFLOW["env"]["BASELINE"])
    }
    assert kept == {("selector", 8, 200), ("spread", 8, 200), ("sample", 8, 200)}


def test_the_commands_of_the_workflow_exist():
    commands = [line.strip() for step in STEPS.values() for line in step.get("run", "").splitlines()]
    ours = [shlex.split(line)[1:] for line in commands if line.startswith("sprint-lmeval ")]
    assert [words[0] for words in ours] == ["gate", "report"]
    for words in ours:
        build_parser().parse_args(words)


@pytest.mark.parametrize("page", ["docs/gate.md", "docs/choosing.md", "baselines/README.md"])
def test_the_commands_of_the_pages_exist(page):
    text = (REPOSITORY / page).read_text().replace("\\\n", " ")
    found = re.findall(r"^(?:\$ )?sprint-lmeval ((?:gate|baseline|score|report) .*)$", text, re.MULTILINE)
    assert found
    for line in found:
        build_parser().parse_args(shlex.split(line, comments=True))


def test_report_and_files_are_kept_when_the_gate_fails():
    for name in ("Report", "Keep results and report"):
        assert STEPS[name]["if"] == "${{ !cancelled() }}"
    assert WORKFLOW["permissions"] == {"contents": "read"}


def test_continuous_integration_runs_the_gate_after_the_demo():
    stages = re.search(r"for name in (.* demo .*); do", (REPOSITORY / ".ci/run").read_text())[1].split()
    assert stages[stages.index("demo") + 1] == "gate"
    assert ".ci/gate_runs output/gate" in (REPOSITORY / "Makefile").read_text()
