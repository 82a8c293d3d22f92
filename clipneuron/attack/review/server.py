"""The page's server: this machine only, behind an address that cannot be guessed, and no other page may write."""

import asyncio
import base64
import hashlib
import hmac
import json
import logging
import secrets
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from clipneuron.attack.review import drawing
from clipneuron.attack.review.deck import Deck, ReviewKeys
from clipneuron.attack.review.session import MAX_NOTE, Session
from clipneuron.reports import markup
from clipneuron.store.errors import StoreError
from clipneuron.store.run import Run

LOG = logging.getLogger(__name__)
_MAX_BODY = 2**16
_OWN_NAMES = {"127.0.0.1", "::1", "localhost"}
_IDLE = 60.0
"""Seconds that an idle connection is kept."""
_UNFINISHED = 5.0
"""Seconds that answers under way have when the page is closed."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Review:
    """A page that is being served, from its making until `close`; also a context manager."""

    def __init__(self, session: Session, host: str, port: int) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family)
        self._host, self._port = self._socket.getsockname()[:2]
        self._site = _Site(session, self._host)
        self._loop = asyncio.new_event_loop()
        self._begun = Future[None]()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        self._begun.result()

    @property
    def url(self) -> str:
        """The page's address; whoever knows it can decide."""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{shown}:{self._port}/{self._site.token}/"

    def wait(self) -> None:
        """Returns when the page is closed; an interrupt (Ctrl-C) passes through."""
        self._thread.join()

    def close(self) -> None:
        """Ends the page; every decision that was answered is on record."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def __enter__(self) -> "Review":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self) -> None:
        runner = web.AppRunner(
            self._site.application(),
            access_log=None,  # addresses hold the token
            keepalive_timeout=_IDLE,
            shutdown_timeout=_UNFINISHED,
        )
        with asyncio.Runner(loop_factory=lambda: self._loop) as loop:
            try:
                loop.run(runner.setup())
                loop.run(web.SockSite(runner, self._socket).start())
            except Exception as error:
                self._begun.set_exception(error)
                return
            self._begun.set_result(None)
            self._loop.run_forever()
            loop.run(runner.cleanup())  # also of connections that a browser keeps


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


class _RefusedError(Exception):
    """A request that gets an error for an answer."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Site:
    """What is answered; what reads or writes the store is done in threads, beside one another."""

    def __init__(self, session: Session, host: str) -> None:
        self.token = secrets.token_urlsafe(24)
        self._session = session
        self._host = host
        self._local = ip_address(host).is_loopback
        self._page = markup.page("attack/review/page.html", max_note=MAX_NOTE)
        self._headers = {
            "Content-Security-Policy": _policy(self._page),
            "Cache-Control": "no-store",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Referrer-Policy": "same-origin",
            "Server": "clipneuron",
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
        }

    def application(self) -> web.Application:
        """The routes, below the token."""
        application = web.Application(middlewares=[self._guarded], client_max_size=_MAX_BODY)
        root, card = f"/{self.token}", f"/{self.token}/cards/{{number:[0-9]{{1,9}}}}"
        application.add_routes(
            [
                web.get(f"{root}/", self._show_page, allow_head=False),
                web.get(f"{root}/next", self._next, allow_head=False),
                web.get(card, self._card, allow_head=False),
                web.post(card, self._decide),
                web.get(f"{card}/picture.png", self._picture, allow_head=False),
                web.get(f"{card}/heatmap.png", self._heatmap, allow_head=False),
            ]
        )
        return application

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """The answer with the headers of all answers, or why there is none."""
        try:
            self._check_host(request)
            self._check_token(request)
            answer = await handler(request)
        except _RefusedError as error:
            answer = _refusal(error.status, str(error))
        except web.HTTPNotFound:
            answer = _refusal(HTTPStatus.NOT_FOUND, "there is no such page")
        except web.HTTPMethodNotAllowed:
            answer = _refusal(HTTPStatus.NOT_FOUND, "decisions are sent to a card")
        except ValueError as error:
            answer = _refusal(HTTPStatus.BAD_REQUEST, str(error))
        except StoreError as error:
            LOG.error("review: %s", error)
            answer = _refusal(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        answer.headers.update(self._headers)
        return answer

    async def _show_page(self, request: web.Request) -> web.Response:
        return web.Response(text=self._page, content_type="text/html")

    async def _next(self, request: web.Request) -> web.Response:
        after = int(request.query.get("after", "-1"))
        return web.json_response({"number": self._session.undecided(after)})

    async def _card(self, request: web.Request) -> web.Response:
        return web.json_response(await asyncio.to_thread(self._session.state, _number(request)))

    async def _picture(self, request: web.Request) -> web.Response:
        return await _png(lambda: drawing.bare(self._session.deck.image(_number(request))))

    async def _heatmap(self, request: web.Request) -> web.Response:
        deck, number = self._session.deck, _number(request)
        return await _png(lambda: drawing.overlay(deck.heatmap(number), deck.image(number)))

    async def _decide(self, request: web.Request) -> web.Response:
        _check_origin(request)
        decision, number = await _decision_in(request), _number(request)
        await asyncio.to_thread(
            self._session.decide, number, decision.get("decision", ""), decision.get("note", "")
        )
        return await self._card(request)

    def _check_host(self, request: web.Request) -> None:
        """Against a page whose name was made to point at this machine (DNS rebinding)."""
        name = urlsplit(f"//{request.headers.get('Host', '')}").hostname
        if self._local and name not in {*_OWN_NAMES, self._host}:
            raise _RefusedError(HTTPStatus.FORBIDDEN, "this page is served under 127.0.0.1 only")

    def _check_token(self, request: web.Request) -> None:
        given = request.rel_url.raw_path.split("/")[1:2]
        if not hmac.compare_digest("".join(given).encode(), self.token.encode()):
            raise _RefusedError(HTTPStatus.NOT_FOUND, "there is no such page")


def _number(request: web.Request) -> int:
    return int(request.match_info["number"])


async def _png(draw: Callable[[], bytes]) -> web.Response:
    return web.Response(body=await asyncio.to_thread(draw), content_type="image/png")


def _refusal(status: HTTPStatus, why: str) -> web.Response:
    answer = web.json_response({"error": why}, status=status)
    # A body that was refused may be unread: it must not pass for the next request.
    answer.force_close()
    return answer


def _check_origin(request: web.Request) -> None:
    """Against other pages in the same browser; a tunnel's port is as good as the server's own."""
    if request.headers.get("Origin") != f"http://{request.headers.get('Host', '')}":
        raise _RefusedError(HTTPStatus.FORBIDDEN, "decisions are taken from this page only")
    if request.content_type != "application/json":
        raise _RefusedError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a decision is sent as JSON")


async def _decision_in(request: web.Request) -> dict[str, Any]:
    if request.content_length is None or request.content_length > _MAX_BODY:
        why = f"a decision needs a Content-Length of at most {_MAX_BODY} bytes"
        raise _RefusedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
    decision = json.loads(await request.read())
    if not isinstance(decision, dict):
        raise ValueError('a decision is an object: {"decision": "keep", "note": ""}')
    return decision


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
