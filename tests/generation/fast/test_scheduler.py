"""Fast decoding writes what transformers' own `generate` writes, whatever is shared, drafted or skipped on the way."""

import gc

import pytest
import torch

from sprint_lmeval.candidates import BASE, Candidate
from sprint_lmeval.generation.decode import generate
from sprint_lmeval.generation.fast import device_limits, scheduler
from sprint_lmeval.generation.fast.kv_cache import RowCache
from sprint_lmeval.generation.rows import Row, Settings
from sprint_lmeval.passn.fewshot import tiny_examples
from tests.shared.decoding_examples import HEADS, fast, prompts
from tests.shared.decoding_examples import plain as plain
from tests.shared.decoding_examples import tiny as tiny


def passes_of(monkeypatch) -> list[tuple[int, int]]:
    """Record rows and tokens of every forward pass."""
    seen = []
    run = scheduler.Passes._forward

    def counted(self, cache, tokens, candidates, logits):
        seen.append((len(tokens), len(tokens[0])))
        return run(self, cache, tokens, candidates, logits)

    monkeypatch.setattr(scheduler.Passes, "_forward", counted)
    return seen


def test_every_head_writes_its_own_text(tiny, plain):
    rows = [Row(prompt, c) for prompt in prompts(4) for c in (BASE, *HEADS)]
    found = fast(tiny, rows)
    assert found == plain(rows)
    assert len({response.text for response in found.values()}) > 8, "pruning changed nothing"


@pytest.mark.parametrize("batch_size", [1, 3, 200])
def test_slots_for_few_or_many_rows(tiny, plain, batch_size):
    rows = [Row(prompt, c) for prompt in prompts(3) for c in (BASE, *HEADS[::4])]
    assert fast(tiny, rows, batch_size=batch_size) == plain(rows)


def test_a_beginning_that_all_prompts_share_is_read_once(tiny, plain, monkeypatch):
    shots = "\n\n".join(f"Question: {e['question']}\nAnswer: {e['solution']}" for e in list(tiny_examples())[:2])
    rows = [Row(f"{shots}\n\n{prompt}", c) for prompt in prompts(4) for c in (BASE, *HEADS[::3])]
    expected = plain(rows)
    shared = len(tiny[1](shots)["input_ids"])
    seen = passes_of(monkeypatch)
    assert fast(tiny, rows) == expected
    long = [rows_read for rows_read, tokens in seen if tokens >= shared - 2]
    assert 0 < sum(long) <= 1 + len({row.candidate for row in rows}), "the shared beginning was read again"


@pytest.mark.parametrize("cache_bytes", [1, 1 << 20, 4 << 20])
def test_little_memory_for_keys_and_values(tiny, plain, monkeypatch, cache_bytes):
    monkeypatch.setattr(device_limits, "_cpu_cache_bytes", lambda *_: (cache_bytes, 2 * cache_bytes))
    rows = [Row("Question: a b c d e f g h i j k l m n o p\n\n" + p, c) for p in prompts(3) for c in (BASE, *HEADS[:9])]
    assert fast(tiny, rows) == plain(rows)


def test_out_of_memory_goes_on_with_less(tiny, plain, monkeypatch, caplog):
    rows = [Row(prompt, c) for prompt in prompts(4) for c in (BASE, *HEADS[::4])]
    expected, forward, passes = plain(rows), scheduler.Passes._forward, []

    def full(self, cache, tokens, candidates, logits):
        passes.append(len(tokens))
        if len(tokens) > 9:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, cache, tokens, candidates, logits)

    monkeypatch.setattr(scheduler.Passes, "_forward", full)
    assert fast(tiny, rows) == expected
    assert max(passes) > 9 and "out of memory" in caplog.text and "at most 6 in a pass" in caplog.text


