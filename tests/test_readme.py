"""The harness's own command line, the README and the pages: what a user types and sees."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.shared.environments import REPOSITORY, Environment, environment_in_use

RUN = "lm_eval --model hf-pruned-bon --tasks tiny_passn --limit 2 --batch_size 32".split()


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    return environment_in_use(tmp_path_factory.mktemp("harness"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            "--model_args pretrained=tiny,head_masks=L7H0",
            "error: candidate L7H0: layer 7 given, the model has layers 0-",
        ),
        ("--model_args pretrained=tiny,head_masks=no/file.txt", "error: .*no/file.txt"),
        ("--model_args pretrained=tiny,strategy=best", "error: strategy=best given, allowed are fixed"),
        (
            "--model_args pretrained=tiny,strategy=sample",
            "error: strategy=sample draws samples, and temperature 0 is given",
        ),
        ("--model_args pretrained=tiny --cache_requests true", "error: --cache_requests given"),
        ("--model_args pretrained=tiny --use_cache cache", "error: --use_cache given"),
        ("--model_args pretrained=tiny --output_path a_file/results", "error: results could not be written"),
    ],
)
def test_a_mistake_ends_in_one_sentence_and_not_in_success(environment, tmp_path, options, sentence):
    (tmp_path / "a_file").write_text("not a folder")
    done = environment.run([*RUN, *options.split()], tmp_path)
    assert done.returncode != 0
    assert re.search(f"^{sentence}", done.stderr, re.MULTILINE), done.stderr[-2000:]
    assert "Traceback" not in done.stderr


def test_run_with_a_configuration_file(environment, tmp_path):
    (tmp_path / "run.yaml").write_text(
        "model: hf-pruned-bon\nmodel_args:\n  pretrained: tiny\n  strategy: fixed\n  head_masks:\n"
        + "".join(f"    - L{layer}H{head}\n" for layer in range(4) for head in range(4))
        + "tasks: [tiny_passn]\nlimit: 2\nbatch_size: 32\n"
    )
    done = environment.run(["lm_eval", "run", "--config", "run.yaml"], tmp_path)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "pass@16" in done.stdout


# ---- the README and the pages ----

PAGES = [REPOSITORY / "docs" / f"{name}.md" for name in ("evaluate", "report", "train")]


def readme_commands() -> list[tuple[str, list[str]]]:
    """Return (command, lines shown below it) of every console block of the README and the pages."""
    found = []
    text = "\n".join(page.read_text(encoding="utf-8") for page in (REPOSITORY / "README.md", *PAGES))
    for block in re.findall(r"^```console\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append((line[2:].split("   #")[0], []))
            elif line.strip():
                found[-1][1].append(line)
    return found


def numbers_shown(lines: list[str]) -> dict[str, float]:
    """Return metric -> value of a harness table."""
    cells = [[c.strip() for c in line.split("|")] for line in lines if line.count("|") > 8]
    return {c[5]: float(c[7]) for c in cells if re.fullmatch(r"[\d.]+", c[7])}


@pytest.fixture(scope="module")
def demo(environment, tmp_path_factory) -> Path:
    """What `make demo` leaves, of two problems."""
    folder = tmp_path_factory.mktemp("demo")
    command = [*RUN, "--model_args", "pretrained=tiny", "--output_path", str(folder), "--log_samples"]
    done = environment.run(command, folder)
    assert done.returncode == 0, done.stderr[-2000:]
    return folder


@pytest.mark.parametrize(
    ("command", "shown"),
    [c for c in readme_commands() if not c[0].startswith(("pip ", "git "))],
    ids=lambda c: str(c)[:60],
)
def test_the_readme_is_true(environment, demo, tmp_path, command, shown):
    if "output/demo" in command:
        shutil.copytree(demo, tmp_path / "output" / "demo")
    done = environment.run(shlex.split(command), tmp_path)
    expected_to_fail = any(line.startswith("error:") for line in shown)
    assert (done.returncode != 0) == expected_to_fail, done.stderr[-2000:]
    table = numbers_shown(shown)
    if table:
        printed = numbers_shown(done.stdout.splitlines())
        assert printed.keys() == table.keys()
        # Another processor adds in another order, which may turn a near-tie in one or two of the forty problems.
        for name, value in table.items():
            assert printed[name] == pytest.approx(value, abs=0.3 if name.startswith("distinct") else 0.051), name
    else:
        said = done.stdout + done.stderr
        assert all(line in said for line in shown)


def test_the_readme_is_short_and_opens_with_what_it_is():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    assert len(text.encode()) <= 12_000
    badges, addresses = r"^\[?!\[.*$", r"\]\([^)]*\)"
    first_screen = re.sub(f"{badges}|{addresses}", "", text, flags=re.MULTILINE)[:2_500]
    assert all(
        said in first_screen for said in ("LM Evaluation Harness", "N = 16", "**For**", "**Not for**", "problems")
    )
    parts = re.findall(r"^## (.+)", text, re.MULTILINE)
    assert all(f"](#{part.lower().replace(',', '').replace(' ', '-')})" in text for part in parts)


def test_the_page_of_methods_shows_the_cards_figures():
    page = (REPOSITORY / "docs" / "methods.md").read_text(encoding="utf-8")
    for name in ("sprint", "top", "cover", "nearest", "logistic", "coverage"):
        folder = REPOSITORY / "selectors" / f"tiny-{name}"
        found = json.loads((folder / "config.json").read_text())["validation"]
        cells = [f"{100 * found[f'pass@{n}']:.1f}" for n in (1, 2, 4, 8, 16)]
        assert f"| `{name}` | {' | '.join(cells)} |" in page
