"""Two data-parallel engines, the harness's own way over Ray: each its rows, all adapters, the same texts."""

from types import SimpleNamespace

import pytest
import ray

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.vllm import VLLMPrunedBestOfN
from tests.shared.harness_requests import requests
from tests_vllm.conftest import ENGINE, SIXTEEN
from tests_vllm.ties import compare


@pytest.fixture
def cluster():
    """A Ray of this machine that believes in two GPUs; vLLM for the CPU asks for none."""
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


def test_two_replicas_share_the_rows(cluster, reference, tmp_path, monkeypatch):
    lm = VLLMPrunedBestOfN("tiny", head_masks=SIXTEEN, data_parallel_size=2, adapters=str(tmp_path), **ENGINE)
    dealt = []
    generate = type(lm)._model_generate

    def seen(self, requests, **options):
        dealt.append((len(requests), len(self.lora_request)))
        return generate(self, requests, **options)

    monkeypatch.setattr(type(lm), "_model_generate", seen)
    asked = requests(16, 3, max_gen_toks=100)  # three rows of each adapter: an odd one, which is doubled
    expected, answers = reference.generate_until(asked), lm.generate_until(asked)
    compare(reference, [request.args[0] for request in asked], expected, answers).check(48)
    assert dealt == [(64 + 10, 32 + 5)], "the test of adapters comes first, in both"
    assert lm.self_test.effect > 1e-3 and len(lm.self_test.candidates) == 3
    info = lm.get_model_info()["sprint"]
    assert info["engine"]["data_parallel_size"] == 2 and info["engine"]["adapters"] == 15
    assert len(list(tmp_path.iterdir())) == 16, "base has one of zeros on a CPU"


def test_adapters_that_replicas_drop_are_found_out(tmp_path, monkeypatch):
    lm = VLLMPrunedBestOfN("tiny", head_masks="base:L1H2", data_parallel_size=2, adapters=str(tmp_path), **ENGINE)

    def dropped(self, requests, **options):
        same = SimpleNamespace(logprob=-1.0)
        return [
            SimpleNamespace(prompt_token_ids=tokens, prompt_logprobs=[None, *({token: same} for token in tokens[1:])])
            for tokens in requests
        ]

    monkeypatch.setattr(type(lm), "_model_generate", dropped)
    with pytest.raises(InputError, match="the adapter of L1H2 changes nothing in this engine"):
        lm.generate_until(requests(2, 2))
