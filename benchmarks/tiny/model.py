"""Measures the embedded model, whole and with each head pruned: weights in, figures.json and the card's tables out.

    python -m benchmarks.tiny.model                    # all 32 heads, 500 test problems: what the card shows
    python -m benchmarks.tiny.model --base-only --split train

Greedy decoding in float32. A problem is solved when the integer after the last "####" is its answer.
"""

import argparse
import hashlib
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.pruning.hooks import head_layout
from sprint_lmeval.tiny import MODEL_FOLDER
from sprint_lmeval.tiny.problems import Problem, problems

ANSWER = re.compile(r"####\s*(-?\d+)")
MAX_NEW_TOKENS = 128
BATCH_SIZE = 256  # rows
FIGURES_START, FIGURES_END = "<!-- figures: written by benchmarks.tiny.model -->", "<!-- end of figures -->"

Solved = dict[Candidate, list[bool]]  # for each candidate, one entry per problem


def load(folder: Path = MODEL_FOLDER) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()  # float32, by its configuration
    return model, AutoTokenizer.from_pretrained(folder)


def final_answer(text: str) -> int | None:
    """The integer after the last "####", or None."""
    found = ANSWER.findall(text)
    return int(found[-1]) if found else None


def single_heads(model: PreTrainedModel) -> list[Candidate]:
    return [Candidate(((i, head),)) for i, layer in enumerate(head_layout(model).layers) for head in range(layer.heads)]


def solve(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Problem],
    candidates: Sequence[Candidate],
) -> Solved:
    """Which problem each candidate solves; candidates share batches."""
    places = {problem.prompt: place for place, problem in enumerate(questions)}
    assert len(places) == len(questions), "a question stands twice in the list"
    rows = [Row(problem.prompt, candidate) for problem in questions for candidate in candidates]
    solved: Solved = {candidate: [False] * len(questions) for candidate in candidates}
    settings = Settings(max_new_tokens=MAX_NEW_TOKENS, batch_size=BATCH_SIZE)
    for row, response in tqdm(
        generate(model, tokenizer, rows, settings), total=len(rows), unit="answer", mininterval=5
    ):
        place = places[row.prompt]
        solved[row.candidate][place] = final_answer(response.text) == questions[place].answer
    return solved


def percent(solved: Sequence[bool]) -> float:
    return round(100 * sum(solved) / len(solved), 1)


def figures(solved: Solved, questions: Sequence[Problem]) -> dict:
    """Percentages of solved problems: whole model, every head, best head, oracle over all, and by subject."""
    heads = {candidate: percent(row) for candidate, row in solved.items() if candidate != BASE}
    best = max(heads, key=heads.get)
    oracle = [any(column) for column in zip(*solved.values(), strict=True)]
    return {
        "questions": len(questions),
        "base": percent(solved[BASE]),
        "best_head": str(best),
        "best_head_solved": heads[best],
        "heads_better_than_base": sum(value > percent(solved[BASE]) for value in heads.values()),
        "oracle_base_and_all_heads": percent(oracle),
        "subjects": {subject: of_subject(solved, questions, subject) for subject in subjects(questions)},
        "heads": {str(candidate): value for candidate, value in heads.items()},
    }


def subjects(questions: Sequence[Problem]) -> list[str]:
    return list(dict.fromkeys(problem.subject for problem in questions))


def of_subject(solved: Solved, questions: Sequence[Problem], subject: str) -> dict:
    chosen = [place for place, problem in enumerate(questions) if problem.subject == subject]
    rows = {candidate: [row[place] for place in chosen] for candidate, row in solved.items()}
    best = max(rows, key=lambda candidate: sum(rows[candidate]))
    oracle = [any(column) for column in zip(*rows.values(), strict=True)]
    return {
        "questions": len(chosen),
        "base": percent(rows[BASE]),
        "best": str(best),
        "best_solved": percent(rows[best]),
        "oracle": percent(oracle),
    }


def table(result: dict) -> str:
    """The figures as the two tables of the card."""
    lines = [
        f"On the first {result['questions']} test problems, greedy, per cent solved:",
        "",
        "| whole model | best single head pruned | heads whose pruning helps | any of whole model and 32 heads |",
        "|---|---|---|---|",
        f"| {result['base']} | {result['best_head_solved']} ({result['best_head']}) "
        f"| {result['heads_better_than_base']} of {len(result['heads'])} | {result['oracle_base_and_all_heads']} |",
        "",
        f"On the first {result['train_questions']} problems of `train` the whole model solves {result['train_base']}.",
        "",
        "| subject | whole model | best candidate of this subject | any |",
        "|---|---|---|---|",
    ]
    for subject, row in result["subjects"].items():
        lines.append(f"| {subject} | {row['base']} | {row['best_solved']} ({row['best']}) | {row['oracle']} |")
    lines += ["", f"Weights: sha256 `{result['weights_sha256']}`."]
    return "\n".join(lines)


def write_card(card: Path, result: dict) -> None:
    """Puts the tables between the two marks of the card."""
    before, _, rest = card.read_text(encoding="utf-8").partition(FIGURES_START)
    _, _, after = rest.partition(FIGURES_END)
    assert after, f"{card} lacks the marks {FIGURES_START} and {FIGURES_END}"
    card.write_text(f"{before}{FIGURES_START}\n{table(result)}\n{FIGURES_END}{after}", encoding="utf-8")


def measure(folder: Path, count: int) -> dict:
    """All figures of the model in `folder`, on the first `count` problems of each split."""
    model, tokenizer = load(folder)
    questions, train = problems("test")[:count], problems("train")[:count]
    solved = solve(model, tokenizer, questions, [BASE, *single_heads(model)])
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    more = {
        "train_questions": len(train),
        "train_base": percent(solve(model, tokenizer, train, [BASE])[BASE]),
        "weights_sha256": digest,
    }
    return figures(solved, questions) | more


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tiny.model", description=__doc__.partition("\n")[0])
    parser.add_argument("--model", type=Path, default=MODEL_FOLDER, help="its folder, where the figures are written")
    parser.add_argument("--questions", type=int, default=500, help="default: %(default)s")
    parser.add_argument("--split", choices=("train", "test"), default="test", help="for --base-only")
    parser.add_argument("--base-only", action="store_true", help="print the whole model's accuracy and write nothing")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="default: %(default)s")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    start = time.monotonic()
    if given.base_only:
        model, tokenizer = load(given.model)
        questions = problems(given.split)[: given.questions]
        solved = solve(model, tokenizer, questions, [BASE])[BASE]
        print(f"{percent(solved)} % of {len(questions)} {given.split} problems solved")
        for subject in subjects(questions):
            own = [right for right, problem in zip(solved, questions, strict=True) if problem.subject == subject]
            print(f"  {subject:10} {percent(own):5}")
    else:
        result = measure(given.model, given.questions)
        (given.model / "figures.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        if (given.model / "README.md").exists():
            write_card(given.model / "README.md", result)
        print(table(result))
    print(f"took {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
