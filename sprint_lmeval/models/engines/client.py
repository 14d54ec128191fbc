"""Talking to an OpenAI-compatible server that has adapters by name, such as `vllm serve --enable-lora`.

In: a payload of `/v1/completions`. Out: its one choice. While the server is away (restarted, moved by a scheduler), the
client waits. If the server lacks an adapter, or lost it in a restart, the client loads it where that is allowed. Every
other problem is an error of one sentence.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from multiprocessing.pool import ThreadPool
from typing import TypeVar

import requests
from urllib3.exceptions import HTTPError

from sprint_lmeval.errors import InputError, cause
from sprint_lmeval.models.engines.engine_requests import FINISHED

log = logging.getLogger(f"lm_eval.{__name__}")
MAX_BYTES = 64 << 20  # of one reply
AWAY = (502, 503, 504)  # a proxy whose server is not there
BUSY = (408, 429)
REFUSED = (401, 403)
CRASHES_TRIED = 3
LOADS_TRIED = 5  # of an adapter for one request: a server that is started anew has lost it
PAUSE_S = (0.5, 5.0)  # between two tries, doubled from the first to the last

Key = TypeVar("Key")


class Away(Exception):
    """Nothing answers for now; its text says what happened instead."""


@dataclass
class Server:
    """A running server.

    Attributes:
        url: with `/v1`, without what follows.
        timeout_s: of one request.
        wait_s: for how long a server that is away is waited for.
        verify: whether certificates are checked, or the file of those to trust.
        load: adapter name -> folder on the server's disk, to be loaded where the server lacks it; None: never.
    """

    url: str
    timeout_s: float = 900.0
    wait_s: float = 900.0
    verify: bool | str = True
    load: Callable[[str], str] | None = None
    _local: threading.local = field(default_factory=threading.local)
    _loading: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    def models(self, waiting: bool = False) -> list[dict]:
        """Return the models and adapters that it lists. InputError where nothing answers, at once or after waiting."""
        try:
            call = partial(self._call, "GET", "models")
            status, reply = self._waiting(call) if waiting else call()
        except Away as error:
            raise InputError(f"no server answers at {self.url} ({error}): start it, or correct base_url=") from None
        listed = reply.get("data")
        if status in REFUSED:
            raise InputError(f"{self.url}/models answered {status}: put the server's key into OPENAI_API_KEY")
        if status != 200 or not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise InputError(f"{self.url}/models answered {status} and no list of models: correct base_url=")
        return listed

    def version(self) -> str | None:
        """Return vLLM's version, None where the server does not report it; waits for a server that is away."""
        status, reply = self._waiting(lambda: self._call("GET", "../version"))
        return str(reply.get("version"))[:40] if status == 200 and "version" in reply else None

    def complete(self, payload: dict) -> dict:
        """Return the one choice of a completion that is whole; waits for a server that is away."""
        crashes = loads = 0
        while True:
            status, reply = self._waiting(lambda: self._whole(payload))
            if status == 200:
                return self._choice(reply)
            said = _message(reply)
            if status == 404 and loads < LOADS_TRIED:
                self._stop.wait(PAUSE_S[0] * min(loads, 1))
                self.load_adapter(payload["model"], said)
                loads += 1
            elif status >= 500 and crashes < CRASHES_TRIED:
                crashes += 1
                log.warning("the server answered %d (%s), trying again", status, said)
                self._stop.wait(PAUSE_S[1])
            else:
                raise InputError(f"the server at {self.url} refused a request ({status}: {said})")

    def _whole(self, payload: dict) -> tuple[int, dict]:
        """A server that is asked to stop answers 200 with what it has so far (`abort`)."""
        status, reply = self._call("POST", "completions", payload)
        if status == 200 and (reason := self._choice(reply).get("finish_reason")) not in FINISHED:
            raise Away(f"it broke an answer off, finish_reason {str(reason)[:40]}")
        return status, reply

    def load_adapter(self, name: str, said: str) -> None:
        """Let the server load an adapter that it lacks. InputError where it cannot."""
        ways = (
            "start it with --lora-modules (`sprint-lmeval adapters` prints the command), or with "
            "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1 and give adapters=FOLDER, a folder that it can read too"
        )
        if self.load is None:
            raise InputError(f"the server at {self.url} has no adapter {name} ({said}): {ways}")
        with self._loading:
            payload = {"lora_name": name, "lora_path": self.load(name)}
            status, reply = self._waiting(lambda: self._call("POST", "load_lora_adapter", payload))
        if status != 200 and "already been loaded" in _message(reply):
            self.check_adapters({name: payload["lora_path"]}, self.models(waiting=True))
        elif status != 200:
            raise InputError(f"the server at {self.url} does not load adapter {name} ({_message(reply)}): {ways}")

    def check_adapters(self, folders: dict[str, str], cards: list[dict]) -> None:
        """Raise InputError where an adapter that the server has is not that of `folders` (name -> folder)."""
        for card in cards:
            ours, theirs = folders.get(card.get("id")), card.get("root")
            if ours and isinstance(theirs, str) and os.path.realpath(theirs) != os.path.realpath(ours):
                raise InputError(
                    f"the server at {self.url} has adapter {card['id']} of {theirs[:200]}, and adapters= gives {ours}: "
                    "start the server anew, or leave adapters= out to use what it has"
                )

    def completions(self, payloads: Iterable[tuple[Key, dict]], at_once: int) -> Iterator[tuple[Key, dict]]:
        """Keep so many payloads in flight and yield each one's key and choice as it is finished.

        Whatever ends this, nothing waits for the requests in flight: the threads of this pool are daemons (those of
        `concurrent.futures` are not), since a server that hangs would keep the program for as long as `timeout_s`.
        """
        with ThreadPool(at_once) as pool:
            try:
                yield from pool.imap_unordered(lambda item: (item[0], self.complete(item[1])), payloads)
            finally:
                self._stop.set()  # threads that wait for the server give up
                self._stop = threading.Event()

    def _waiting(self, call: Callable[[], tuple[int, dict]]) -> tuple[int, dict]:
        """Repeat a call while nothing answers, for at most `wait_s` from the first failure on."""
        stop, deadline, pause = self._stop, None, PAUSE_S[0]
        while True:
            try:
                return call()
            except Away as error:
                said = str(error)
            if deadline is None:
                deadline = time.monotonic() + self.wait_s
                log.warning("the server at %s is away (%s), waiting", self.url, said)
            if time.monotonic() > deadline or stop.is_set():
                raise InputError(
                    f"the server at {self.url} is away for {self.wait_s:.0f} s ({said}): start it again and repeat "
                    "the command; with store= it goes on where it was"
                )
            stop.wait(pause)
            pause = min(2 * pause, PAUSE_S[1])

    def _call(self, method: str, path: str, payload: dict | None = None) -> tuple[int, dict]:
        url = f"{self.url}/{path}" if not path.startswith("../") else f"{self.url.rpartition('/')[0]}/{path[3:]}"
        options = {"timeout": self.timeout_s, "verify": self.verify, "stream": True, "headers": _headers()}
        try:
            with self._session().request(method, url, json=payload, **options) as reply:
                content = reply.raw.read(MAX_BYTES + 1, decode_content=True)
                status = reply.status_code
        except requests.exceptions.SSLError as error:
            raise InputError(f"the server's certificate is not trusted ({error}): verify_certificate=False") from None
        except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema) as error:
            raise InputError(f"base_url={self.url} given, which is no address ({error})") from None
        except (requests.exceptions.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
            self._local.session = None  # urllib3's own errors come while the body is read
            raise Away(_cause(error)) from None
        if len(content) > MAX_BYTES:
            raise InputError(f"{url} answered with more than {MAX_BYTES:,} bytes: that is no completion")
        if status in AWAY or status in BUSY:
            raise Away(f"it answers {status}")
        return status, _parsed(content)

    def _session(self) -> requests.Session:
        if getattr(self._local, "session", None) is None:
            self._local.session = requests.Session()
        return self._local.session

    def _choice(self, reply: dict) -> dict:
        choices = reply.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            raise InputError(f"the server at {self.url} gave no completion: it must be vLLM's /v1/completions")
        return choices[0]


def normalised_url(given: object) -> str:
    """Return the address up to `/v1` from what the harness's `local-completions` takes or a shorter form."""
    if not isinstance(given, str) or not given.startswith(("http://", "https://")):
        raise InputError(f"base_url={given} given, it must be the server's address, such as http://localhost:8000/v1")
    url = given.rstrip("/").removesuffix("/completions").rstrip("/")
    return url if url.endswith("/v1") else f"{url}/v1"


def _headers() -> dict:
    key = os.environ.get("OPENAI_API_KEY", "")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _parsed(content: bytes) -> dict:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return {"message": content[:200].decode("utf-8", "replace")}
    return found if isinstance(found, dict) else {"message": str(found)[:200]}


def _message(reply: dict) -> str:
    error = reply.get("error") if isinstance(reply.get("error"), dict) else reply
    return " ".join(str(error.get("message") or error)[:300].split())


def _cause(error: Exception) -> str:
    text = cause(error, 2000)
    for known in ("Connection refused", "Read timed out", "Name or service not known", "Connection reset"):
        if known.lower() in text.lower():
            return known
    return f"{type(error).__name__}: {text[:120]}"
