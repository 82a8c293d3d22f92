"""A language model behind an OpenAI-compatible HTTP endpoint (vLLM and others) as a `Captioner`."""

import http.client
import json
import logging
import os
import random
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlsplit

from clipneuron.models.language.captioner import Prompt, Sampling, complete_lines

KEY_VARIABLE = "OPENAI_API_KEY"

_LARGEST = 2**24
"""Bytes of a reply; an answer of 2048 tokens has some ten thousand."""
_LONGEST_PAUSE = 60.0
_WORTH_ANOTHER_TRY = frozenset({408, 409, 425, 429})

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long a service is waited for, and how hard it is pressed."""

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
    """

    def __init__(
        self,
        url: str,
        model: str,
        *,
        sampling: Sampling | None = None,
        patience: Patience | None = None,
        key_variable: str = KEY_VARIABLE,
    ):
        if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).netloc:
            raise ValueError(f"expected an address such as http://localhost:8000/v1, got {url!r}")
        self._url = url.rstrip("/") + "/chat/completions"
        self._model = model
        self._sampling = sampling or Sampling()
        self._patience = patience or Patience()
        self._key_variable = key_variable

    @property
    def name(self) -> str:
        """The model as the service calls it, and its sampling; not where the service is."""
        return f"http-{self._model}-{self._sampling}"

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One answer per prompt; of one that reached the greatest length, the lines that are whole.

        Raises ValueError for what the service refuses (4xx), ConnectionError where all tries were in vain.
        """
        pace = _Pace(self._patience.per_minute)
        with ThreadPoolExecutor(self._patience.at_once) as pool:
            waiting = [pool.submit(self._answer, prompt, pace) for prompt in prompts]
            try:
                return [future.result() for future in waiting]
            finally:
                pool.shutdown(cancel_futures=True)  # after one failure, ask for nothing more

    def _answer(self, prompt: Prompt, pace: "_Pace") -> str:
        """The answer, after as many tries as it takes and are allowed."""
        dice, trouble = random.Random(prompt.seed), _PassingError("it was never asked")
        for attempt in range(self._patience.tries):
            if attempt:
                pause = trouble.retry_after or self._patience.pause * 2 ** (attempt - 1)
                _LOG.warning("%s: %s; try %d", self._url, trouble, attempt + 1)
                # Up to half as long again: those who failed together should not come back together.
                time.sleep(min(pause, _LONGEST_PAUSE) * (1 + dice.random() / 2))
            pace.wait()
            try:
                return _answer_in(self._reply(prompt))
            except _PassingError as error:
                trouble = error
        raise ConnectionError(
            f"{self._url} gave no answer in {self._patience.tries} tries; the last time, {trouble}. "
            "Is it up, and does it bear so many requests (at_once, per_minute)?"
        )

    def _reply(self, prompt: Prompt) -> bytes:
        deadline = time.monotonic() + self._patience.timeout
        try:
            with urllib.request.urlopen(
                self._request(prompt), timeout=self._patience.timeout
            ) as response:
                return _read(response, deadline)
        except urllib.error.HTTPError as error:
            raise self._refusal(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise _PassingError(
                f"the connection failed ({error or type(error).__name__})"
            ) from error

    def _request(self, prompt: Prompt) -> urllib.request.Request:
        messages = [{"role": "user", "content": prompt.user}]
        if prompt.system:
            messages.insert(0, {"role": "system", "content": prompt.system})
        body = {
            "model": self._model,
            "messages": messages,
            "temperature": self._sampling.temperature,
            "top_p": self._sampling.top_p,
            "max_tokens": self._sampling.max_new_tokens,
            "seed": prompt.seed,
        }
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if key := os.environ.get(self._key_variable):
            headers["Authorization"] = f"Bearer {key}"
        return urllib.request.Request(self._url, json.dumps(body).encode(), headers)

    def _refusal(self, error: urllib.error.HTTPError) -> "ValueError | _PassingError":
        """What to make of a status that is not 2xx: a mistake of ours, or trouble that may pass."""
        said, key = _text_of(error), os.environ.get(self._key_variable)
        said = (said.replace(key, "***") if key else said)[:200]  # some services repeat it
        if error.code in _WORTH_ANOTHER_TRY or error.code >= 500:
            return _PassingError(
                f"it said {error.code} ({said})", _seconds(error.headers["Retry-After"])
            )
        hint = (
            f"is the key in {self._key_variable} the right one?"
            if error.code in (401, 403)
            else "correct the address, the model's name or the sampling"
        )
        return ValueError(
            f"{self._url} refused a prompt for {self._model!r}: {error.code} ({said}); {hint}"
        )


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


def _read(response: http.client.HTTPResponse, deadline: float) -> bytes:
    """The whole body; a service that sends a byte now and then does not hold us for ever."""
    parts: list[bytes] = []
    while part := response.read1(2**16):
        parts.append(part)
        if time.monotonic() > deadline or sum(map(len, parts)) > _LARGEST:
            raise _PassingError("its reply did not end")
    return b"".join(parts)


def _answer_in(body: bytes) -> str:
    """The text of the first choice; _PassingError if the body holds none."""
    try:
        choice = json.loads(body)["choices"][0]
        message, why = choice["message"], choice.get("finish_reason")
        content = message.get("content")
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise _PassingError(f"its reply was no chat completion ({body[:80]!r})") from error
    if content is None and (message.get("refusal") or why == "content_filter"):
        content = message.get("refusal") or ""  # an answer too, though not the one we hoped for
    if not isinstance(content, str):
        raise _PassingError(f"its reply held no text ({body[:80]!r})")
    return (complete_lines(content) if why == "length" else content).strip()


def _text_of(error: urllib.error.HTTPError) -> str:
    try:
        with error:
            said: str = error.read1(2000).decode("utf-8", "replace").strip()
    except (OSError, http.client.HTTPException):
        said = ""
    return said or str(error.reason)


def _seconds(said: str | None) -> float:
    """How long the service asks us to wait; 0 where it does not say, or says a date."""
    try:
        return max(0.0, float(said or 0))
    except ValueError:
        return 0.0
