"""Requests as the harness hands them to a model, and the model that they go to."""

from lm_eval.api.instance import Instance

from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.tiny.problems import problems

GREEDY = {"until": ["\nQuestion:"], "max_gen_toks": 50, "do_sample": False, "temperature": 0.0}


def model(**arguments) -> HFPrunedBestOfN:
    return HFPrunedBestOfN(**{"pretrained": "tiny", "batch_size": 32, "device": "cpu"} | arguments)


def requests(n: int, questions: int = 3, **settings) -> list[Instance]:
    """Return what the harness hands over: each document's one request object, n times in a row."""
    chosen = problems("test")[:questions]
    instances = [
        Instance(
            "generate_until",
            {"question": p.question},
            (p.prompt, GREEDY | settings),
            idx=0,
            metadata=("t", i, n),
            task_name="t",
            doc_id=i,  # lm_eval 0.5 has no default
        )
        for i, p in enumerate(chosen)
    ]
    return [instance for instance in instances for _ in range(n)]


def count_rows(lm: HFPrunedBestOfN) -> list:
    """Let `lm` note every row that it decodes."""
    rows, inner = [], type(lm)._generate

    def counting(*arguments):
        for row, response in inner(lm, *arguments):
            rows.append(row)
            yield row, response

    lm._generate = counting
    return rows
