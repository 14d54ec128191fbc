"""Generation: a row's text is its own, whatever shares its batch; where it stops; and how it is sampled."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.generation.stopping import StopStrings
from sprint_lmeval.pruning.hooks import prune_heads
from sprint_lmeval.tiny import MODEL_FOLDER
from sprint_lmeval.tiny.problems import problems

TIE = 1e-4  # two best logits closer than this may swap places between batches


@pytest.fixture(scope="module")
def tiny():
    model = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(MODEL_FOLDER)


def prompts(count: int) -> list[str]:
    return [p.prompt for p in problems("test")[:count]]


def texts(tiny, rows, **settings) -> dict:
    options = {"max_new_tokens": 60, "batch_size": 16} | settings
    return dict(generate(*tiny, rows, Settings(**options)))


def closest_tie(tiny, row: Row, response) -> float:
    """Return the smallest gap between the two best logits while the row's own tokens are read back."""
    model, tokenizer = tiny
    ids = tokenizer(row.prompt + response.text, return_tensors="pt")["input_ids"]
    with torch.no_grad(), prune_heads(model, [row.candidate]):
        best = model(ids).logits[0].topk(2).values
    return (best[:, 0] - best[:, 1]).min().item()


def test_mixed_rows_equal_each_row_alone(tiny):
    candidates = [BASE, *[Candidate(((layer, head),)) for layer in range(4) for head in (0, 5)]]
    candidates.append(Candidate.parse("L0H1+L2H3+L3H7"))
    rows = [Row(prompt, c) for prompt in prompts(8) for c in candidates]
    mixed = texts(tiny, rows, batch_size=32)
    assert len(mixed) == len(rows)
    differing = [row for row in rows if texts(tiny, [row])[row] != mixed[row]]
    assert all(closest_tie(tiny, row, mixed[row]) < TIE for row in differing)
    assert len(differing) <= 1, f"{len(differing)} near-ties in {len(rows)} rows"


def test_a_row_takes_a_candidate_in_its_notation():
    assert Row("a", "L1H2") == Row("a", Candidate.parse("L1H2"))
    with pytest.raises(ValueError, match="cannot read the candidate 'L1'"):
        Row("a", "L1")


def test_pruning_changes_texts_and_is_gone_afterwards(tiny):
    rows = [Row(prompt, c) for prompt in prompts(4) for c in (BASE, Candidate.parse("L0H0+L0H1+L1H0+L1H1"))]
    before = texts(tiny, rows)
    assert any(before[rows[i]] != before[rows[i + 1]] for i in range(0, len(rows), 2))
    assert texts(tiny, rows) == before
    assert texts(tiny, rows[::2]) == {row: before[row] for row in rows[::2]}


