"""The cache of rows of different lengths: positions, rejected tokens, rows taken out, put in and moved."""

import pytest
import torch
from transformers import GenerationMixin

from sprint_lmeval.generation.fast.kv_cache import GROWTH, RowCache, cache_argument, copied


def written(cache: RowCache, values: list[list[float]]) -> torch.Tensor:
    """Write one number per token into every row; returns the keys that attention sees, [rows, width]."""
    states = torch.tensor(values)[:, None, :, None]  # [rows, 1 head, tokens, 1 dim]
    cache.begin(len(values), len(values[0]))
    keys, again = cache.update(states, states.clone(), 0)
    assert torch.equal(keys, again)
    return keys[:, 0, :, 0]


def test_each_row_goes_on_behind_its_own_last_token():
    cache = RowCache(1, 2)
    written(cache, [[1, 2, 3], [4, 5, 6]])
    cache.lengths += torch.tensor([3, 1])  # the second row rejects two tokens
    assert written(cache, [[7, 8], [9, 10]]).tolist() == [[1, 2, 3, 7, 8], [4, 9, 10, 0, 0]]
    visible = cache.visible()[:, 0].int().tolist()
    assert visible == [[[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]], [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]]]


@torch.inference_mode()
def test_rows_are_taken_out_put_in_and_moved():
    cache = RowCache(1, 3)
    written(cache, [[1, 2], [3, 4], [5, 6]])
    cache.lengths += 2
    row = copied(cache.take(2, 2))
    cache.move(1, 0)
    other = RowCache(1, 2)
    other.put(1, row, 2)
    assert other.lengths.tolist() == [0, 2]
    assert written(other, [[7], [8]]).tolist() == [[7, 0, 0], [5, 6, 8]]
    assert written(cache, [[9], [9], [9]])[0].tolist() == [3, 4, 9]
    row[0][0].zero_()
    assert written(cache, [[9], [9], [9]])[2].tolist() == [5, 6, 9], "what was taken is a copy"


@torch.inference_mode()
def test_it_grows_and_keeps_what_it_has():
    cache = RowCache(1, 1)
    for start in range(0, 3 * GROWTH, 7):
        written(cache, [list(map(float, range(start, start + 7)))])
        cache.lengths += 7
    seen = written(cache, [[0.0]])[0]
    assert seen[:-1].tolist() == list(range(len(seen) - 1))
    assert cache.positions % GROWTH == 0


@torch.inference_mode()
def test_overflown_numbers_do_not_stay_for_the_next_row():
    cache = RowCache(1, 2)
    states = torch.tensor([[1.0, 70000.0], [2.0, 3.0]], dtype=torch.float16)[:, None, :, None]
    cache.begin(2, 2)
    cache.update(states, states.clone(), 0)
    cache.leave([0])
    cache.begin(2, 1)
    keys, _ = cache.update(states[:, :, :1], states[:, :, :1], 0)
    assert keys.isfinite().all()
    assert cache.layers[0].keys[1, 0, :2, 0].tolist() == [2, 3], "the other row is as it was"


@torch.inference_mode()
def test_it_keeps_its_memory_when_rows_become_longer_and_fewer():
    cache = RowCache(1, 0)
    cache.resize(6, GROWTH, 0)
    written(cache, [[float(row), row + 0.5] for row in range(6)])
    cache.lengths += 2
    memory = cache.layers[0].keys.untyped_storage().data_ptr()
    cache.resize(3, 2 * GROWTH, kept=2)
    assert cache.layers[0].keys.untyped_storage().data_ptr() == memory
    assert cache.lengths.tolist() == [2, 2, 0]
    assert written(cache, [[7.0], [8.0], [9.0]]).tolist() == [[0, 0.5, 7], [1, 1.5, 8], [9, 0, 0]]
    cache.resize(6, GROWTH, kept=1)
    assert written(cache, [[7.0]] * 6)[0].tolist() == [0, 0.5, 7]


def test_the_cache_goes_by_the_name_that_a_model_takes(monkeypatch: pytest.MonkeyPatch):
    assert cache_argument(lambda input_ids, cache=None, **kwargs: 0) == "cache"
    assert cache_argument(lambda input_ids, past_key_values=None, **kwargs: 0) == "past_key_values"
    monkeypatch.setattr(GenerationMixin, "prepare_inputs_for_generation", lambda self, cache=None: 0)
    assert cache_argument(lambda *args, **kwargs: 0) == "cache", "a wrapped model does not tell, transformers does"
