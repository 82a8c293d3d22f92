"""An HTTP proxy that does to requests what networks and stores do: fails, resets, stalls, loses, damages."""

import http.client
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "content-length", "date", "expect", "server", "transfer-encoding"}


@dataclass
class Fault:
    """What happens to the next `times` requests of a method whose path holds `match`.

    "500", "503": the answer, and nothing is applied. "reset": the connection breaks before the request is
    applied, "lost": after it. "stall": no answer. "truncated", "flipped": half of the body, or one wrong bit.
    "ExpiredToken" and other names of `REFUSALS`: S3's refusal of that name.
    """

    kind: str
    method: str
    times: int = 1
    match: str = ""
    met: int = 0


@dataclass
class Proxy:
    """A proxy in front of one server."""

    upstream: str
    unconditional: bool = False
    """Drops If-None-Match: a store that ignores create-only writes."""
    faults: list[Fault] = field(default_factory=list)
    endpoint: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    closing: threading.Event = field(default_factory=threading.Event)

    def add(self, kind: str, method: str, times: int = 1, match: str = "") -> Fault:
        """A fault from now on."""
        fault = Fault(kind, method, times, match)
        self.faults.append(fault)
        return fault

    def fault(self, method: str, path: str) -> str:
        """What is to happen to this request, "" if nothing."""
        with self._lock:
            for fault in self.faults:
                if fault.met < fault.times and fault.method == method and fault.match in path:
                    fault.met += 1
                    return fault.kind
        return ""


@contextmanager
def running(upstream: str) -> Iterator[Proxy]:
    """A proxy that listens until the block is left."""
    proxy = Proxy(upstream)

    class Handler(_Handler):
        pass

    Handler.proxy = proxy
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    proxy.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.closing.set()
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or the body waits 40 ms for the receipt of the head
    proxy: Proxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.proxy.fault(self.command, self.path)
        if fault in ("500", "503"):
            self._answer(int(fault), [("Content-Type", "application/xml")], _error(fault))
        elif fault in REFUSALS:
            self._answer(REFUSALS[fault], [("Content-Type", "application/xml")], _named(fault))
        elif fault == "reset":
            self._reset()
        elif fault == "stall":
            self.proxy.closing.wait(60)
            self._reset()
        else:
            self._pass_on(body, fault)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _serve  # noqa: N815

    def _pass_on(self, body: bytes, fault: str) -> None:
        status, headers, answer = self._ask(body)
        if fault == "lost":
            self._reset()
        elif fault == "truncated":
            self._answer(status, headers, answer, answer[: len(answer) // 2])
            self.close_connection = True
        else:
            flipped = bytearray(answer)
            if fault == "flipped" and answer:
                flipped[len(answer) // 2] ^= 1
            self._answer(status, headers, bytes(flipped))

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        connection = http.client.HTTPConnection(urlsplit(self.proxy.upstream).netloc, timeout=60)
        headers = {
            name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP
        }
        if self.proxy.unconditional:
            headers = {name: value for name, value in headers.items() if name != "If-None-Match"}
        connection.request(self.command, self.path, body or None, headers)
        answer = connection.getresponse()
        data = answer.read()
        length = answer.headers.get("Content-Length", "0")
        found = [pair for pair in answer.getheaders() if pair[0].lower() not in _HOP_BY_HOP]
        if self.command == "HEAD":
            found.append(("Content-Length", length))
        connection.close()
        return answer.status, found, data

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, sent: bytes | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if self.command != "HEAD":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if sent is None else sent)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        self.rfile = self.wfile = _Nowhere()  # type: ignore[assignment]

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


class _Nowhere:
    """What is left of a connection that was reset."""

    closed = True

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


REFUSALS = {
    "AccessDenied": 403,
    "ExpiredToken": 400,
    "InvalidAccessKeyId": 403,
    "InvalidObjectState": 403,
    "InvalidToken": 400,
    "NoSuchBucket": 404,
    "RequestTimeTooSkewed": 403,
}
"""Status by the name of S3's error."""


def _error(status: str) -> bytes:
    return _named({"500": "InternalError", "503": "SlowDown"}[status])


def _named(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>injected</Message></Error>".encode()
