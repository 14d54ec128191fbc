"""How fast many pruned variants are decoded, against the paper's procedure and against one mixed batch after another.

    python -m benchmarks.generation                                            # embedded model, every head
    python -m benchmarks.generation --model FOLDER --dtype bfloat16 --layers 8,12 --questions 16 --max-new-tokens 256 \
        --task gsm8k --chat          # or --shots 3; SPRINT_DATA_DIR as in docs/offline.md

A: for each candidate, `generate` over all questions in batches of 16 with one mask (the paper's procedure).
B: rows of all candidates mixed, in batches of 64, through `generate`.
Each way runs in a process of its own, in turns, `--repeats` times; medians. Prefill: the rate at which the same model
reads prompts, which bounds everything. Memory: the highest resident size of the process. Ours with half the questions
and with half the heads show how cost grows. An account says for what ours and A computed their tokens. With
`--results FILE` every run is written down when it is finished, and an interrupted benchmark goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import asdict
from itertools import islice
from pathlib import Path

DECODING = ("ours", "A", "B", "half-questions", "half-heads")
WAYS = (*DECODING, "prefill")
STOPS = ("\nQuestion:", "<|endoftext|>", "<|im_end|>", "</s>")


def main() -> None:
    options = parser().parse_args()
    if options.only:
        print(json.dumps(measured(options)))
        return
    runs = finished(options, options.ways)
    for turn in range(options.repeats):
        for way in options.ways:
            if len(runs[way]) > turn:
                continue
            runs[way].append(in_a_process(way))
            print(f"{turn + 1}. {way}: {runs[way][-1]['seconds']:.1f} s", file=sys.stderr, flush=True)
            if options.results:
                note(options.results, {"setting": setting(options), "way": way} | runs[way][-1])
    print(report(options, runs))


def setting(options: argparse.Namespace) -> dict:
    """Return what runs must have in common."""
    left_out = ("repeats", "results", "ways", "only", "leave_out", "without")
    return {name: value for name, value in vars(options).items() if name not in left_out}


def note(path: Path, run: dict) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(run) + "\n")


def finished(options: argparse.Namespace, ways: tuple[str, ...]) -> dict[str, list[dict]]:
    """Return the runs of these options and ways that the results file holds."""
    runs: dict[str, list[dict]] = {way: [] for way in ways}
    if options.results and options.results.exists():
        for line in options.results.read_text(encoding="utf-8").splitlines():
            run = json.loads(line)
            if run["setting"] == setting(options) and run["way"] in runs:
                runs[run["way"]].append(run)
    return runs


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--task", choices=("tiny", "gsm8k"), default="tiny")
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--layers", default="all")
    parser.add_argument("--heads", type=int, help="only the first so many heads of each layer")
    parser.add_argument("--max-new-tokens", type=int, default=160)
    parser.add_argument("--shots", type=int, default=0)
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--batch-size", type=int, default=512, help="most rows in flight of ours; memory decides")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", type=listed_ways, default=WAYS, help=f"which of {','.join(WAYS)}; ours and A always")
    parser.add_argument("--results", type=Path, help="file of finished runs (JSON lines)")
    parser.add_argument("--only", choices=WAYS, help=argparse.SUPPRESS)
    return parser


def listed_ways(text: str) -> tuple[str, ...]:
    if unknown := set(text.split(",")) - set(WAYS):
        raise argparse.ArgumentTypeError(f"{', '.join(sorted(unknown))}: allowed are {', '.join(WAYS)}")
    return tuple(way for way in WAYS if way in ("ours", "A", *text.split(",")))


def in_a_process(way: str) -> dict:
    command = [sys.executable, "-m", "benchmarks.generation", *sys.argv[1:], "--only", way]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return json.loads(output.splitlines()[-1])


def measured(options: argparse.Namespace) -> dict:
    """Load, warm up on a few rows, run one way; returns seconds, tokens, texts and memory."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from sprint_lmeval.checkpoints.pretrained import resolve_pretrained
    from sprint_lmeval.generation.account import Account
    from sprint_lmeval.generation.rows import Row, Settings

    folder = resolve_pretrained(options.model)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, options.dtype)).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts, candidates = prompts_of(options, tokenizer), candidates_of(options, model)
    if options.only == "prefill":
        return prefill(model, tokenizer, prompts)
    if options.only == "half-questions":
        prompts = prompts[::2]
    if options.only == "half-heads":
        candidates = candidates[::2]
    rows = [Row(prompt, candidate) for candidate in candidates for prompt in prompts]
    settings = Settings(options.max_new_tokens, STOPS, options.batch_size)
    way = {"A": procedure_of_the_paper, "B": mixed_batches}.get(options.only, ours)
    dict(way(model, tokenizer, rows[:2], settings, Account()))
    account = Account()
    started = time.perf_counter()
    found = dict(way(model, tokenizer, rows, settings, account))
    seconds = time.perf_counter() - started
    texts = [found[row].text for row in rows]
    tokens = sum(response.new_tokens for response in found.values())
    found = {"seconds": seconds, "tokens": tokens, "rows": len(rows), "texts": texts, "memory": peak_memory()}
    account.written, account.total_s = tokens, seconds
    return found | {"made_by": made_by(), "account": asdict(account)}


