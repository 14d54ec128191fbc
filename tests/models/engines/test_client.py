"""The client of a server with adapters, against a small server that answers whatever a test tells it to."""

import threading

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines import client as server_client
from sprint_lmeval.models.engines.client import Server, normalised_url
from tests.shared.stub_server import TEXT, completion, stub_servers


@pytest.fixture
def stub():
    with stub_servers() as start:
        yield start


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(server_client, "PAUSE_S", (0.01, 0.05))


def test_addresses():
    for given in ("http://a:8000", "http://a:8000/", "http://a:8000/v1", "http://a:8000/v1/completions"):
        assert normalised_url(given) == "http://a:8000/v1"
    for wrong in (None, "a:8000", "ftp://a", 7):
        with pytest.raises(InputError, match=r"base_url=.* given, it must be the server's address"):
            normalised_url(wrong)


def test_a_server_that_is_away_is_waited_for(stub):
    states = iter([(503, b"no upstream"), (502, b""), (429, {"message": "slow down"}), completion(token_ids=[1])])
    server = stub(lambda path, payload: next(states))
    assert Server(server.url, wait_s=20).complete({"model": "m"})["token_ids"] == [1]
    assert len(server.asked) == 4


def test_waiting_has_an_end(stub):
    server = stub(lambda path, payload: (503, b""))
    with pytest.raises(InputError, match=r"is away for 0 s \(it answers 503\): start it again .* store= it goes on"):
        Server(server.url, wait_s=0.2).complete({"model": "m"})
    server.close()
    with pytest.raises(InputError, match=r"is away for 0 s \(Connection refused\)"):
        Server(server.url, wait_s=0.2).complete({"model": "m"})
    with pytest.raises(InputError, match=r"no server answers at .*Connection refused"):
        Server(server.url).models()


def test_an_answer_that_is_broken_off_is_asked_again(stub):
    """What vLLM sends for the requests in flight when it is asked to stop (SIGTERM), with 200."""
    cut = completion(finish_reason="abort", token_ids=[1])
    states = iter([cut, (503, b""), cut, completion(finish_reason="length", token_ids=[1, 2])])
    server = stub(lambda *_: next(states))
    assert Server(server.url, wait_s=20).complete({"model": "m"})["token_ids"] == [1, 2]
    assert len(server.asked) == 4
    for reason in ("abort", "error", None, ["stop"]):
        with pytest.raises(InputError, match=r"is away for 0 s .it broke an answer off, finish_reason "):
            Server(stub(lambda *_, r=reason: completion(finish_reason=r)).url, wait_s=0.2).complete({"model": "m"})


def test_a_wait_begins_with_the_first_failure(stub, monkeypatch):
    """Not with the request, which may have run for longer than `wait_s` before the server was stopped."""
    clock = [0.0]
    monkeypatch.setattr(server_client.time, "monotonic", lambda: clock[0])
    states = iter([(503, b""), (503, b""), completion()])

    def answer(*_):
        clock[0] += 100 if not server.asked[1:] else 1
        return next(states)

    server = stub(answer)
    assert Server(server.url, wait_s=50).complete({"model": "m"}) == TEXT


def test_a_crash_is_tried_again_and_then_told(stub):
    states = iter([(500, {"error": {"message": "worker died"}})] * 2 + [completion()])
    assert Server(stub(lambda *_: next(states)).url).complete({"model": "m"})["finish_reason"] == "stop"
    server = stub(lambda *_: (500, {"error": {"message": "worker died"}}))
    with pytest.raises(InputError, match=r"refused a request \(500: worker died\)"):
        Server(server.url).complete({"model": "m"})
    assert len(server.asked) == 4


def test_an_adapter_that_is_missing_is_loaded_once(stub):
    loaded = []

    def answer(path, payload):
        if path.endswith("load_lora_adapter"):
            loaded.append(payload)
            return 200, b"Success"
        return completion() if loaded else (404, {"error": {"message": "The model `L1H2` does not exist."}})

    server = stub(answer)
    Server(server.url, load=lambda name: f"/shared/{name}").complete({"model": "L1H2"})
    assert loaded == [{"lora_name": "L1H2", "lora_path": "/shared/L1H2"}]
    lacking = stub(lambda *_: (404, {"error": {"message": "The model does not exist."}}))
    with pytest.raises(InputError, match=r"has no adapter L1H2 \(The model does not exist.\): start it with --lora"):
        Server(lacking.url).complete({"model": "L1H2"})


def test_an_adapter_that_a_new_start_has_lost_is_loaded_again(stub):
    told_so_far, loads = iter([404, 503, 404, 200]), []

    def answer(path, payload):
        if path.endswith("load_lora_adapter"):
            loads.append(payload["lora_name"])
            return 200, b"Success"
        status = next(told_so_far)
        return completion() if status == 200 else (status, {"error": {"message": "The model does not exist."}})

    Server(stub(answer).url, load=lambda name: name).complete({"model": "L1H2"})
    assert loads == ["L1H2", "L1H2"]


