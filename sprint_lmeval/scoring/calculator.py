"""`score --with calculator`: the greedy answer, its sums put right by the computer as they are written.

The first false sum of the text gets its true value, what stood behind it goes, and the model writes on greedily; again
until no false sum is left. That is no fair rival of answers that a model computes by itself: it is a bound, of what is
wrong for sums alone.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from sprint_lmeval.answers.equations import first_false_sum
from sprint_lmeval.answers.verdicts import Verdict, judge_many
from sprint_lmeval.errors import InputError
from sprint_lmeval.runs.run import Run
from sprint_lmeval.runs.scores import MethodChoice
from sprint_lmeval.scoring.likelihoods import BaseModel
from sprint_lmeval.scoring.stored import answer_kind, stored_responses
from sprint_lmeval.scoring.votes import AnswerClasses

MOST = 16  # sums that are put right in one answer
BEFORE_VALUE = re.compile(r"\s*(?:\\?\$|€|£)?")  # what stands between `=` and the value, and stays


def put_sums_right(run: Run, classes: Sequence[AnswerClasses], model: BaseModel) -> list[MethodChoice]:
    """Return how many first answers are right once their sums are.

    Raises:
        InputError: the first answers are not greedy ones of the unpruned model, or the file lacks what is needed.
    """
    _refuse_others(run)
    rows, kind = stored_responses(run), answer_kind(run)
    texts = corrected([row.prompt for row in rows], [row.responses[0] for row in rows], run, model)
    judged = judge_many([([text], question.gold, kind) for text, question in zip(texts, run.questions, strict=True)])
    verdicts = [int(judgement.verdicts[0] is Verdict.correct) for judgement in judged]
    settings = {"model": model.name, "arithmetic": "done by the computer: a bound, and no fair rival"}
    return [MethodChoice("calculator", [0] * len(rows), settings, verdicts=verdicts)]


def corrected(prompts: Sequence[str], answers: Sequence[str], run: Run, model: BaseModel) -> list[str]:
    """Return each answer with its false sums put right and what follows written anew, `MOST` times at most."""
    settings, texts = run.facts["settings"], list(answers)
    for _ in range(MOST):
        found = {i: put_right(text) for i, text in enumerate(texts)}
        given = {i: text for i, text in found.items() if text is not None}
        if not given:
            break
        contexts = [prompts[i] + text for i, text in given.items()]
        written = model.continued(contexts, settings["until"] or [], settings["max_new_tokens"])
        for (i, text), more in zip(given.items(), written, strict=True):
            texts[i] = text + more
    return texts


def put_right(text: str) -> str | None:
    """Return the text up to its first false sum, with the true value; None where there is none to put right."""
    found = first_false_sum(text)
    if found is None:
        return None
    at, value = found
    return text[: BEFORE_VALUE.match(text, at).end()] + value


def _refuse_others(run: Run) -> None:
    first = {row[0] for row in run.candidates or []}
    if run.exchangeable or first != {"base"}:
        what = "samples" if run.exchangeable else f"answers of {', '.join(sorted(first)[:3]) or 'unknown candidates'}"
        raise InputError(
            f"{run.samples_path} begins with {what}, and --with calculator goes on with the greedy answer of the "
            "unpruned model: give a run whose first candidate is base, or strategy=sample with first=greedy"
        )
    if type(run.facts["settings"]["max_new_tokens"]) is not int or not all(q.gold for q in run.questions):
        raise InputError(f"{run.path} does not say the limit of new tokens, or its samples hold no gold answers")
