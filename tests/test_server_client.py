"""The client of a server with adapters, against a small server that answers whatever a test tells it to."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from sprint_lmeval import server_client
from sprint_lmeval.engine_rows import EngineRows
from sprint_lmeval.errors import InputError
from sprint_lmeval.outcomes import OutcomeMatrix
from sprint_lmeval.server import ServerPrunedBestOfN
from sprint_lmeval.server_client import Server, normalised_url
from tests.environments import environment_in_use
from tests.test_hf import requests

BASE = {"id": "tiny", "root": "tiny", "parent": None, "max_model_len": 512}
TEXT = {"index": 0, "finish_reason": "stop", "stop_reason": None}


class Told:
    """A server on the loopback: `answer` gets path and payload and returns status and reply (bytes or JSON)."""

    def __init__(self, answer) -> None:
        self.asked: list[tuple[str, dict]] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def reply(handler) -> None:
                length = int(handler.headers.get("Content-Length") or 0)
                payload = json.loads(handler.rfile.read(length) or b"{}")
                self.asked.append((handler.path, payload))
                status, said = answer(handler.path, payload)
                content = said if isinstance(said, bytes) else json.dumps(said).encode()
                handler.send_response(status)
                handler.send_header("Content-Length", str(len(content)))
                handler.end_headers()
                handler.wfile.write(content)

            do_GET = do_POST = reply

            def log_message(handler, *_) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def told():
    running = []

    def start(answer) -> Told:
        running.append(Told(answer))
        return running[-1]

    yield start
    for server in running:
        server.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(server_client, "PAUSE_S", (0.01, 0.05))


def completion(**more) -> tuple[int, dict]:
    return 200, {"choices": [TEXT | more]}


def test_addresses():
    for given in ("http://a:8000", "http://a:8000/", "http://a:8000/v1", "http://a:8000/v1/completions"):
        assert normalised_url(given) == "http://a:8000/v1"
    for wrong in (None, "a:8000", "ftp://a", 7):
        with pytest.raises(InputError, match=r"base_url=.* given, it must be the server's address"):
            normalised_url(wrong)


def test_a_server_that_is_away_is_waited_for(told):
    states = iter([(503, b"no upstream"), (502, b""), (429, {"message": "slow down"}), completion(token_ids=[1])])
    server = told(lambda path, payload: next(states))
    assert Server(server.url, wait_s=20).complete({"model": "m"})["token_ids"] == [1]
    assert len(server.asked) == 4


def test_waiting_has_an_end(told):
    server = told(lambda path, payload: (503, b""))
    with pytest.raises(InputError, match=r"is away for 0 s \(it answers 503\): start it again .* store= it goes on"):
        Server(server.url, wait_s=0.2).complete({"model": "m"})
    server.close()
    with pytest.raises(InputError, match=r"is away for 0 s \(Connection refused\)"):
        Server(server.url, wait_s=0.2).complete({"model": "m"})
    with pytest.raises(InputError, match=r"no server answers at .*Connection refused"):
        Server(server.url).models()


def test_a_crash_is_tried_again_and_then_told(told):
    states = iter([(500, {"error": {"message": "worker died"}})] * 2 + [completion()])
    assert Server(told(lambda *_: next(states)).url).complete({"model": "m"})["finish_reason"] == "stop"
    server = told(lambda *_: (500, {"error": {"message": "worker died"}}))
    with pytest.raises(InputError, match=r"refused a request \(500: worker died\)"):
        Server(server.url).complete({"model": "m"})
    assert len(server.asked) == 4


def test_an_adapter_that_is_missing_is_loaded_once(told):
    loaded = []

    def answer(path, payload):
        if path.endswith("load_lora_adapter"):
            loaded.append(payload)
            return 200, b"Success"
        return completion() if loaded else (404, {"error": {"message": "The model `L1H2` does not exist."}})

    server = told(answer)
    Server(server.url, load=lambda name: f"/shared/{name}").complete({"model": "L1H2"})
    assert loaded == [{"lora_name": "L1H2", "lora_path": "/shared/L1H2"}]
    lacking = told(lambda *_: (404, {"error": {"message": "The model does not exist."}}))
    with pytest.raises(InputError, match=r"has no adapter L1H2 \(The model does not exist.\): start it with --lora"):
        Server(lacking.url).complete({"model": "L1H2"})


def test_a_server_that_may_not_load_adapters(told):
    server = told(lambda path, payload: (404, {"detail": "Not Found"}))
    with pytest.raises(InputError, match=r"does not load adapter L1H2 .* VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        Server(server.url, load=lambda name: name).complete({"model": "L1H2"})


@pytest.mark.parametrize(
    "reply",
    [b"<html>", b"[" * 100_000, [1], {"choices": []}, {"choices": [1]}, {"choices": [TEXT, TEXT]}, {"choices": 3}],
)
def test_what_is_no_completion(told, reply):
    with pytest.raises(InputError, match="gave no completion"):
        Server(told(lambda *_: (200, reply)).url).complete({"model": "m"})


def test_a_reply_without_end(told, monkeypatch):
    monkeypatch.setattr(server_client, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        Server(told(lambda *_: completion(text="x" * 2000)).url).complete({"model": "m"})


@pytest.mark.parametrize("status", [400, 401, 422])
def test_what_is_refused_is_told_at_once(told, status):
    server = told(lambda *_: (status, {"error": {"message": "prompt\nis too long"}}))
    with pytest.raises(InputError, match=rf"refused a request \({status}: prompt is too long\)"):
        Server(server.url).complete({"model": "m"})
    assert len(server.asked) == 1


def test_a_key_is_sent(told, monkeypatch):
    seen = []
    server = told(lambda *_: completion())
    handler = server.server.RequestHandlerClass
    reply = handler.do_POST
    handler.do_POST = lambda self: (seen.append(self.headers.get("Authorization")), reply(self))
    Server(server.url).complete({"model": "m"})
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    Server(server.url).complete({"model": "m"})
    assert seen == [None, "Bearer secret"]


# ---- the harness model on it ----


class TinyServer:
    """Answers as a server with the embedded model would: each candidate writes its own name, digit by digit."""

    def __init__(self, tokenizer) -> None:
        self.tokenizer, self.adapters = tokenizer, {"L1H2", "L0H0+L2H7"}

    def text(self, model: str) -> str:
        return f" {model.encode().hex()} "

    def __call__(self, path: str, payload: dict) -> tuple[int, object]:
        if path.endswith("/models"):
            return 200, {"data": [BASE, *({"id": name, "parent": "tiny"} for name in self.adapters)]}
        if path == "/version":
            return 200, {"version": "0.32.0"}
        if payload["model"] not in self.adapters | {"tiny"}:
            return 404, {"error": {"message": "The model does not exist."}}
        if payload.get("prompt_logprobs"):
            value = -sum(payload["model"].encode()) / 100
            return completion(prompt_logprobs=[None, *({str(t): {"logprob": value}} for t in payload["prompt"][1:])])
        tokens = self.tokenizer(self.text(payload["model"]))["input_ids"][: payload["max_tokens"]]
        return completion(token_ids=tokens, stop_reason=None)


@pytest.fixture
def tiny(told):
    from transformers import AutoTokenizer

    from sprint_lmeval.tiny import MODEL_FOLDER

    return told(TinyServer(AutoTokenizer.from_pretrained(MODEL_FOLDER)))


def model(server: Told, **arguments) -> ServerPrunedBestOfN:
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


def with_adapters(told, heads: list[str]) -> Told:
    from transformers import AutoTokenizer

    from sprint_lmeval.tiny import MODEL_FOLDER

    answering = TinyServer(AutoTokenizer.from_pretrained(MODEL_FOLDER))
    answering.adapters = set(heads)
    return told(answering)


def test_a_selector_chooses_the_adapters_of_each_question(told):
    from sprint_lmeval.selector import Selector
    from sprint_lmeval.tiny.problems import problems

    heads = [f"L{layer}H{head}" for layer in range(4) for head in range(8)]
    lm = model(with_adapters(told, heads), head_masks=None, selector="tiny-coverage")
    responses = lm.generate_until(requests(16, 4))
    ranked = Selector.from_pretrained("tiny-coverage").rank([p.question for p in problems("test")[:4]], n=16)
    assert [r.candidate for r in responses] == [str(candidate) for of_one in ranked for candidate in of_one]
    assert len({tuple(of_one) for of_one in ranked}) > 1, "questions have candidates of their own"
    for r in responses:
        assert bytes.fromhex(str(r).strip()).decode() == ("tiny" if r.candidate == "base" else r.candidate)


def test_a_sweep_on_a_server(told, tmp_path):
    heads = [f"L1H{head}" for head in range(8)]
    server = with_adapters(told, heads)
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


def test_rows_go_candidate_by_candidate(tiny):
    from sprint_lmeval.candidates import parse_candidates
    from sprint_lmeval.rows import Row, Settings

    lm = model(tiny)
    rows = [Row(prompt, c) for prompt in ("b", "a", "b c") for c in parse_candidates("L1H2:base:L0H0")]
    asked = list(EngineRows(lm.tokenizer, lm._checkpoint, Settings(max_new_tokens=4)).requests(rows))
    assert [str(r.row.candidate) for r in asked] == ["L1H2"] * 3 + ["base"] * 3 + ["L0H0"] * 3
    assert asked[0].tokens == lm.tokenizer("a")["input_ids"]
    assert [r.tokens for r in asked[:3]] == sorted(r.tokens for r in asked[:3])
