"""Rows with given answer tokens: the texts of transformers' own `generate`, and what rows share is read once."""

from dataclasses import replace

import pytest
import torch

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation import decode
from sprint_lmeval.generation.decode import Account, generate
from sprint_lmeval.generation.fast.lm_head import steps_of
from sprint_lmeval.generation.fast.trees import scheduler
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.passn.fewshot import tiny_examples
from sprint_lmeval.pruning.hooks import prune_heads
from tests.shared.decoding_examples import fast, prompts
from tests.shared.decoding_examples import plain as plain
from tests.shared.decoding_examples import tiny as tiny

PRUNED = Candidate.parse("L1H2+L3H0")
END = "<|endoftext|>"


def answer(tiny, prompt: str, candidate: Candidate = BASE, length: int = 70) -> tuple[int, ...]:
    found = generate(*tiny, [Row(prompt, candidate)], Settings(length), keep_tokens=True)
    return next(found)[1].tokens


def branches(tiny, prompt: str, candidate: Candidate, indices) -> list[Row]:
    """Return rows that take another token at some indices of the greedy answer: here the next id."""
    tokens = answer(tiny, prompt, candidate)
    return [Row(prompt, candidate, given=(*tokens[:i], 60 + (tokens[i] + 1) % 400)) for i in indices if i < len(tokens)]


def by_transformers(tiny, row: Row, length: int = 70) -> tuple[str, int]:
    model, tokenizer = tiny
    ids = tokenizer(row.prompt)["input_ids"] + list(row.given)
    with prune_heads(model, [row.candidate]):
        output = model.generate(torch.tensor([ids]), max_new_tokens=length - len(row.given), do_sample=False)
    new = output[0, len(ids) :].tolist()
    return tokenizer.decode([*row.given, *new], skip_special_tokens=True), len(new)


@pytest.mark.parametrize("candidate", [BASE, PRUNED])
def test_a_branch_has_the_text_of_transformers(tiny, plain, candidate):
    rows = [row for p in prompts(2) for row in branches(tiny, p, candidate, (0, 1, 5, 9, 14, 22))]
    found = fast(tiny, rows)
    assert found == plain(rows)
    assert {row: (r.text, r.new_tokens) for row, r in found.items()} == {r: by_transformers(tiny, r) for r in rows}


def test_the_beginning_of_its_own_answer_gives_the_answer(tiny, plain):
    prompt = prompts(1)[0]
    tokens = answer(tiny, prompt)
    greedy = fast(tiny, [Row(prompt, BASE)])[Row(prompt, BASE)]
    assert len(tokens) == greedy.new_tokens and tokens[-1] == tiny[1].convert_tokens_to_ids(END)
    rows = [Row(prompt, BASE, given=tokens[:i]) for i in (1, 2, 7, len(tokens) - 1)]
    for found in (fast(tiny, rows), plain(rows)):
        assert {found[row].text for row in rows} == {greedy.text}
        assert [found[row].new_tokens for row in rows] == [len(tokens) - len(row.given) for row in rows]
        assert not any(found[row].truncated for row in rows)


def test_branches_of_branches_several_candidates_and_rows_without_given_tokens(tiny, plain):
    shots = "\n\n".join(f"Question: {e['question']}\nAnswer: {e['solution']}" for e in list(tiny_examples())[:2])
    rows = []
    for prompt in (f"{shots}\n\n{p}" for p in prompts(3)):
        rows += [Row(prompt, BASE), Row(prompt, PRUNED), Row(prompt, Candidate.parse("L2H1"))]
        for candidate in (BASE, PRUNED):
            first = branches(tiny, prompt, candidate, (2, 11))
            rows += first
            tokens = answer(tiny, prompt, candidate)
            other = (*tokens[:2], *range(70, 95))  # parts early, and is long: it needs a longest row of its own
            rows += [Row(prompt, candidate, given=other), Row(prompt, candidate, given=(*other[:-1], 101, 7, 9))]
    found = fast(tiny, rows)
    assert found == plain(rows)
    assert fast(tiny, rows, batch_size=2) == found


def test_what_branches_share_is_read_once(tiny):
    prompt = prompts(1)[0]
    rows, account = branches(tiny, prompt, BASE, range(16)), Account()
    found = dict(generate(*tiny, rows, Settings(70, batch_size=32), account=account))
    assert len(found) == 16
    assert account.tokens["prompt"] <= len(tiny[1](prompt)["input_ids"])
    assert account.tokens["given"] <= max(len(row.given) for row in rows)
    assert account.tokens["reference_kept"] == account.tokens["reference_shared"] == 0


