"""One engine for many tests: starting it takes longer than all of its answers."""

import os

import pytest

# Small on a CPU: vLLM would take most of the memory for its cache, and bind its threads to processors.
os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", "900")
os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")

ENGINE = {"dtype": "float32", "enforce_eager": True, "max_num_batched_tokens": 512, "max_model_len": 512}
ENGINE |= {"max_num_seqs": 64}
# base behind adapters that fill every slot of the engine
SIXTEEN = "L2H4:L0H0:L1H2:L3H4:L0H0+L2H7:L1H0+L1H3+L1H5+L2H1:L2H0:L2H1:L2H2:L2H3:L3H0:L3H1:L3H2:L3H3:L1H6+L1H7:base"


@pytest.fixture(scope="session")
def engine():
    from sprint_lmeval.models.engines.vllm import VLLMPrunedBestOfN

    return VLLMPrunedBestOfN("tiny", head_masks=SIXTEEN, **ENGINE)


@pytest.fixture(scope="module")  # it records what it was asked for
def reference():
    from sprint_lmeval.models.hf import HFPrunedBestOfN

    return HFPrunedBestOfN("tiny", head_masks=SIXTEEN, dtype="float32", device="cpu", batch_size=64)
