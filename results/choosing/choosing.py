"""The measured part of docs/choosing.md: every method of `sprint-lmeval score` on the same stored responses.

    python results/choosing/choosing.py tiny FOLDER         # runs, judge and scores in FOLDER -> tiny.json here
    python results/choosing/choosing.py qwen FOLDER MODEL   # the same with MODEL, Qwen2.5-Coder-0.5B-Instruct's folder
    python results/choosing/choosing.py                     # rewrites the tables and the figure of docs/choosing.md
    python results/choosing/choosing.py --check             # exit status 1 where the page is not what the files say

The first takes about ten minutes on two cores, the second two hours and more; killed, they go on behind the last run
that was finished. The second asks the problems of questions.json, with SPRINT_DATA_DIR as in the main README. The files
hold means over questions and paired differences to the vote of all N, no texts.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np

from sprint_lmeval.report.figure_style import COLOURS, MARKERS, new_figure, save_figure
from sprint_lmeval.runs.run import Run, read_runs
from sprint_lmeval.runs.safe_text import table_text
from sprint_lmeval.runs.scores import scores_path
from sprint_lmeval.runs.statistics import paired_test

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "choosing.md"
START, END = "<!-- made by results/choosing/choosing.py -->", "<!-- end -->"
QWEN = "qwen2.5-coder-0.5b-instruct"
TITLES = {"tiny": "Embedded model", QWEN: "Qwen2.5-Coder-0.5B-Instruct, GSM8K"}
RUNS = {  # of the embedded model: folder -> its strategy, as in a table, and its options
    "sample": ("samples T 0.6", ["--model_args", "pretrained=tiny,strategy=sample"]),
    "cover": ("cover", ["--model_args", "pretrained=tiny,selector=tiny-cover,store=answers.sqlite"]),
    "sprint": ("SPRINT", ["--model_args", "pretrained=tiny,selector=tiny-sprint,store=answers.sqlite"]),
    "branch": ("branch", ["--model_args", "pretrained=tiny,strategy=branch,priority=ratio,store=answers.sqlite"]),
}
SAMPLED = ["--gen_kwargs", "temperature=0.6,do_sample=true"]
QWEN_RUNS = {  # of the 0.5B: folder -> its strategy, as in a table, its questions, model arguments, sampling
    "sample": ("samples T 0.6", "test", "strategy=sample", ["temperature=0.6", "do_sample=true"]),
    "branch": ("branch, prefix", "test", "strategy=branch,priority=prefix", []),
    "train": ("", "train", "strategy=branch,priority=prefix", []),
}
QWEN_WAYS = "majority,slimsc,agree4,asc,asc0.8,esc,lossless,checked,deepprune"
WAYS = "majority,selector,rpc,confidence16,deepprune,slimsc,agree4,asc,asc0.8,esc,lossless,checked"
GROUPS = (  # of the methods that are shown: one colour each
    ("first", "majority", "selector"),
    ("least perplexity", "log-probability vote", "perplexity vote", "perplexity consistency", "rpc"),
    (
        *("confidence mean vote", "confidence mean top 90 %", "confidence mean best"),
        *("confidence16 lowest vote", "confidence entropy vote"),
    ),
    ("deepprune by size", "deepprune by cluster", "slimsc random", "slimsc diversity"),
    ("agree4", "asc", "asc0.8", "esc", "lossless"),
    ("checked",),
)
SHOWN = tuple(name for group in GROUPS for name in group)


# ---- measuring ----


def tiny(folder: str) -> None:
    """Run the embedded model on 500 problems, N = 16, score the runs, and keep what came of it."""
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    for name, (_, options) in RUNS.items():
        _once(place, name, "tiny_passn", ["--limit", "500", *options, *(SAMPLED if name == "sample" else [])])
    learn = ["--limit", "200", "--model_args", "pretrained=tiny,strategy=sample,n=8", *SAMPLED]
    _once(place, "train", "tiny_train_passn", learn)
    if not (place / "judge").exists():
        _call(place, "sprint-lmeval", "train", "train", "--method", "pairs", "-o", "judge")
    ways = ["--with", WAYS, "--judge", "judge", "--model_args", "pretrained=tiny"]
    _call(place, "sprint-lmeval", "score", *RUNS, *ways)
    keep("tiny", *(f"{place / name}={strategy}" for name, (strategy, _) in RUNS.items()))


def qwen(folder: str, model: str) -> None:
    """Run the 0.5B on 100 test problems and branch on 40 training problems, N = 8; score the runs, keep the figures."""
    place, questions = Path(folder), json.loads((HERE / "questions.json").read_text(encoding="utf-8"))
    place.mkdir(parents=True, exist_ok=True)
    for name, (_, part, strategy, sampling) in QWEN_RUNS.items():
        given = f"pretrained={model},dtype=float32,store=answers.sqlite,n=8,{strategy}"
        options = ["--samples", json.dumps(questions[part]), "--num_fewshot", "3", "--model_args", given]
        options += ["--gen_kwargs", ",".join(["max_gen_toks=256", *sampling])]
        _once(place, name, *questions[part], options)
    if not (place / "judge").exists():
        _call(place, "sprint-lmeval", "train", "train", "--method", "pairs", "-o", "judge")
    _call(place, "sprint-lmeval", "score", "sample", "branch", "--with", QWEN_WAYS, "--judge", "judge")
    likely = ["--model_args", f"pretrained={model},dtype=float32"]  # of samples only: reading costs as much as writing
    _call(place, "sprint-lmeval", "score", "sample", "--with", "rpc,confidence16", *likely)
    keep(QWEN, *(f"{place / name}={QWEN_RUNS[name][0]}" for name in ("sample", "branch")))


def _once(place: Path, name: str, task: str, options: list[str]) -> None:
    if not (place / name / "done").exists():
        more = ["--tasks", task, "--batch_size", "128", "--output_path", name, "--log_samples"]
        _call(place, "lm_eval", "--model", "hf-pruned-bon", *options, *more)
        (place / name / "done").touch()


def _call(place: Path, *command: str) -> None:
    subprocess.run([Path(sys.executable).with_name(command[0]), *command[1:]], cwd=place, check=True)


def keep(name: str, *given: str) -> None:
    """Write NAME.json from the scores beside the samples of some runs, each given as FOLDER=STRATEGY."""
    kept = {}
    for text in given:
        folder, _, strategy = text.rpartition("=")
        (run,) = read_runs([folder]).runs
        kept[strategy] = _figures(run)
    lines = json.dumps({"title": TITLES[name], "runs": kept}, indent=1)
    (HERE / f"{name}.json").write_text(lines + "\n", encoding="utf-8")


def _figures(run: Run) -> dict:
    """Of each method: accuracy, share of Pass@N, answers and tokens of a question, difference to the vote of all."""
    methods = json.loads(scores_path(run.samples_path).read_text(encoding="utf-8"))["methods"]
    vote = np.array(methods["majority"]["correct"])
    everything = float(run.new_tokens.sum(1).mean())
    found = {}
    for name, of in methods.items():
        answers, tokens = (run.n, everything) if name != "first" else (1, float(run.new_tokens[:, 0].mean()))
        gain, _ = paired_test(np.array(of["correct"]), vote)
        figures = {
            "accuracy": of["accuracy"],
            "recovered": of["recovered_of_pass_n"],
            "answers": of.get("answers_used", answers),
            "tokens": of.get("tokens_used", tokens),
            "gain": gain.difference,
            "low": gain.low,
            "high": gain.high,
            "p": gain.p,
        }
        found[name] = {key: round(float(value), 5) for key, value in figures.items()}
        if "merged" in of["settings"]:
            found[name]["merged"] = of["settings"]["merged"]
    solved = float(run.correct.any(1).mean())
    return {"questions": len(run.questions), "n": run.n, "pass_n": round(solved, 5), "methods": found}


# ---- showing ----


def page() -> str:
    """Return docs/choosing.md with its tables made anew."""
    text = PAGE.read_text(encoding="utf-8")
    before, after = text.partition(START)[0], text.partition(END)[2]
    return before + "\n\n".join([START, *(_study(study) for study in studies()), END]) + after


def studies() -> list[dict]:
    return [json.loads((HERE / f"{name}.json").read_text()) for name in TITLES if (HERE / f"{name}.json").exists()]


def _study(study: dict) -> str:
    runs = study["runs"]
    return "\n\n".join([f"### {study['title']}", _in_full(*next(iter(runs.items()))), _side_by_side(runs)])


def _in_full(strategy: str, run: dict) -> str:
    head = ["method", "accuracy", f"of Pass@{run['n']}", "answers", "tokens", "over the majority"]
    lines = [head, *([name, *_cells(run["methods"][name])] for name in SHOWN if name in run["methods"])]
    said = f"{strategy}, {run['questions']} problems, N = {run['n']}; Pass@{run['n']} {100 * run['pass_n']:.1f} %:"
    return f"{said[0].upper()}{said[1:]}\n\n{table_text(lines)}"


def _cells(of: dict) -> list[str]:
    return [
        f"{100 * of['accuracy']:.1f}",
        f"{100 * of['recovered']:.0f} %",
        f"{of['answers']:.1f}",
        f"{of['tokens']:.0f}",
        _gain(of),
    ]


def _gain(of: dict) -> str:
    sure = "**" if of["low"] > 0 or of["high"] < 0 else ""
    return f"{sure}{100 * of['gain']:+.1f}{sure} ({100 * of['low']:+.1f} to {100 * of['high']:+.1f})"


def _side_by_side(runs: dict) -> str:
    """Accuracy and tokens of every strategy, a column each."""
    lines = [["method", *runs], ["Pass@N", *(f"{100 * run['pass_n']:.1f} at {run['n']}" for run in runs.values())]]
    for name in SHOWN:
        of_each = [run["methods"].get(name) for run in runs.values()]
        if any(of_each):
            lines.append([name, *(f"{100 * of['accuracy']:.1f}, {of['tokens']:.0f}" if of else "-" for of in of_each)])
    return f"Accuracy and tokens of a question, all strategies:\n\n{table_text(lines)}"


def draw() -> None:
    """Accuracy over tokens, a panel for each run; the vote of all N and what a perfect choice would reach as lines."""
    panels = [(s["title"], strategy, run) for s in studies() for strategy, run in s["runs"].items()]
    rows, columns = -(-len(panels) // 2), min(len(panels), 2)
    figure, axes = new_figure(5 * columns, 3.4 * rows + 1, rows, columns)
    drawn = {}
    for axis, (title, strategy, run) in zip(np.ravel(axes), panels, strict=False):
        drawn |= _panel(axis, f"{title}: {strategy}", run)
    for axis in np.ravel(axes)[len(panels) :]:
        axis.set_axis_off()
    names = [name for name in SHOWN if name in drawn]
    figure.legend([drawn[name] for name in names], names, loc="outside lower center", ncols=5, fontsize=7)
    save_figure(figure, PAGE.with_suffix(""))


def _panel(axis, title: str, run: dict) -> dict:
    """Draw one run; returns what stands for each method in the legend."""
    axis.axhline(100 * run["pass_n"], color="0.6", linestyle=":", linewidth=1)
    axis.axhline(100 * run["methods"]["majority"]["accuracy"], color="0.6", linewidth=1)
    drawn = {}
    for colour, group in zip(COLOURS, GROUPS, strict=False):
        for marker, name in zip(MARKERS, group, strict=False):
            if name in run["methods"]:
                of = run["methods"][name]
                style = {"color": colour, "marker": marker, "linestyle": "", "markersize": 5, "alpha": 0.8}
                (drawn[name],) = axis.plot(of["tokens"], 100 * of["accuracy"], **style)
    axis.set_xlim(left=0)
    axis.set_title(title, loc="left", fontsize=8)
    axis.set_xlabel("tokens of a question")
    axis.set_ylabel("accuracy, %")
    return drawn


def main(check: bool) -> int:
    new = page()
    if check:
        same = new == PAGE.read_text(encoding="utf-8")
        print(f"docs/choosing.md: {'is what' if same else 'differs from'} the measured files{' say' if same else ''}")
        return int(not same)
    PAGE.write_text(new, encoding="utf-8")
    draw()
    return 0


if __name__ == "__main__":
    ways = {"tiny": tiny, "qwen": qwen}
    if sys.argv[1:2] and sys.argv[1] in ways:
        ways[sys.argv[1]](*sys.argv[2:])
    else:
        sys.exit(main("--check" in sys.argv[1:]))
