"""Language models behind one small interface: prompts in, answers out; and answers made elsewhere."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from clipneuron.models.places import UnavailableError

OMISSIBLE = ("system", "temperature", "top_p", "max_tokens", "seed")
"""What some models or services do not take: the system's turn (it begins the user's then), parts of the sampling."""

_NAMED = 3
"""How many unanswered prompts an error shows."""


@dataclass(frozen=True)
class Prompt:
    """One request to a language model."""

    user: str
    """What is asked."""
    system: str = ""
    """The role that the model is given; empty for none."""
    seed: int = 0
    """Of the sampling: the same prompt with the same seed gets the same answer."""
    subject: str = ""
    """What the request is about, such as a class's name; no part of what the model reads."""


@runtime_checkable
class Captioner(Protocol):
    """Whatever answers prompts."""

    @property
    def name(self) -> str:
        """Tells apart captioners that could answer differently: it goes into fingerprints."""
        ...

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """One answer per prompt, in their order."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How a language model draws its words; the defaults are those of section 5.1 of the paper."""

    temperature: float = 0.6
    """What scores are divided by; 0 always takes the likeliest word."""
    top_p: float = 0.9
    """The share of probability that the likeliest words have together, to which the draw is limited."""
    max_new_tokens: int = 2048
    """The longest answer; 50 captions need more than 1024."""
    omit: frozenset[str] = frozenset()
    """What the model is not told, among `OMISSIBLE`."""

    def __post_init__(self) -> None:
        if unknown := self.omit - {*OMISSIBLE}:
            raise ValueError(
                f"there is no {', '.join(sorted(unknown))} to omit: expected some of {', '.join(OMISSIBLE)}"
            )
        if not (self.temperature >= 0 and 0 < self.top_p <= 1 and self.max_new_tokens >= 1):
            raise ValueError(
                f"expected a temperature of at least 0, top_p in (0, 1] and at least one new token, got {self}"
            )

    def __str__(self) -> str:
        without = "".join(f"-no-{name}" for name in sorted(self.omit))
        return f"t{self.temperature:g}-p{self.top_p:g}-n{self.max_new_tokens}{without}"

    def messages(self, prompt: Prompt) -> list[dict[str, str]]:
        """The prompt as turns of a chat; where the system's is omitted, what it says begins the user's."""
        user = {"role": "user", "content": prompt.user}
        if not prompt.system:
            return [user]
        if "system" in self.omit:
            return [{**user, "content": f"{prompt.system}\n\n{prompt.user}"}]
        return [{"role": "system", "content": prompt.system}, user]


def worded(answers: Sequence[str | None], model: str, sampling: Sampling) -> list[str]:
    """The answers, "" for one that was cut off within the model's thoughts; UnavailableError where all were."""
    if answers and all(answer is None for answer in answers):
        raise UnavailableError(
            f"{model} reached the limit of {sampling.max_new_tokens} tokens before it said anything, within its "
            "thoughts: raise `attack.max_tokens`, or choose a model that thinks less"
        )
    return [answer or "" for answer in answers]


def complete_lines(answer: str) -> str:
    """What is whole of an answer that was cut off at its greatest length: all but the last line."""
    return answer.rpartition("\n")[0]


class AnswersFile:
    """Answers from a file: JSON lines with "prompt" (or "class", the subject), "answer", perhaps "seed".

    `write_prompts` makes such a file that lacks only the answers. A line without a seed answers its
    prompt for any seed. Raises ValueError for a file that can't be read so.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self._path = Path(path)
        data = _read(self._path)
        self._answers = _answers(data, self._path)
        self.name = f"answers-{hashlib.sha256(data).hexdigest()}"

    def answers(self, prompts: Sequence[Prompt]) -> list[str]:
        """The file's answers; ValueError names prompts that have none."""
        found = [self._answer(prompt) for prompt in prompts]
        missing = [
            prompt.subject or prompt.user
            for prompt, answer in zip(prompts, found, strict=True)
            if answer is None
        ]
        if missing:
            raise ValueError(_unanswered(missing, len(prompts), self._path))
        return [answer for answer in found if answer is not None]

    def _answer(self, prompt: Prompt) -> str | None:
        """The answer that fits best: of the prompt's text rather than its subject, of its seed rather than any."""
        keys = ("prompt", prompt.user), ("class", prompt.subject)
        places = ((*key, seed) for key in keys for seed in (prompt.seed, None))
        return next((self._answers[place] for place in places if place in self._answers), None)


def write_prompts(path: str | os.PathLike[str], prompts: Sequence[Prompt]) -> None:
    """Write prompts as JSON lines, for any language model to answer: add "answer" to every line.

    `AnswersFile` reads the result. ValueError where there is such a file already: it may hold answers.
    """
    try:
        with open(path, "x", encoding="utf-8") as file:
            file.writelines(_line(prompt) for prompt in prompts)
    except FileExistsError:
        raise ValueError(f"{path} exists already and may hold answers: give another name") from None
    except OSError as error:
        raise ValueError(f"can't write the prompts to {path}: {error.strerror}") from error


def _line(prompt: Prompt) -> str:
    entry = {
        "class": prompt.subject,
        "system": prompt.system,
        "prompt": prompt.user,
        "seed": prompt.seed,
    }
    return json.dumps(entry, ensure_ascii=False) + "\n"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(f"can't read the answers file {path}: {error.strerror}") from error


Place = tuple[str, str, int | None]
"""Which key names the prompt, its value, and the seed (None: any)."""


def _answers(data: bytes, path: Path) -> dict[Place, str]:
    answers: dict[Place, str] = {}
    for number, entry in _entries(data, path):
        place, answer = _place(entry, f"{path}, line {number}"), entry.get("answer")
        if answer is None:  # a line that nobody has answered yet
            continue
        if not isinstance(answer, str):
            raise ValueError(f'{path}, line {number}: "answer" is not a text but {answer!r:.60}')
        if answers.setdefault(place, answer) != answer:
            raise ValueError(
                f"{path}, line {number}: a second, different answer to {place[1]!r:.80}: keep one, or give each a seed"
            )
    return answers


def _entries(data: bytes, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of the lines that are not blank, with their numbers from 1."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number} is no JSON: {error}; expected one object per line"
            ) from error
        if not isinstance(entry, dict):
            raise ValueError(f"{path}, line {number}: expected an object, got {entry!r:.60}")
        yield number, entry


def _place(entry: dict[str, Any], where: str) -> Place:
    key = "prompt" if "prompt" in entry else "class"
    named, seed = entry.get(key), entry.get("seed")
    if not isinstance(named, str) or not named:
        raise ValueError(f'{where}: expected "prompt" or "class" with a text beside "answer"')
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise ValueError(f'{where}: "seed" is a whole number, not {seed!r:.60}')
    return key, named, seed


def _unanswered(missing: Sequence[str], asked: int, path: Path) -> str:
    first = ", ".join(f"{text!r:.80}" for text in missing[:_NAMED])
    more = ", ..." if len(missing) > _NAMED else ""
    return (
        f"{path} answers {asked - len(missing)} of {asked} prompts and not {first}{more}: write the prompts with "
        "write_prompts of clipneuron.models.language.captioner, let a language model answer them and add its "
        'text as "answer" to each line'
    )
