"""`server-pruned-bon` on a small server of its own (on vLLM's: tests_vllm/test_server.py)."""

import json
import shutil

import pytest
from huggingface_hub.errors import LocalEntryNotFoundError
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from sprint_lmeval.checkpoints.fingerprint import model_fingerprint
from sprint_lmeval.checkpoints.pretrained import fetch_config
from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines import client as server_client
from sprint_lmeval.models.engines import engine_requests as engine_rows
from sprint_lmeval.models.engines.client import Server
from sprint_lmeval.models.engines.engine_requests import Checkpoint, EngineRows
from sprint_lmeval.models.engines.server import ServerPrunedBestOfN
from sprint_lmeval.outcomes.matrix import OutcomeMatrix
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.environments import environment_in_use
from tests.shared.harness_requests import requests
from tests.shared.stub_server import TEXT, StubServer, completion, stub_servers

BASE = {"id": "tiny", "root": "tiny", "parent": None, "max_model_len": 512}


@pytest.fixture
def stub():
    with stub_servers() as start:
        yield start


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(server_client, "PAUSE_S", (0.01, 0.05))


class TinyServer:
    """Answers as a server with the embedded model would: each candidate writes its own name, digit by digit."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.adapters = tokenizer, {"L1H2", "L0H0+L2H7"}
        self.loaded: dict[str, str] = {}

    def cards(self) -> list[dict]:
        return [BASE, *({"id": name, "parent": "tiny"} for name in self.adapters)]

    def text(self, model: str) -> str:
        return f" {model.encode().hex()} "

    def __call__(self, path: str, payload: dict) -> tuple[int, object]:
        if path.endswith("/models"):
            return 200, {"data": self.cards()}
        if path == "/version":
            return 200, {"version": "0.32.0"}
        if path.endswith("load_lora_adapter"):
            self.loaded[payload["lora_name"]] = payload["lora_path"]
            return 200, b"Success"
        if payload["model"] not in {*self.loaded, *self.adapters, "tiny"}:
            return 404, {"error": {"message": "The model does not exist."}}
        if payload.get("prompt_logprobs"):
            value = -sum(payload["model"].encode()) / 100
            return completion(prompt_logprobs=[None, *({str(t): {"logprob": value}} for t in payload["prompt"][1:])])
        tokens = self.tokenizer(self.text(payload["model"]))["input_ids"][: payload["max_tokens"]]
        return completion(token_ids=tokens, stop_reason=None)


@pytest.fixture
def tiny(stub):
    return stub(TinyServer(AutoTokenizer.from_pretrained(MODEL_FOLDER)))


def model(server: StubServer, **arguments) -> ServerPrunedBestOfN:
    return ServerPrunedBestOfN("tiny", **{"base_url": server.url, "head_masks": "base:L1H2:L0H0+L2H7"} | arguments)


def test_each_candidate_asks_for_its_adapter_with_every_setting(tiny):
    lm = model(tiny)
    responses = lm.generate_until(requests(3, max_gen_toks=500))
    assert [r.candidate for r in responses] == ["base", "L1H2", "L0H0+L2H7"] * 3
    for r in responses:
        name = "tiny" if r.candidate == "base" else r.candidate
        assert bytes.fromhex(str(r).strip()).decode() == name and not r.truncated and r.new_tokens > 4
    sent = [payload for path, payload in tiny.asked if payload.get("return_token_ids")]
    assert len(sent) == 9 and all(isinstance(token, int) for payload in sent for token in payload["prompt"])
    for payload in sent:
        kept = {key: payload[key] for key in ("temperature", "top_p", "top_k", "repetition_penalty", "max_tokens")}
        assert kept == {"temperature": 0.0, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_tokens": 500}
        assert payload["stop"][0] == "\nQuestion:" and payload["stop_token_ids"] == [0] and "seed" not in payload
    info = lm.get_model_info()
    assert info["sprint"]["engine"] == {"name": "vllm-server", "model": "tiny", "num_concurrent": 64, "adapters": 2}
    assert info["model_dtype"] == "as served" and info["sprint"]["fingerprint"]


@pytest.mark.parametrize("tokens", [[-1], [10**12], [5] * 41])
def test_token_ids_that_the_model_has_not(tiny, tokens):
    lm = model(tiny)
    lm._server.complete = lambda payload: TEXT | {"token_ids": tokens}
    with pytest.raises(InputError, match=r"returns token ids that pretrained=.* has not, or more than were asked for"):
        lm.generate_until(requests(3, max_gen_toks=40))


def test_an_answer_that_is_broken_off_reaches_no_store(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    lm = model(tiny, store=str(tmp_path / "s.sqlite"), wait=0.2)
    lm._server._call = lambda *_: (200, {"choices": [TEXT | {"finish_reason": "abort", "token_ids": [5]}]})
    with pytest.raises(InputError, match="broke an answer off, finish_reason abort"):
        lm.generate_until(requests(3))
    assert lm.stored.described()["generated"] == 0


def test_base_has_an_adapter_of_zeros_where_adapters_are_made(stub, tmp_path):
    """On a CPU vLLM gives rows without one that of its last slot, which another client may have filled."""
    server = with_adapters(stub, ["base"])
    for strategy, gen in (("base", {}), ("sample", {"temperature": 0.6, "do_sample": True})):
        lm = model(server, head_masks=None, strategy=strategy, adapters=str(tmp_path))
        lm.generate_until(requests(2, 2, **gen))
        assert lm.get_model_info()["sprint"]["engine"]["adapters"] == 0
    assert {payload["model"] for _, payload in server.asked if payload.get("return_token_ids")} == {"base"}


def test_adapters_that_the_server_has_of_another_folder(stub, tmp_path):
    server = with_adapters(stub, ["L1H2", "base"])
    listed = server.answering.cards
    server.answering.cards = lambda: [one | ({"root": "/old/L1H2"} if one["id"] == "L1H2" else {}) for one in listed()]
    assert model(server, head_masks="L1H2").self_test
    ours = f"L1H2@{model_fingerprint('tiny')[:12]}"
    lm = model(server, head_masks="L1H2", adapters=str(tmp_path))
    lm.generate_until(requests(1, 1))
    assert server.answering.loaded == {ours: str(tmp_path / "L1H2")}, "under the fingerprint, beside the other"
    assert server.asked[-1][1]["model"] == ours
    server.answering.cards = lambda: [BASE, {"id": ours, "parent": "tiny", "root": f"/old/{ours}"}]
    with pytest.raises(InputError, match=r"has adapter L1H2@\w+ of /old/L1H2@\w+, and adapters= gives"):
        model(server, head_masks="L1H2", adapters=str(tmp_path))
    server.answering.cards = lambda: [one | {"root": f"{tmp_path}/./{one['id']}"} for one in listed()[1:]] + [BASE]
    assert model(server, head_masks="L1H2", adapters=str(tmp_path)).self_test


def test_the_server_s_path_here(stub, tmp_path, caplog):
    """On this machine it is the server's; of a server elsewhere another folder may have the same name here."""
    other = tmp_path / "other"
    shutil.copytree(MODEL_FOLDER, other)
    weights = load_file(other / "model.safetensors")
    save_file({name: tensor + 0.1 for name, tensor in weights.items()}, other / "model.safetensors", {"format": "pt"})
    server = with_adapters(stub, [])
    server.answering.cards = lambda: [BASE | {"root": str(other)}]
    with pytest.raises(InputError, match=r"has .*/other, which is not pretrained="):
        model(server, head_masks=None, strategy="base")
    lm = ServerPrunedBestOfN.__new__(ServerPrunedBestOfN)
    lm.pretrained, lm._server, lm._known_fingerprint = "tiny", Server("http://gpu7/v1"), lambda: "another"
    for root in (other, tmp_path):  # a model, and a folder without one
        caplog.clear()
        lm._check_same_model(str(root))
        assert f"the server's model is {root}, and pretrained=tiny is given" in caplog.text


