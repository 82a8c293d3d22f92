"""One reviewer's way through the deck: what is decided, what comes next, how far it is."""

import threading
from collections import Counter
from itertools import chain

from clipneuron.attack.review import decisions as reviews
from clipneuron.attack.review.decisions import CHOICES, Choice, Decision
from clipneuron.attack.review.deck import Deck

MAX_NOTE = 2000


class Session:
    """Decisions that were there when it began, and those made since; used by several threads."""

    def __init__(self, deck: Deck, reviewer: str) -> None:
        self.deck = deck
        self.reviewer = reviewer
        self._lock = threading.Lock()
        places = {picture: number for number, picture in enumerate(deck.pictures)}
        found = reviews.decisions(deck.run, deck.keys.pictures, reviewer)
        columns = (found[name].to_pylist() for name in ("picture", "decision", "note"))
        self._decided: dict[int, tuple[str, str]] = {
            places[picture]: (decision, note)
            for picture, decision, note in zip(*columns, strict=True)
            if picture in places
        }

    def decide(self, number: int, decision: str, note: str) -> None:
        """Puts a decision on record; raises ValueError for what cannot be one, StoreError."""
        if not isinstance(note, str) or len(note) > MAX_NOTE:
            raise ValueError(f"a note is a text of at most {MAX_NOTE} characters")
        deck, verdict = self.deck, _verdict(decision)
        picture = deck.card(number).picture
        made = reviews.decide(deck.run, deck.keys.pictures, self.reviewer, picture, verdict, note)
        self._remember(number, made)

    def state(self, number: int) -> dict[str, object]:
        """The card and the progress, as plain data for the page; raises ValueError for a number without a card."""
        card = self.deck.card(number)._asdict()
        del card["picture"]  # its id names the method
        with self._lock:
            decision, note = self._decided.get(number, ("", ""))
            progress = self._progress()
        return {"number": number, **card, "decision": decision, "note": note, **progress}

    def undecided(self, after: int) -> int | None:
        """The next picture without a decision, None if there is none.

        Those that fool the model come first: what was skipped among them is offered again before any other.
        """
        count, fooling = len(self.deck), self.deck.fooling
        start = min(max(after + 1, 0), count)
        end = fooling if start <= fooling else count
        turns = chain(range(start, end), range(start), range(end, count))
        with self._lock:
            return next((number for number in turns if number not in self._decided), None)

    def _progress(self) -> dict[str, object]:
        counts = Counter(decision for decision, _ in self._decided.values())
        fooling = self.deck.fooling
        return {
            "count": len(self.deck),
            "fooling": fooling,
            "decided": len(self._decided),
            "fooling_decided": sum(number < fooling for number in self._decided),
            "decisions": {verdict: counts[verdict] for verdict in CHOICES[:-1]},
            "left_out": self.deck.left_out,
            "reviewer": self.reviewer,
        }

    def _remember(self, number: int, made: Decision) -> None:
        with self._lock:
            if made.decision == reviews.UNDONE:
                self._decided.pop(number, None)
            else:
                self._decided[number] = made.decision, made.note


def _verdict(word: str) -> Choice:
    for verdict in CHOICES:
        if verdict == word:
            return verdict
    raise ValueError(f"{word!r} is no decision; there are {', '.join(CHOICES)}")