def prompts_of(options: argparse.Namespace, tokenizer) -> list[str]:
    from sprint_lmeval.passn.fewshot import gsm8k_examples
    from sprint_lmeval.tiny.problems import problems

    if options.task == "tiny":
        return [problem.prompt for problem in problems("train")[: options.questions]]
    with open(os.path.join(os.environ["SPRINT_DATA_DIR"], "gsm8k", "train.jsonl"), encoding="utf-8") as lines:
        questions = [json.loads(line)["question"] for line in islice(lines, options.questions)]
    shots = "".join(
        f"Question: {e['question']}\nAnswer: {e['solution']}\nThe answer is \\boxed{{{e['answer']}}}.\n\n"
        for e in list(gsm8k_examples())[: options.shots]
    )
    if not options.chat:
        return [f"{shots}Question: {question}\nAnswer:" for question in questions]
    ask = "Please reason step by step, and put your final answer within \\boxed{}."
    turns = [[{"role": "user", "content": f"{shots}{question}\n\n{ask}"}] for question in questions]
    return [tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True) for turn in turns]


def candidates_of(options: argparse.Namespace, model) -> list:
    from sprint_lmeval.candidates import BASE, Candidate
    from sprint_lmeval.pruning.hooks import head_layout

    heads = [layer.heads for layer in head_layout(model).layers]
    layers = range(len(heads)) if options.layers == "all" else [int(layer) for layer in options.layers.split(",")]
    return [
        BASE,
        *(Candidate(((x, head),)) for x in layers for head in range(min(heads[x], options.heads or heads[x]))),
    ]


def ours(model, tokenizer, rows, settings, account):
    from sprint_lmeval.generation.decode import generate

    yield from generate(model, tokenizer, rows, settings, account=account)


def procedure_of_the_paper(model, tokenizer, rows, settings, account):
    for candidate in dict.fromkeys(row.candidate for row in rows):
        of_candidate = [row for row in rows if row.candidate == candidate]
        yield from through_generate(model, tokenizer, of_candidate, settings, account, 16)


def mixed_batches(model, tokenizer, rows, settings, account):
    by_length = sorted(rows, key=lambda row: (len(row.prompt), row.prompt))
    yield from through_generate(model, tokenizer, by_length, settings, account, 64)


def through_generate(model, tokenizer, rows, settings, account, batch_size: int):
    """Decode batches that wait for their longest row."""
    from sprint_lmeval.generation import fallback
    from sprint_lmeval.pruning.hooks import head_layout

    fallback.SPAN = settings.max_new_tokens  # one span: nobody leaves a batch
    layout = head_layout(model)
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        encoded = [tokenizer(row.prompt)["input_ids"] for row in batch]
        yield from fallback.generate_batch(model, tokenizer, batch, encoded, settings, layout, account)


