"""A small server on the loopback that answers whatever a test gives it."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TEXT = {"index": 0, "finish_reason": "stop", "stop_reason": None}


class StubServer:
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


@contextmanager
def stub_servers() -> Iterator[Callable[..., StubServer]]:
    """Give what starts servers, and close them afterwards."""
    running = []

    def start(answer) -> StubServer:
        running.append(StubServer(answer))
        return running[-1]

    try:
        yield start
    finally:
        for server in running:
            server.close()


def completion(**more) -> tuple[int, dict]:
    return 200, {"choices": [TEXT | more]}
