"""A language model behind an OpenAI-compatible HTTP endpoint (vLLM and others) as a `Captioner`."""

import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from clipneuron.models.language.captioner import Prompt, Sampling, complete_lines, worded
from clipneuron.models.language.thoughts import spoken
from clipneuron.models.places import SECONDS, UnavailableError

KEY_VARIABLE = "OPENAI_API_KEY"

_LARGEST = 2**24
"""Bytes of a reply; an answer of 2048 tokens has some ten thousand."""
_LONGEST_PAUSE = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})

_NOT_NOW = frozenset({502, 503, 504})
_SHOWN = 300
"""Characters that are shown of what came with a refusal."""
_KEY = "is the key in {key} the right one?"
_PLACE = "correct the address or the model's name in `attack.captioner`"
_HINTS = {401: _KEY, 403: _KEY, 404: _PLACE, 405: _PLACE} | dict.fromkeys(
    _NOT_NOW, "it is not ready: try again once it is"
)
_HINT = (
    "correct the model's name or the sampling (`attack.temperature`, `attack.top_p`, `attack.max_tokens`, "
    "`attack.limit_field`), or leave out by `attack.omit` what it does not take (system, temperature, top_p, "
    "max_tokens, seed)"
)

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How long a service is waited for, how often it is asked again, and how many requests it gets at a time."""

    timeout: float = 120.0
    """Seconds for one reply as a whole, from the connection to its last byte."""
    tries: int = 6
    """Attempts per prompt, the first included."""
    pause: float = 1.0
    """Seconds before the second try; doubled before each further one, up to a minute, unless the service
    names a time itself (Retry-After)."""
    at_once: int = 8
    """Requests under way at the same time."""
    per_minute: float = 0.0
    """Requests begun per minute, tries counted; 0 sets no limit."""

    def __post_init__(self) -> None:
        if (
            self.timeout <= 0
            or self.pause < 0
            or self.per_minute < 0
            or min(self.tries, self.at_once) < 1
        ):
            raise ValueError(
                f"expected a timeout above 0, at least one try, one request at once and no negative time, got {self}"
            )


class HttpCaptioner:
    """Answers of `model` at `url`/chat/completions, e.g. HttpCaptioner("http://host:8000/v1", "llama-3").

    The key, if one is needed, is read from the environment variable `key_variable` at each request and kept
    nowhere. 408, 409, 425, 429, 5xx, hangs, broken connections and replies that are no answer are tried again.
    `limit_field` is what the service calls the greatest length of an answer.
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        sampling: Sampling | None = None,
        retry_policy: RetryPolicy | None = None,
        key_variable: str = KEY_VARIABLE,
        limit_field: str = "max_tokens",
    ):
        if not _is_address(url):
            raise ValueError(f"expected an address such as http://localhost:8000/v1, got {url!r}")
        self._base = url.rstrip("/")
        self._url = self._base + "/chat/completions"
        self._model = model
        self._sampling = sampling or Sampling()
        self._policy = retry_policy or RetryPolicy()
        self._key_variable = key_variable
        self._limit_field = limit_field

    @property
    def name(self) -> str:
        """The model as the service calls it, and its sampling; not where the service is."""
        return f"http-{self._model}-{self._sampling}"

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One answer per prompt; of one that reached the greatest length, the lines that are whole.

        Raises UnavailableError for what the service refuses (3xx and 4xx), where every try failed, and where no answer
        at all came out of the model's thoughts before the greatest length.
        """
        pace, most = _Pace(self._policy.per_minute), self._policy.at_once
        limits = httpx2.Limits(max_connections=most, max_keepalive_connections=most)
        with (
            httpx2.Client(timeout=self._policy.timeout, limits=limits) as client,
            ThreadPoolExecutor(most) as pool,
        ):
            waiting = [pool.submit(self._answer, client, prompt, pace) for prompt in prompts]
            try:
                found = [future.result() for future in waiting]
            finally:
                pool.shutdown(cancel_futures=True)  # after one failure, ask for nothing more
        return worded(found, self._model, self._sampling)

    def look(self) -> None:
        """Raises UnavailableError where nobody answers at the address, or not without another key; asks no model."""
        try:
            asked = httpx2.get(f"{self._base}/models", headers=self._headers(), timeout=SECONDS)
        except httpx2.RequestError as error:
            what = self._without_key(str(error)) or type(error).__name__
            raise UnavailableError(
                f"no language model answers at {self._base} ({what}): start the service, or correct the address in "
                "`attack.captioner`"
            ) from error
        if asked.status_code in _NOT_NOW or asked.status_code == 401:
            status, message = asked.status_code, self._message(asked)
            raise UnavailableError(f"{self._base} said {status} ({message}); {self._hint(status)}")

    def _answer(self, client: httpx2.Client, prompt: Prompt, pace: "_Pace") -> str | None:
        """The answer, after as many tries as it takes and are allowed; None where all of it was thought."""
        retrying = Retrying(
            retry=retry_if_exception_type(_PassingError),
            stop=stop_after_attempt(self._policy.tries),
            wait=self._pauses(prompt.seed),
            before_sleep=self._log,
            reraise=True,
        )
        try:
            return retrying(self._one_try, client, prompt, pace)
        except _PassingError as error:
            raise UnavailableError(
                f"{self._url} gave no answer in {self._policy.tries} tries; the last time, {error}. "
                "Is it up, and does it bear so many requests?"
            ) from error

    def _one_try(self, client: httpx2.Client, prompt: Prompt, pace: "_Pace") -> str | None:
        pace.wait()
        return _answer_in(self._reply(client, prompt))

    def _pauses(self, seed: int) -> Callable[[RetryCallState], float]:
        """The seconds before each further try of one prompt."""
        dice = random.Random(seed)

        def pause(state: RetryCallState) -> float:
            asked = _trouble(state).retry_after
            seconds = asked or self._policy.pause * 2 ** (state.attempt_number - 1)
            # Up to half as long again: those who failed together should not come back together.
            return min(seconds, _LONGEST_PAUSE) * (1 + dice.random() / 2)

        return pause

    def _log(self, state: RetryCallState) -> None:
        _LOG.warning("%s: %s; try %d", self._url, _trouble(state), state.attempt_number + 1)

    def _reply(self, client: httpx2.Client, prompt: Prompt) -> bytes:
        deadline = time.monotonic() + self._policy.timeout
        body, headers = self._body(prompt), self._headers()
        try:
            with client.stream("POST", self._url, json=body, headers=headers) as response:
                if response.is_success:
                    return _read(response, deadline)
                raise self._refusal(response)
        except httpx2.RequestError as error:
            what = self._without_key(str(error)) or type(error).__name__
            raise _PassingError(f"the connection failed ({what})") from error

    def _body(self, prompt: Prompt) -> dict[str, object]:
        sampling = self._sampling
        options = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_new_tokens,
            "seed": prompt.seed,
        }
        sent = {name: value for name, value in options.items() if name not in sampling.omit}
        if "max_tokens" in sent:
            sent[self._limit_field] = sent.pop("max_tokens")
        return {"model": self._model, "messages": sampling.messages(prompt), **sent}

    def _headers(self) -> dict[str, str]:
        key = self._key()
        return {"Accept": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def _key(self) -> str:
        return os.environ.get(self._key_variable, "").strip()

    def _without_key(self, text: str) -> str:
        """The text without the key, which some services repeat."""
        return text.replace(self._key(), "***") if self._key() else text

    def _refusal(self, response: httpx2.Response) -> "UnavailableError | _PassingError":
        """What to make of a status that is not 2xx: a mistake of ours, or trouble that may pass."""
        status, message = response.status_code, self._message(response)
        if status in _WORTH_ANOTHER_TRY or status >= 500:
            wait = _seconds(response.headers.get("Retry-After"))
            return _PassingError(f"it said {status} ({message})", wait)
        return UnavailableError(
            f"{self._url} refused a prompt for {self._model!r}: {status} ({message}); {self._hint(status)}"
        )

    def _message(self, response: httpx2.Response) -> str:
        """What the service says of its refusal, in a line."""
        return " ".join(self._without_key(_message(response)).split())[:_SHOWN]

    def _hint(self, status: int) -> str:
        """What to do about a refusal."""
        return _HINTS.get(status, _HINT).format(key=self._key_variable)


class _PassingError(Exception):
    """Something that another try may not meet."""

    def __init__(self, what: str, retry_after: float = 0.0):
        super().__init__(what)
        self.retry_after = retry_after


class _Pace:
    """Spaces out the beginnings of requests of all threads."""

    def __init__(self, per_minute: float):
        self._gap = 60 / per_minute if per_minute else 0.0
        self._next = time.monotonic()
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Returns when the next request may begin."""
        with self._lock:
            turn = max(self._next, time.monotonic())
            self._next = turn + self._gap
        time.sleep(max(0.0, turn - time.monotonic()))