def prefill(model, tokenizer, prompts: list[str]) -> dict:
    """Read batches of 16 prompts as `generate` does before its first token."""
    import torch

    batches = [tokenizer(prompts[i : i + 16], return_tensors="pt", padding=True) for i in range(0, len(prompts), 16)]
    seconds, tokens = 0.0, 0
    with torch.inference_mode():
        for number, batch in enumerate([batches[0], *batches]):
            started = time.perf_counter()
            model(**batch.to(model.device), logits_to_keep=1).logits.max().item()
            if number:  # the first one pays for set-up
                seconds += time.perf_counter() - started
                tokens += batch["input_ids"].numel()
    return {"seconds": seconds, "tokens": tokens}


def made_by() -> str:
    """Return the version of the code and what it ran on: runs of one table should agree."""
    import torch

    git = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(git, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
    return f"{commit or 'no repository'}, torch {torch.__version__}, {torch.get_num_threads()} threads"


def peak_memory() -> int:
    """Return bytes: of the GPU where there is one, else of the process."""
    import torch

    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def report(options: argparse.Namespace, runs: dict[str, list[dict]]) -> str:
    seconds = {way: statistics.median(run["seconds"] for run in of_way) for way, of_way in runs.items()}
    rate = {way: runs[way][0]["tokens"] / seconds[way] for way in runs}
    memory = {way: statistics.median(run["memory"] for run in runs[way]) for way in runs if way in DECODING}
    rows, times = runs["ours"][0]["rows"], min(map(len, runs.values()))
    lines = [
        f"{Path(options.model).name}, {options.dtype}: {rows} rows of {options.questions} questions, median of {times}",
        "",
        "| way | rows | seconds (range) | new tokens/s | of prefill rate | peak memory, MB | texts other than A |",
        "|---|---|---|---|---|---|---|",
    ]
    for way in memory:
        share = f"{rate[way] / rate['prefill']:.0%}" if "prefill" in rate else ""
        each = sorted(run["seconds"] for run in runs[way])
        spread = f"{seconds[way]:.1f} ({each[0]:.1f} to {each[-1]:.1f})"
        cells = (runs[way][0]["rows"], spread, f"{rate[way]:.0f}", share, f"{memory[way] / 1e6:.0f}")
        lines.append(f"| {way} | {' | '.join(map(str, cells))} | {other_texts(runs, way)} |")
    if "prefill" in rate:
        lines.append(f"| prefill | | | {rate['prefill']:.0f} | 100% | | |")
    return "\n".join([*lines, "", *conclusions(runs, seconds, memory), *accounts(runs, rate.get("prefill"))])


def accounts(runs: dict[str, list[dict]], prefill_rate: float | None) -> list[str]:
    """Return what the first run of ours and of A computed, where the results have it."""
    from sprint_lmeval.generation.account import Account

    lines = []
    for way in ("ours", "A"):
        if found := runs[way][0].get("account"):
            lines += ["", f"{way}, first run:", "", Account.of(found).table(prefill_rate)]
    return lines


def other_texts(runs: dict[str, list[dict]], way: str) -> str:
    ours, theirs = runs[way][0]["texts"], runs["A"][0]["texts"]
    return str(sum(a != b for a, b in zip(ours, theirs, strict=True))) if len(ours) == len(theirs) else ""


def conclusions(runs: dict, seconds: dict, memory: dict) -> list[str]:
    lines = []
    for way in ("half-questions", "half-heads"):
        if way in runs:
            rows, time, room = (
                f"{a / b:.2f}x"
                for a, b in (
                    (runs["ours"][0]["rows"], runs[way][0]["rows"]),
                    (seconds["ours"], seconds[way]),
                    (memory["ours"], memory[way]),
                )
            )
            lines.append(f"against {way.replace('-', ' the ')}: {rows} the rows, {time} the time, {room} the memory")
    versions = {way: sorted({run.get("made_by", "unknown") for run in runs[way]}) for way in memory}
    if len({tuple(found) for found in versions.values()}) > 1:
        lines += [f"{way} made by {'; '.join(found)}" for way, found in versions.items()]
    lines.append(f"peak memory against the paper's procedure: {memory['ours'] / memory['A']:.2f}x")
    if "B" in seconds:
        lines.append(f"speedup over mixed batches: {seconds['B'] / seconds['ours']:.1f}x")
    return [*lines, f"speedup over the paper's procedure: {seconds['A'] / seconds['ours']:.1f}x"]


if __name__ == "__main__":
    main()
