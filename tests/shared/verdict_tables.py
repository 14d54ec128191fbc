"""Tables of a gold answer, answers that are right and answers that are wrong, judged at once."""

from sprint_lmeval.answers.verdicts import Verdict, judge_many

Table = dict[str, list[tuple[str, list[str], list[str]]]]


def wrongly_judged(rows: list[tuple[str, list[str], list[str]]], kind: str = "math") -> list[tuple[str, str, str]]:
    """(gold, answer, verdict) of every answer whose verdict is not the table's: in a box for `math`, else as it is."""
    frame = "Therefore \\boxed{%s}." if kind == "math" else "%s"
    responses = [[frame.replace("%s", answer) for answer in right + wrong] for _, right, wrong in rows]
    judged = judge_many([(said, row[0], kind) for said, row in zip(responses, rows, strict=True)])
    found = []
    for (gold, right, wrong), judgement in zip(rows, judged, strict=True):
        expected = [Verdict.correct] * len(right) + [Verdict.incorrect] * len(wrong)
        triples = zip(right + wrong, judgement.verdicts, expected, strict=True)
        found += [(gold, answer, verdict.value) for answer, verdict, meant in triples if verdict is not meant]
    return found