def test_an_adapter_that_is_never_there_ends(stub):
    def answer(path, payload):
        loading = path.endswith("load_lora_adapter")
        return (200, b"Success") if loading else (404, {"error": {"message": "The model does not exist."}})

    server = stub(answer)
    with pytest.raises(InputError, match=r"refused a request \(404: The model does not exist.\)"):
        Server(server.url, load=lambda name: name).complete({"model": "L1H2"})
    assert len(server.asked) == 11


def test_a_server_that_may_not_load_adapters(stub):
    server = stub(lambda path, payload: (404, {"detail": "Not Found"}))
    with pytest.raises(InputError, match=r"does not load adapter L1H2 .* VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"):
        Server(server.url, load=lambda name: name).complete({"model": "L1H2"})


def test_an_adapter_of_another_folder(stub):
    """Loaded under the same name by somebody else, or before the adapters were made anew elsewhere."""
    there = [{"id": "L1H2", "parent": "tiny", "root": "/old/L1H2"}]

    def answer(path, payload):
        if path.endswith("/models"):
            return 200, {"data": there}
        if path.endswith("load_lora_adapter"):
            return 400, {"error": {"message": "The lora adapter 'L1H2' has already been loaded."}}
        return 404, {"error": {"message": "The model does not exist."}}

    with pytest.raises(InputError, match=r"has adapter L1H2 of /old/L1H2, and adapters= gives /new/L1H2: start the"):
        Server(stub(answer).url, load=lambda name: f"/new/{name}").complete({"model": "L1H2"})


@pytest.mark.parametrize(
    "reply",
    [b"<html>", b"[" * 100_000, [1], {"choices": []}, {"choices": [1]}, {"choices": [TEXT, TEXT]}, {"choices": 3}],
)
def test_what_is_no_completion(stub, reply):
    with pytest.raises(InputError, match="gave no completion"):
        Server(stub(lambda *_: (200, reply)).url).complete({"model": "m"})


def test_a_reply_without_end(stub, monkeypatch):
    monkeypatch.setattr(server_client, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="more than 1,000 bytes"):
        Server(stub(lambda *_: completion(text="x" * 2000)).url).complete({"model": "m"})


@pytest.mark.parametrize("status", [400, 401, 422])
def test_what_is_refused_is_told_at_once(stub, status):
    server = stub(lambda *_: (status, {"error": {"message": "prompt\nis too long"}}))
    with pytest.raises(InputError, match=rf"refused a request \({status}: prompt is too long\)"):
        Server(server.url).complete({"model": "m"})
    assert len(server.asked) == 1


def test_a_key_that_is_missing_or_wrong(stub):
    for status in (401, 403):
        with pytest.raises(InputError, match=rf"answered {status}: put the server's key into OPENAI_API_KEY"):
            Server(stub(lambda *_, status=status: (status, {"error": "Unauthorized"})).url).models()


def test_the_version_is_waited_for(stub):
    """It is in a store's key: one answer lost would be another key, and everything generated again."""
    states = iter([(503, b""), (200, {"version": "0.32.0"})])
    assert Server(stub(lambda *_: next(states)).url).version() == "0.32.0"
    assert Server(stub(lambda *_: (404, b"")).url).version() is None


def test_requests_that_hang_do_not_hold_up_an_error(stub):
    release, hanging, ended = threading.Event(), threading.Event(), []

    def answer(path, payload):
        if payload["model"] == "hangs":
            hanging.set()
            release.wait(30)
            ended.append(True)
            return completion()
        hanging.wait(30)
        return 400, {"error": {"message": "too long"}}

    asked = Server(stub(answer).url).completions([(1, {"model": "hangs"}), (2, {"model": "refused"})], at_once=2)
    with pytest.raises(InputError, match="too long"):
        next(asked)
    assert hanging.is_set() and not ended
    others = set(threading.enumerate()) - {threading.main_thread()}
    assert others and all(thread.daemon for thread in others), "Python waits for all others at its end"
    release.set()


def test_as_many_are_in_flight_as_were_asked_for(stub):
    together, most, lock = 0, 0, threading.Lock()

    def answer(path, payload):
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        with lock:
            together -= 1
        return completion(text=payload["model"])

    asked = [(number, {"model": str(number)}) for number in range(50)]
    found = dict(Server(stub(answer).url).completions(asked, at_once=4))
    assert {number: choice["text"] for number, choice in found.items()} == {n: str(n) for n in range(50)}
    assert most <= 4


def test_a_key_is_sent(stub, monkeypatch):
    seen = []
    server = stub(lambda *_: completion())
    handler = server.server.RequestHandlerClass
    reply = handler.do_POST
    handler.do_POST = lambda self: (seen.append(self.headers.get("Authorization")), reply(self))
    Server(server.url).complete({"model": "m"})
    monkeypatch.setenv("OPENAI_API_KEY", "secret")
    Server(server.url).complete({"model": "m"})
    assert seen == [None, "Bearer secret"]
