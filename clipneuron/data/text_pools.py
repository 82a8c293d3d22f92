"""Pools of texts to describe neurons with: common English words, a file of texts, or one from the web."""

import hashlib
import os
import re
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from urllib.parse import urldefrag, urlsplit

from clipneuron.data.pool_files import lines_in
from clipneuron.reports.quantities import in_words
from clipneuron.store.objects.opening import local_path

LONGEST = 300
"""Characters; CLIP reads 77 tokens and truncates the rest, so longer texts would not be encoded whole."""

_WORDS = re.compile(r"words-([0-9]+)(k?)")
_TIMEOUT = 30.0
_LARGEST = 256 * 2**20
_PIN = "sha256="


@dataclass(frozen=True)
class Pool:
    """Distinct texts in a fixed order."""

    name: str
    """Only letters, digits, ".", "_" and "-", so that it can be part of other names."""
    texts: tuple[str, ...]
    digest: str
    """sha256 of the texts, one per line."""
    dropped: Mapping[str, int] = field(default_factory=dict)
    """How many lines were left out, by reason."""
    cut: Mapping[str, int] = field(default_factory=dict)
    """Texts that a model reads only the beginning of, and their numbers of tokens, once a model has been asked."""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def left_out(self) -> str:
        """What was dropped, in words: "3 empty, 1 duplicate"; "" if nothing was."""
        return in_words(self.dropped)

    def without(self, texts: Collection[str], reason: str) -> "Pool":
        """The pool without these texts, which are counted as dropped for the reason."""
        if not texts:
            return self
        kept = tuple(text for text in self.texts if text not in texts)
        dropped = {**self.dropped, reason: len(self.texts) - len(kept)}
        return replace(self, texts=kept, digest=_digest(kept), dropped=dropped)

    def check_size(self, least: int) -> None:
        """Raises ValueError where there are fewer texts."""
        if len(self) < least:
            raise ValueError(
                f"the text pool {self.name!r} has only {len(self)} text ({self.texts[0]!r:.60}), which would describe "
                f"every neuron: give at least {least}, one per line"
            )


def open_pool(spec: str | os.PathLike[str]) -> Pool:
    """The pool named by "words-10k", by a text file's path or by an http(s) or file URL.

    A URL may end in #sha256=..., the digest that the file must have. Raises ValueError.
    """
    text = os.fspath(spec)
    words = _WORDS.fullmatch(text)
    if words:
        return _common_words(text, int(words[1]) * (1000 if words[2] else 1))
    if "://" in text:
        return _from_url(text)
    return pool_of(local_path(text).stem, lines_in(_read_file(local_path(text)), text))


def check_pool(spec: str, least: int = 1) -> None:
    """Raises ValueError for a file that is not there or holds no `least` texts; words and the web are not asked."""
    if not _WORDS.fullmatch(spec) and urlsplit(spec).scheme not in ("http", "https"):
        open_pool(spec).check_size(least)


def pool_of(name: str, lines: Iterable[str], *, longest: int = LONGEST) -> Pool:
    """The pool of the lines, without blank, repeated and too long ones.

    Raises ValueError when none is left.

    >>> pool_of("pets", ["dog", " cat ", "", "dog"]).texts
    ('dog', 'cat')
    """
    dropped: Counter[str] = Counter({"empty": 0, "duplicate": 0, "too long": 0})
    texts: dict[str, None] = {}
    for text in map(str.strip, lines):
        reason = _unfit(text, texts, longest)
        if reason:
            dropped[reason] += 1
        else:
            texts[text] = None
    if not texts:
        counts = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        raise ValueError(
            f"the text pool {name!r} is empty (dropped: {counts}): give one text per line"
        )
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-._")
    return Pool(plain or "texts", tuple(texts), _digest(texts), dict(dropped))


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def _unfit(text: str, kept: Mapping[str, None], longest: int) -> str:
    if not text:
        return "empty"
    if text in kept:
        return "duplicate"
    return "too long" if len(text) > longest else ""


def _common_words(name: str, count: int) -> Pool:
    # Imported here because it takes a third of a second and most processes never need it.
    from wordfreq import top_n_list

    words = top_n_list("en", count) if count else []
    if len(words) < count:
        raise ValueError(f"{name!r} asks for {count} words, but only {len(words)} are known")
    return pool_of(name, words)


def _from_url(url: str) -> Pool:
    address, fragment = urldefrag(url)
    if fragment and not re.fullmatch(_PIN + "[0-9a-f]{64}", fragment):
        raise ValueError(
            f"{url}: after # comes sha256= and 64 hexadecimal digits, not {fragment!r}"
        )
    scheme = urlsplit(address).scheme
    data = _download(address) if scheme in ("http", "https") else _read_file(local_path(address))
    found = hashlib.sha256(data).hexdigest()
    if fragment and fragment != _PIN + found:
        raise ValueError(
            f"{address} is not the file that was meant: its sha256 is {found}, expected "
            f"{fragment.removeprefix(_PIN)}; find the right file or correct the digest"
        )
    return pool_of(PurePosixPath(urlsplit(address).path).stem, lines_in(data, address))


def _read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(
            f'there is no text pool {str(path)!r}: expected a name such as "words-10k", a text file or a URL'
        ) from None
    except OSError as error:
        raise ValueError(f"can't read the text pool {path}: {error.strerror}") from error


def _download(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            data: bytes = response.read(_LARGEST + 1)
            # With a size, read() says nothing of a connection that ended early.
            missing = response.length or 0
    except (OSError, ValueError, HTTPException) as error:
        raise ValueError(
            f"can't fetch the text pool {url}: {error}; try again, or save it and give its path"
        ) from error
    if len(data) > _LARGEST:
        raise ValueError(f"{url} is larger than {_LARGEST} bytes: is it a list of texts?")
    if missing:
        raise ValueError(
            f"can't fetch the text pool {url}: the connection ended {missing:,} bytes early; try again"
        )
    return data
