"""The account: each token that a pass computes is counted once, for what it was computed."""

import json
from dataclasses import asdict

import pytest

from sprint_lmeval.candidates import BASE
from sprint_lmeval.generation.account import CAUSES
from sprint_lmeval.generation.decode import Account, generate
from sprint_lmeval.generation.fast.forward import Passes
from sprint_lmeval.generation.rows import Row, Settings
from tests.shared.decoding_examples import HEADS, prompts
from tests.shared.decoding_examples import plain as plain
from tests.shared.decoding_examples import tiny as tiny


def test_tokens_are_counted_by_the_share_of_the_layers():
    account = Account()
    account.add_pass(10, 0.5)
    account.add("prompt", 7)
    account.add_pass(8, 0.25, share=0.5)
    account.add("single", 2)
    account.add("draft_rejected", 4)
    account.written = 2
    counted = {"padding": 3 + 1, "prompt": 7, "single": 1, "draft_rejected": 2}
    assert account.tokens == dict.fromkeys(CAUSES, 0) | counted
    assert account.passes == {16: (1, 10, 0.5), 8: (1, 4.0, 0.25)}
    assert (account.computed, account.model_s) == (14, 0.75)


def test_the_table_shows_all_of_it():
    account = Account(written=4, total_s=2.0)
    account.add_pass(8, 1.5)
    account.add("single", 6)
    lines = account.table(prefill_rate=8.0).splitlines()
    assert "| single steps | 6 | 1.500 | 75% |" in lines
    assert "| padding | 2 | 0.500 | 25% |" in lines
    assert "| up to 8 | 1 | 8 | 1.50 | 5 |" in lines
    assert lines[-1] == (
        "4 tokens written, 8 computed: 2.00 for each; 4 computed/s (50% of the prefill rate); "
        "2.00 s, 0.50 s of them outside of the model"
    )
    assert Account().table(), "nothing decoded"


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    seen: list[int] = []
    forward = Passes._forward

    def counted(self, cache, tokens, candidates, logits):
        seen.append(len(tokens) * len(tokens[0]))
        return forward(self, cache, tokens, candidates, logits)

    monkeypatch.setattr(Passes, "_forward", counted)
    return seen


def test_every_cause_is_counted(tiny, computed):
    shots = "Question: 1 and 2 and 3 and 4 and 5 and 6 and 7 make 28 of them.\n\n"
    rows = [Row(shots + prompt, c) for prompt in prompts(6) for c in (BASE, *HEADS[::3])]
    greedy = [Row(shots + prompts(1)[0], BASE, given=(80 + i, 90)) for i in range(3)]
    account = Account()
    list(generate(*tiny, [*rows[:2], *greedy], Settings(4)))  # the model is probed by now
    computed.clear()
    found = dict(generate(*tiny, [*rows, *greedy], Settings(70, batch_size=24), account=account))
    assert account.written == sum(response.new_tokens for response in found.values())
    assert all(account.tokens[cause] > 0 for cause in CAUSES), account.tokens
    assert sum(passes for passes, _, _ in account.passes.values()) == len(computed)
    assert account.computed < sum(computed), "passes that start above or end below the last layer count less"
    assert account.computed == pytest.approx(sum(tokens for _, tokens, _ in account.passes.values()))
    kept = account.tokens["reference_kept"] + account.tokens["draft_accepted"] + account.tokens["single"]
    assert kept <= account.written
    assert 0 < account.model_s < account.total_s


def test_generate_is_counted_too(tiny, plain):
    rows, account = [Row(prompt, BASE) for prompt in prompts(3)], Account()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sprint_lmeval.generation.decode.why_not_fast", lambda *args: "not in this test")
        found = dict(generate(*tiny, rows, Settings(70), account=account))
    lengths = [len(tiny[1](row.prompt)["input_ids"]) for row in rows]
    new = [response.new_tokens for response in found.values()]
    assert account.tokens["prompt"] == sum(lengths) and account.tokens["single"] == sum(new) == account.written
    width = max(lengths) * 3 + max(new) * 3
    assert account.computed == width


def test_an_account_comes_back_from_json():
    account = Account(written=3, total_s=1.0)
    account.add_pass(8, 0.5)
    account.add("prompt", 5)
    again = Account.of(json.loads(json.dumps(asdict(account))))
    assert (again.tokens, again.passes, again.table(9.0)) == (account.tokens, account.passes, account.table(9.0))