def _is_address(url: str) -> bool:
    try:
        return httpx2.URL(url).scheme in ("http", "https") and bool(httpx2.URL(url).host)
    except httpx2.InvalidURL:
        return False


def _trouble(state: RetryCallState) -> _PassingError:
    """Why the last try failed."""
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _PassingError)  # nothing else is tried again
    return error


def _read(response: httpx2.Response, deadline: float) -> bytes:
    """The whole body; a service that sends a byte now and then does not hold us for ever."""
    body = bytearray()
    for part in response.iter_bytes():
        body += part
        if time.monotonic() > deadline or len(body) > _LARGEST:
            raise _PassingError("its reply did not end")
    return bytes(body)


def _answer_in(body: bytes) -> str | None:
    """The text of the first choice, None where it ended within the model's thoughts; _PassingError if there is none."""
    try:
        choice = json.loads(body)["choices"][0]
        message, why = choice["message"], choice.get("finish_reason")
        content = _text(message.get("content"))
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _PassingError(f"its reply was no chat completion ({body[:80]!r})") from error
    if content is None and (message.get("refusal") or why == "content_filter"):
        content = message.get("refusal") or ""  # an answer too, though not the one we hoped for
    if why == "length":
        return complete_lines(content).strip() if content and spoken(content) else None
    if content is None:
        there = ", ".join(name for name, value in message.items() if value) or "nothing"
        raise _PassingError(f"its reply held no text (it ended by {why!r} and has {there})")
    return content.strip()


def _text(content: object) -> str | None:
    """The text of a message, also of one in parts; None where there is none."""
    if isinstance(content, list):
        parts = [
            part.get("text") for part in content if part.get("type") in ("text", "output_text")
        ]
        return "".join(part for part in parts if isinstance(part, str)) or None
    return content if isinstance(content, str) else None


def _message(response: httpx2.Response) -> str:
    """The beginning of what came with a status, or the status's own words."""
    try:
        text = next(response.iter_bytes(), b"")[:2000].decode("utf-8", "replace").strip()
    except httpx2.RequestError:
        text = ""
    return text or response.reason_phrase


def _seconds(header: str | None) -> float:
    """How long the service asks us to wait; 0 where it does not say, or says a date."""
    try:
        return max(0.0, float(header or 0))
    except ValueError:
        return 0.0
