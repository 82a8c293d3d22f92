"""What a language model has answered, so that nothing is asked, and paid for, twice.

    {run}/answers/{digest}.json    put by whoever got an answer first

The digest is that of the whole question. A second answer to the same question is dropped: every attempt at a shard
reads the same ones, whatever a service says the next time.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from clipneuron.store import records
from clipneuron.store.errors import ObjectMissingError
from clipneuron.store.identity import canonical
from clipneuron.store.objects.protocol import Objects

Question = Mapping[str, str | int]
"""Everything that the answer depends on: the captioner's name, the prompt, the seed."""


def digest(value: object) -> str:
    """The sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()


@dataclass(frozen=True)
class Answers:
    """The answers that a run has; plain data, so it travels to workers."""

    objects: Objects
    """The run's."""

    def find(self, question: Question) -> str | None:
        """The answer on record, None if there is none; raises StoreError."""
        key = _key(question)
        try:
            data = self.objects.get(key)
        except ObjectMissingError:
            return None
        return _answer(data, self.objects.location(key))

    def keep(self, question: Question, answer: str) -> str:
        """The answer that is on record now: this one, or the one that came first; raises StoreError."""
        key = _key(question)
        entry = records.sealed({"question": dict(question), "answer": answer})
        if self.objects.create(key, (json.dumps(entry, indent=1) + "\n").encode()):
            return answer
        return _answer(self.objects.get(key), self.objects.location(key))


def _key(question: Question) -> str:
    return f"answers/{digest(dict(question))}.json"


def _answer(data: bytes, location: str) -> str:
    records.check_digest(data, location)
    answer = json.loads(data).get("answer")
    if not isinstance(answer, str):
        raise records.damaged(location, "it holds no answer")
    return answer