def test_text_equals_plain_transformers_greedy(tiny):
    model, tokenizer = tiny
    for prompt in prompts(5):
        ids = tokenizer(prompt, return_tensors="pt")
        output = model.generate(**ids, max_new_tokens=60, do_sample=False)
        expected = tokenizer.decode(output[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        row = Row(prompt, BASE)
        assert texts(tiny, [row])[row].text == expected


def test_token_limit_is_told(tiny):
    row = Row(prompts(1)[0], BASE)
    full = texts(tiny, [row], max_new_tokens=120)[row]
    assert not full.truncated
    cut = texts(tiny, [row], max_new_tokens=full.new_tokens - 2)[row]
    assert (cut.truncated, cut.new_tokens) == (True, full.new_tokens - 2)
    exact = texts(tiny, [row], max_new_tokens=full.new_tokens)[row]
    assert exact == full


def test_stop_string_ends_one_row_and_not_its_neighbours(tiny):
    rows = [Row(prompt, BASE) for prompt in prompts(6)]
    free = texts(tiny, rows, max_new_tokens=120)
    stop = free[rows[0]].text[4:9]
    stopped = texts(tiny, rows, until=(stop,), max_new_tokens=120)
    for row in rows:
        assert stopped[row].text == free[row].text.split(stop)[0]
        assert not stopped[row].truncated
    assert stopped[rows[0]].new_tokens < free[rows[0]].new_tokens


def test_every_piece_of_a_text_is_found_as_a_stop_string(tiny):
    """Stop strings begin and end inside tokens: none is missed, and none is seen before it is complete."""
    _, tokenizer = tiny
    prompt, written = tokenizer(prompts(1)[0])["input_ids"], tokenizer(" 12 + 7 = 19 apples\n#### 19")["input_ids"]
    text = tokenizer.decode(written)
    for start in range(len(text)):
        for stop in (text[start : start + 1], text[start : start + 3], text[start : start + 9]):
            criteria = StopStrings(tokenizer, [stop], rows=1, prompt_tokens=len(prompt))
            seen = []
            for count in range(1, len(written) + 1):
                criteria(torch.tensor([prompt + written[:count]]), None)
                seen.append(criteria.new_tokens_at_stop[0])
            expected = next(n for n in range(1, len(written) + 1) if stop in tokenizer.decode(written[:n]))
            assert seen[-1] == expected, repr(stop)


def test_a_special_token_ends_a_row_where_the_checkpoint_does_not_know_it(tiny):
    import copy

    model, tokenizer = copy.deepcopy(tiny[0]), copy.deepcopy(tiny[1])
    rows = [Row(prompt, BASE) for prompt in prompts(4)]
    expected = texts(tiny, rows)
    model.generation_config.eos_token_id = None
    end, tokenizer.eos_token = tokenizer.eos_token, None
    assert texts((model, tokenizer), rows, until=(end,)) == expected
    assert all(r.truncated for r in texts((model, tokenizer), rows).values())


def test_a_forced_end_token_of_the_checkpoint_is_not_forced_at_every_span(tiny, monkeypatch):
    import copy

    from sprint_lmeval.generation import fallback

    model = copy.deepcopy(tiny[0])
    model.generation_config.forced_eos_token_id = 0
    monkeypatch.setattr(fallback, "SPAN", 5)
    rows = [Row(prompt, BASE) for prompt in prompts(3)]
    assert texts((model, tiny[1]), rows, max_new_tokens=100) == texts(tiny, rows, max_new_tokens=100)


def test_stop_strings_do_not_look_into_the_prompt(tiny):
    row = Row("Question: apples ####\nAnswer:", BASE)
    assert texts(tiny, [row], until=("Question",))[row].new_tokens > 1


def test_prompts_keep_their_right_end(tiny):
    long, short = Row("nonsense " * 50 + prompts(1)[0], BASE), Row(prompts(1)[0][-20:], BASE)
    tokens = len(tiny[1](short.prompt)["input_ids"])
    cut = texts(tiny, [long], max_prompt_tokens=tokens)[long]
    assert cut.text == texts(tiny, [short])[short].text
    assert cut.cut_tokens == len(tiny[1](long.prompt)["input_ids"]) - tokens


@pytest.mark.parametrize(
    "arguments", [{}, {"min_new_tokens": 40}, {"repetition_penalty": 1.3}, {"no_repeat_ngram_size": 2}]
)
def test_short_spans_change_nothing(tiny, monkeypatch, arguments):
    from sprint_lmeval.generation import fallback

    rows = [Row(prompt, c) for prompt in prompts(5) for c in (BASE, Candidate.parse("L1H1"))]
    expected = texts(tiny, rows, max_new_tokens=90, generate_arguments=arguments)
    monkeypatch.setattr(fallback, "SPAN", 7)
    assert texts(tiny, rows, max_new_tokens=90, generate_arguments=arguments) == expected
    if "min_new_tokens" in arguments:
        assert min(r.new_tokens for r in expected.values()) >= 40


def test_an_empty_prompt_and_one_token_work(tiny):
    rows = [Row("", BASE), Row("Q", BASE)]
    assert set(texts(tiny, rows, max_new_tokens=1)) == set(rows)


def test_seeded_rows_do_not_depend_on_their_batch(tiny):
    rows = [Row(p, BASE, i, seed=100 * i + 7) for p in prompts(3) for i in range(4)]
    together = texts(tiny, rows, temperature=2.0, batch_size=12)
    alone = {row: texts(tiny, [row], temperature=2.0)[row] for row in rows}
    assert together == alone
    assert len({together[row].text for row in rows[:4]}) > 1


def test_low_temperature_is_greedy(tiny):
    greedy, cold = Row(prompts(1)[0], BASE), Row(prompts(1)[0], BASE, 0, seed=5)
    assert texts(tiny, [cold], temperature=1e-4)[cold] == texts(tiny, [greedy])[greedy]


def test_greedy_rows_and_samples_may_be_given_together(tiny):
    rows = [Row(p, BASE, i, seed) for p in prompts(2) for i, seed in enumerate((None, 5, 6))]
    together = texts(tiny, rows, temperature=1.5)
    assert together == {row: texts(tiny, [row], temperature=1.5)[row] for row in rows}