def test_a_whole_answer_is_not_decoded(tiny, plain):
    prompt, end = prompts(1)[0], tiny[1].convert_tokens_to_ids(END)
    tokens = answer(tiny, prompt)
    whole, full = Row(prompt, BASE, given=(*tokens[:3], end)), Row(prompt, BASE, given=tokens[:6])
    for found in (fast(tiny, [whole, full], max_new_tokens=6), plain([whole, full], max_new_tokens=6)):
        text = tiny[1].decode(tokens[:3])
        assert (found[whole].text, found[whole].truncated, found[whole].new_tokens) == (text, False, 0)
        assert (found[full].truncated, found[full].new_tokens) == (True, 0)


def test_the_limit_counts_given_tokens(tiny, plain):
    rows = [Row(prompts(1)[0], BASE, given=answer(tiny, prompts(1)[0])[:i]) for i in (1, 4, 9)]
    for found in (fast(tiny, rows, max_new_tokens=10), plain(rows, max_new_tokens=10)):
        assert [found[row].new_tokens for row in rows] == [9, 6, 1]
        assert all(found[row].truncated for row in rows)
        assert len({found[row].text for row in rows}) == 1


@pytest.mark.parametrize(
    "settings",
    [{"until": (" = ", "####")}, {"generate_arguments": {"repetition_penalty": 1.3}}, {"max_prompt_tokens": 9}],
)
def test_settings(tiny, plain, settings):
    rows = [row for p in prompts(2) for row in branches(tiny, p, BASE, (0, 3, 8))]
    assert fast(tiny, rows, **settings) == plain(rows, **settings)


def test_a_stop_string_may_begin_in_the_given_tokens(tiny, plain):
    prompt = prompts(1)[0]
    tokens, tokenizer = answer(tiny, prompt), tiny[1]
    cut = len(tokens) // 2
    before, text = tokenizer.decode(tokens[:cut]), tokenizer.decode(tokens[:-1])
    stop = text[len(before) - 1 : len(before) + 2]
    row = Row(prompt, BASE, given=tokens[:cut])
    for found in (fast(tiny, [row], until=(stop,)), plain([row], until=(stop,))):
        assert found[row].text == text[: text.index(stop)] and not found[row].truncated


def test_a_given_token_may_complete_a_stop_string(tiny, plain):
    tokens, tokenizer = answer(tiny, prompts(1)[0]), tiny[1]
    text = tokenizer.decode(tokens[:9])
    row = Row(prompts(1)[0], BASE, given=tokens[:9])
    for found in (fast(tiny, [row], until=(text[-2:],)), plain([row], until=(text[-2:],))):
        assert found[row].text == text[: text.index(text[-2:])]
        assert found[row].new_tokens == 0 and not found[row].truncated


def test_samples_go_on_behind_given_tokens(tiny, plain):
    tokens = answer(tiny, prompts(1)[0])
    rows = [Row(prompts(1)[0], BASE, i, seed=i, given=tokens[:4]) for i in range(4)]
    rows += [Row(prompts(1)[0], BASE, i, seed=i, code=i / 4, given=tokens[:4]) for i in range(4)]
    found = fast(tiny, rows, temperature=1.5)
    assert found == plain(rows, temperature=1.5)
    assert len({response.text for response in found.values()}) > 3


class TopOf:
    """Asks for more other tokens of longer prompts; nothing follows."""

    def top(self, row):
        return len(row.prompt) % 5 + 1

    def after(self, row, response):
        return ()


@pytest.mark.parametrize("why_not", [None, "not in this test"])
def test_steps_have_as_many_others_as_their_row_asks_for(tiny, monkeypatch, why_not):
    monkeypatch.setattr(decode, "why_not_fast", lambda *args: why_not)
    rows, top = [Row(prompt, BASE) for prompt in prompts(5)], TopOf()
    assert len({top.top(row) for row in rows}) > 1
    for row, response in generate(*tiny, rows, Settings(9), successors=top):
        assert {len(step.others) for step in response.steps} == {top.top(row)}


def test_steps_take_no_more_logits_at_once_than_there_is_memory_for(tiny, monkeypatch):
    rows, limits, sizes, real = [Row(prompt, BASE) for prompt in prompts(5)], decode.limits_of(tiny[0]), [], steps_of

    def written() -> dict:
        found = generate(*tiny, rows, Settings(9), successors=TopOf())
        return {row: [(step.token, [other for other, _ in step.others]) for step in r.steps] for row, r in found}

    expected = written()
    three = 3 * 4 * tiny[0].config.vocab_size
    monkeypatch.setattr(decode, "limits_of", lambda *_: replace(limits, logits_bytes=three))
    monkeypatch.setattr(scheduler, "steps_of", lambda logits, *of: (sizes.append(len(logits)), real(logits, *of))[1])
    assert written() == expected and max(sizes) == 3
