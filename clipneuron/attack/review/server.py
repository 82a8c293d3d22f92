"""The page's server: this machine only, behind an address that cannot be guessed, and no other page may write."""

import base64
import hashlib
import hmac
import json
import logging
import re
import secrets
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from ipaddress import ip_address
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from clipneuron.attack.review import drawing
from clipneuron.attack.review.deck import Deck, ReviewKeys
from clipneuron.attack.review.session import Session
from clipneuron.store.errors import StoreError
from clipneuron.store.run import Run

LOG = logging.getLogger(__name__)
_MAX_BODY = 2**16
_OWN_NAMES = {"127.0.0.1", "::1", "localhost"}
_ROUTE = re.compile(
    r"/(?P<token>[\w-]+)/"
    r"(?:(?P<next>next)|cards/(?P<number>\d{1,9})(?:/(?P<file>picture|heatmap)\.png)?)?",
    re.ASCII,
)


class Review:
    """A page that is being served, from its making until `close`; also a context manager."""

    def __init__(self, session: Session, host: str, port: int) -> None:
        self._server = _Server((host, port), session)
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), daemon=True
        )
        self._thread.start()

    @property
    def url(self) -> str:
        """The page's address; whoever knows it can decide."""
        host, port = self._server.server_name, self._server.server_port
        shown = f"[{host}]" if ":" in host else host
        return f"http://{shown}:{port}/{self._server.token}/"

    def wait(self) -> None:
        """Returns when the page is closed; an interrupt (Ctrl-C) passes through."""
        self._thread.join()

    def close(self) -> None:
        """Ends the page; every decision that was answered is on record."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(
    run: Run, keys: ReviewKeys, *, reviewer: str, host: str = "127.0.0.1", port: int = 0
) -> Review:
    """The page at `url`, already served; port 0 is any free one.

    Another `host` than this machine's own (127.0.0.1) lets others in who know the address: it is not encrypted.
    Raises ValueError for a reviewer's name that cannot be a key, an address that cannot be had or a run without
    pictures to show, StoreError for tables that cannot be read.
    """
    session = Session(Deck.of(run, keys, reviewer), reviewer)
    try:
        return Review(session, host, port)
    except (OSError, OverflowError) as error:
        raise ValueError(
            f"can't serve the review at {host}:{port}: {error}; choose another port, or 0 for any"
        ) from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], session: Session) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._open: set[socket.socket] = set()
        super().__init__(address, _Handler)
        self.session = session
        self.token = secrets.token_urlsafe(24)
        self.page = files(__package__).joinpath("page.html").read_bytes()
        self.policy = _policy(self.page.decode())
        self.local = ip_address(self.server_name).is_loopback

    def server_bind(self) -> None:
        """Binds without looking up the host's full name, which may ask a network."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def get_request(self) -> tuple[socket.socket, Any]:
        """A new connection, remembered."""
        connection, address = super().get_request()
        self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection."""
        self._open.discard(request)
        super().shutdown_request(request)

    def server_close(self) -> None:
        """Ends all connections: a browser keeps its own for a while, and would be answered on it."""
        super().server_close()
        for connection in list(self._open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that was closed in the middle of an answer, most of all."""
        LOG.debug("review: a request was not answered", exc_info=True)


class _RefusedError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "clipneuron", ""
    timeout = 60  # seconds that an idle connection is kept

    def do_GET(self) -> None:
        """The page, a card, a picture, or the number of the next card."""
        self._answer(self._found)

    def do_POST(self) -> None:
        """A decision."""
        self._answer(self._decided)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address holds the token."""

    def _answer(self, act: Callable[[], tuple[str, bytes]]) -> None:
        status = HTTPStatus.OK
        try:
            self._check_host()
            kind, body = act()
        except _RefusedError as error:
            status, (kind, body) = error.status, _json({"error": str(error)})
        except ValueError as error:
            status, (kind, body) = HTTPStatus.BAD_REQUEST, _json({"error": str(error)})
        except StoreError as error:
            LOG.error("review: %s", error)
            status, (kind, body) = HTTPStatus.SERVICE_UNAVAILABLE, _json({"error": str(error)})
        # A body that was refused may be unread: it must not pass for the next request.
        self.close_connection = self.close_connection or status != HTTPStatus.OK
        self._send(status, kind, body)

    def _send(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(body)),
            "Content-Security-Policy": self.server.policy,
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }
        for name, value in headers.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _found(self) -> tuple[str, bytes]:
        route, session = self._route(), self.server.session
        if route["next"]:
            after = parse_qs(urlsplit(self.path).query).get("after", ["-1"])[0]
            return _json({"number": session.undecided(int(after))})
        if route["number"] is None:
            return "text/html; charset=utf-8", self.server.page
        number = int(route["number"])
        if route["file"] is None:
            return _json(session.state(number))
        image = session.deck.image(number)
        if route["file"] == "picture":
            return "image/png", drawing.bare(image)
        return "image/png", drawing.overlay(session.deck.heatmap(number), image)

    def _decided(self) -> tuple[str, bytes]:
        route, session = self._route(), self.server.session
        if route["number"] is None or route["file"]:
            raise _RefusedError(HTTPStatus.NOT_FOUND, "decisions are sent to a card")
        self._check_origin()
        said = self._body()
        number = int(route["number"])
        session.decide(number, said.get("decision", ""), said.get("note", ""))
        return _json(session.state(number))

    def _route(self) -> dict[str, str | None]:
        match = _ROUTE.fullmatch(urlsplit(self.path).path)
        given = match["token"] if match else ""
        if not match or not hmac.compare_digest(given, self.server.token):
            raise _RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")
        return match.groupdict()

    def _check_host(self) -> None:
        """Against a page whose name was made to point at this machine (DNS rebinding)."""
        name = urlsplit(f"//{self.headers.get('Host', '')}").hostname
        if self.server.local and name not in {*_OWN_NAMES, self.server.server_name}:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "this page is served under 127.0.0.1 only")

    def _check_origin(self) -> None:
        """Against other pages in the same browser; a tunnel's port is as good as the server's own."""
        own = f"http://{self.headers.get('Host', '')}"
        if self.headers.get("Origin") != own:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "decisions are taken from this page only")
        if self.headers.get_content_type() != "application/json":
            raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a decision is sent as JSON")

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > _MAX_BODY:
            why = f"a decision needs a Content-Length of at most {_MAX_BODY} bytes"
            raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        said = json.loads(self.rfile.read(int(length)))
        if not isinstance(said, dict):
            raise ValueError('a decision is an object: {"decision": "keep", "note": ""}')
        return said


def _json(content: dict[str, Any]) -> tuple[str, bytes]:
    return "application/json", json.dumps(content).encode()


def _policy(page: str) -> str:
    """What the page may do: its own script and style, this server's pictures and answers, nothing else."""
    script, style = (_digest(page, tag) for tag in ("script", "style"))
    return (
        f"default-src 'none'; script-src {script}; style-src {style}; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _digest(page: str, tag: str) -> str:
    _, _, rest = page.partition(f"<{tag}>")
    digest = hashlib.sha256(rest.partition(f"</{tag}>")[0].encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