def test_other_errors_are_not_taken_for_want_of_memory(tiny, monkeypatch):
    def broken(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    fast(tiny, [Row(prompts(1)[0], BASE)])  # the model is checked by now
    monkeypatch.setattr(scheduler.Passes, "_forward", broken)
    with pytest.raises(RuntimeError, match="shapes cannot"):
        fast(tiny, [Row(prompts(1)[0], BASE)])


def test_rows_outgrow_their_slots(tiny, plain, monkeypatch):
    rows = [Row(prompt, c) for prompt in prompts(12) for c in (BASE, *HEADS[:20])]
    grown, resize = [], RowCache.resize

    def noted(self, slots, positions, kept):
        grown.append(kept and positions > self.positions)
        resize(self, slots, positions, kept)

    monkeypatch.setattr(RowCache, "resize", noted)

    def scant(self, rows):
        return scheduler.rounded_up(max(row.cached for row in rows) + 1)

    monkeypatch.setattr(scheduler.Scheduler, "_positions", scant)
    assert fast(tiny, rows, max_new_tokens=150, batch_size=64) == plain(rows, max_new_tokens=150)
    assert any(grown), "no row outgrew its slot: the test shows nothing"


def test_candidates_of_several_heads_and_layers(tiny, plain):
    names = ("base", "L3H1", "L0H0+L3H7", "L1H1+L1H2", "L2H0+L3H0", "L0H5+L1H5+L2H5")
    rows = [Row(prompt, Candidate.parse(name)) for prompt in prompts(5) for name in names]
    assert fast(tiny, rows) == plain(rows)


def test_without_base_and_with_one_candidate(tiny, plain):
    rows = [Row(prompt, c) for prompt in prompts(3) for c in HEADS[5:16]] + [Row(prompts(5)[4], HEADS[0])]
    assert fast(tiny, rows) == plain(rows)


@pytest.mark.parametrize(
    "settings",
    [
        {"until": ("\nQuestion:", "<|endoftext|>")},
        {"until": (" = ", "####")},
        {"generate_arguments": {"repetition_penalty": 1.2}},
        {"max_new_tokens": 1},
        {"max_new_tokens": 160, "max_prompt_tokens": 20},
        {"think_end_token": "="},
    ],
)
def test_settings(tiny, plain, settings):
    rows = [Row(prompt, c) for prompt in prompts(3) for c in (BASE, *HEADS[::5])]
    assert fast(tiny, rows, **settings) == plain(rows, **settings)


@pytest.mark.parametrize(
    "settings", [{"temperature": 0.3}, {"temperature": 1.5}, {"temperature": 0.9, "top_k": 40, "top_p": 0.95}]
)
def test_samples_are_drawn_from_the_same_numbers(tiny, plain, settings):
    rows = [Row(prompt, BASE, i, seed=1000 * i + 7) for prompt in prompts(4) for i in range(8)]
    rows += [Row(prompts(1)[0], HEADS[3], i, seed=i) for i in range(3)]
    found = fast(tiny, rows, **settings)
    assert found == plain(rows, **settings)
    assert len({response.text for response in found.values()}) > 4


def test_fewer_tokens_are_read_than_written(tiny, monkeypatch):
    """Drafts, shared prompts and shared lower layers pay: forward passes are far fewer than tokens."""
    seen = passes_of(monkeypatch)
    rows = [Row(prompt, c) for prompt in prompts(2) for c in (BASE, *HEADS)]
    found = fast(tiny, rows, batch_size=8)
    written = sum(response.new_tokens for response in found.values())
    assert written / 8 > 1.5 * len(seen), "no better than eight rows, one token at a time"


def test_settings_that_only_generate_knows_go_its_way_and_the_log_says_so(tiny, harness_log):
    rows = [Row(prompt, BASE) for prompt in prompts(2)]
    found = fast(tiny, rows, generate_arguments={"no_repeat_ngram_size": 3})
    assert len(found) == 2
    assert "without shortcuts" in harness_log.text
    assert "no_repeat_ngram_size" in harness_log.text


def test_caches_are_freed_without_a_collection_of_garbage(tiny):
    tokens = tuple(tiny[1]("1 + 2")["input_ids"])
    rows = [
        Row(p, c, given=given) for p in prompts(2) for c in (BASE, *HEADS[:3]) for given in ((), tokens, tokens[:1])
    ]
    gc.collect()
    gc.disable()
    try:
        assert len(fast(tiny, rows)) == len(rows)
        assert not [found for found in gc.get_objects() if type(found) is RowCache]
    finally:
        gc.enable()


def test_rows_come_as_they_are_finished(tiny, monkeypatch):
    seen = passes_of(monkeypatch)
    rows = [Row(prompt, c) for prompt in prompts(6) for c in (BASE, *HEADS[::4])]
    stream = generate(*tiny, rows, Settings(max_new_tokens=70, batch_size=8))
    next(stream)
    at_first = len(seen)
    assert len(list(stream)) == len(rows) - 1
    assert at_first < len(seen) / 2


def test_what_finished_prompts_hold_is_dropped(tiny, monkeypatch):
    begun = []
    begin = scheduler.Scheduler.__init__
    monkeypatch.setattr(
        scheduler.Scheduler, "__init__", lambda self, *a, **k: (begun.append(a), begin(self, *a, **k))[1]
    )
    fast(tiny, [Row(prompt, c) for prompt in prompts(3) for c in (BASE, *HEADS[:4])])
    groups = begun[0][4]
    assert len(groups) == 3
    assert all(g.ngrams.next == {} and g.shared_layers is None and g.reference_row is None for g in groups)