def test_limits_and_samples(tiny):
    lm = model(tiny)
    assert all(r.truncated and r.new_tokens == 3 for r in lm.generate_until(requests(3, max_gen_toks=3)))
    sampled = model(tiny, head_masks=None, strategy="sample")
    tiny.asked.clear()
    sampled.generate_until(requests(3, 2, temperature=0.6, do_sample=True, top_p=0.9))
    seeds = {payload["seed"] for _, payload in tiny.asked}
    assert len(seeds) == 6 and {payload["temperature"] for _, payload in tiny.asked} == {0.6}
    assert {payload["top_p"] for _, payload in tiny.asked} == {0.9}


def test_a_store_saves_the_server_every_second_question(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    first, second = (model(tiny, store=str(tmp_path / "s.sqlite")) for _ in range(2))
    texts = [str(r) for r in first.generate_until(requests(3))]
    tiny.asked.clear()
    assert [str(r) for r in second.generate_until(requests(3))] == texts
    assert tiny.asked == [] and second.stored.described()["reused"] == 9
    other = model(tiny, store=str(tmp_path / "s.sqlite"), dtype="bfloat16")
    other.generate_until(requests(3))
    assert other.stored.described()["reused"] == 0, "another dtype, another text"


REFUSED = [
    ({"base_url": None}, "base_url=None given"),
    ({"head_masks": "L1H3"}, "has no adapter L1H3"),
    ({"head_masks": "L9H0"}, "layer 9 given"),
    ({"num_concurrent": 0}, "num_concurrent=0 given"),
    ({"timeout": -1}, "timeout=-1 given"),
    ({"wait": "long"}, "wait=long given"),
    ({"batch_size": 8}, "batch_size given, the server chooses its batches"),
]


@pytest.mark.parametrize(("arguments", "said"), REFUSED)
def test_wrong_arguments_are_one_sentence(tiny, arguments, said):
    with pytest.raises(InputError, match=said) as refusal:
        model(tiny, **arguments)
    assert "\n" not in str(refusal.value)


def with_adapters(stub, heads: list[str]) -> StubServer:
    answering = TinyServer(AutoTokenizer.from_pretrained(MODEL_FOLDER))
    answering.adapters = set(heads)
    server = stub(answering)
    server.answering = answering
    return server


def test_a_selector_chooses_the_adapters_of_each_question(stub):
    from sprint_lmeval.selection.selector import Selector
    from sprint_lmeval.tiny.problems import problems

    heads = [f"L{layer}H{head}" for layer in range(4) for head in range(8)]
    lm = model(with_adapters(stub, heads), head_masks=None, selector="tiny-coverage")
    responses = lm.generate_until(requests(16, 4))
    ranked = Selector.from_pretrained("tiny-coverage").rank([p.question for p in problems("test")[:4]], n=16)
    assert [r.candidate for r in responses] == [str(candidate) for of_one in ranked for candidate in of_one]
    assert len({tuple(of_one) for of_one in ranked}) > 1, "questions have candidates of their own"
    for r in responses:
        assert bytes.fromhex(str(r).strip()).decode() == ("tiny" if r.candidate == "base" else r.candidate)


def test_a_sweep_on_a_server(stub, tmp_path):
    heads = [f"L1H{head}" for head in range(8)]
    server = with_adapters(stub, heads)
    arguments = f"pretrained=tiny,base_url={server.url},num_concurrent=4"
    options = "--tasks tiny_train_passn --layers 1 --questions 3 -o heads.parquet".split()
    environment = environment_in_use(tmp_path / "harness")
    environment.variables["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    command = ["sprint-lmeval", "sweep", "--model", "server-pruned-bon", "--model_args", arguments, *options]
    done = environment.run(command, tmp_path)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "3 questions x 9 candidates (27 answers generated, 0 from heads.answers.sqlite)" in done.stdout
    asked = [payload["model"] for path, payload in server.asked if payload.get("return_token_ids")]
    assert sorted(asked) == sorted(["tiny", *heads] * 3)
    assert OutcomeMatrix.load(tmp_path / "heads.parquet").complete


def test_given_continuations_are_refused(tiny):
    with pytest.raises(InputError, match="which a server is not asked for: use vllm-pruned-bon or hf-pruned-bon"):
        model(tiny).loglikelihood([])


def test_adapters_that_change_nothing_are_found_out(tiny, monkeypatch):
    monkeypatch.setattr(ServerPrunedBestOfN, "_scores", lambda self, tokens, candidate: [-1.0] * (len(tokens) - 1))
    with pytest.raises(InputError, match=r"the adapter of L0H0\+L2H7 changes nothing in this engine"):
        model(tiny)


def test_adapters_that_are_one_and_the_same_are_found_out(tiny, monkeypatch):
    def scores(self, tokens, candidate):
        return [-1.0 - bool(candidate.heads)] * (len(tokens) - 1)

    monkeypatch.setattr(ServerPrunedBestOfN, "_scores", scores)
    with pytest.raises(InputError, match=r"the adapters of L0H0\+L2H7 and L1H2 do the same in this engine"):
        model(tiny)


def test_generation_settings_of_a_checkpoint_that_has_none(tmp_path, monkeypatch):
    """As transformers: those in its configuration. What the hub does not tell is not taken for none."""
    folder = tmp_path / "model"
    shutil.copytree(MODEL_FOLDER, folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"repetition_penalty": 1.3, "eos_token_id": [7, 9]}))
    found = Checkpoint.of(str(folder), fetch_config(str(folder)), trust_remote_code=True).generation_config
    assert (found.repetition_penalty, found.eos_token_id) == (1.3, [7, 9])
    assert "trust_remote_code" not in found.to_diff_dict()

    def away(*args, **kwargs):
        raise OSError("We couldn't connect") from LocalEntryNotFoundError("no connection")

    monkeypatch.setattr(engine_rows.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(engine_rows.GenerationConfig, "from_pretrained", away)
    with pytest.raises(InputError, match=r"generation settings of some/model could not be fetched \(We couldn't conn"):
        Checkpoint.of("some/model", fetch_config(str(folder)))


def test_rows_go_candidate_by_candidate(tiny):
    from sprint_lmeval.candidates import parse_candidates
    from sprint_lmeval.generation.rows import Row, Settings

    lm = model(tiny)
    rows = [Row(prompt, c) for prompt in ("b", "a", "b c") for c in parse_candidates("L1H2:base:L0H0")]
    asked = list(EngineRows(lm.tokenizer, lm._checkpoint, Settings(max_new_tokens=4)).requests(rows))
    assert [str(r.row.candidate) for r in asked] == ["L1H2"] * 3 + ["base"] * 3 + ["L0H0"] * 3
    assert asked[0].tokens == lm.tokenizer("a")["input_ids"]
    assert [r.tokens for r in asked[:3]] == sorted(r.tokens for r in asked[:3])
