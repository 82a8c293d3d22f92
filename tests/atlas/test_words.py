"""Words that share neurons, and how many meanings a neuron has, on uses that are known."""

import numpy as np
import pyarrow as pa
import pytest

from clipneuron.atlas.finding.words import Uses, meanings
from clipneuron.tables import registry as tables


def uses(*rows: tuple[int, int, str, float]) -> Uses:
    layer, neuron, text, weight = zip(*rows, strict=True) if rows else ((), (), (), ())
    columns = {"layer": layer, "neuron": neuron, "text": text, "weight": weight}
    schema = pa.schema([tables.schema("neuron_words").field(name) for name in columns])
    return Uses.of(pa.table({name: list(values) for name, values in columns.items()}, schema))


def number(found: Uses, text: str) -> int:
    return found.texts.index(text)


def test_the_neurons_of_a_word_come_by_their_weight() -> None:
    found = uses(
        (9, 4, "ship", 0.2), (10, 70_000, "ship", -0.5), (9, 4, "car", 0.9), (9, 1, "ship", 0.2)
    )
    neurons = found.neurons(number(found, "ship"))
    assert [neuron for neuron, _ in neurons] == [(10, 70_000), (9, 1), (9, 4)]
    assert [weight for _, weight in neurons] == pytest.approx([-0.5, 0.2, 0.2])
    assert found.neurons(number(found, "ship"), most=1) == neurons[:1]
    assert dict(zip(found.texts, found.counts.tolist(), strict=True)) == {"car": 1, "ship": 3}


def test_a_word_that_two_pools_give_a_neuron_counts_once_by_its_larger_weight() -> None:
    found = uses((0, 1, "ship", 0.1), (0, 1, "ship", -0.3), (0, 2, "ship", 0.2))
    assert found.neurons(0) == [((0, 1), pytest.approx(-0.3)), ((0, 2), pytest.approx(0.2))]


def test_companions_are_the_words_that_share_more_neurons_than_chance() -> None:
    rows = [(0, n, "ship", 0.3) for n in range(6)]
    rows += [(0, n, "car", 0.3) for n in (0, 1, 2, 3, 10)]
    rows += [(0, n, "sky", 0.1) for n in range(12)]  # everywhere: it says nothing about ships
    rows += [(0, n, "dog", 0.3) for n in (8, 9)]
    found = uses(*rows)
    assert found.companions(number(found, "ship"), 5) == [("car", 4)]
    assert found.companions(number(found, "car"), 5) == [("ship", 4)]
    assert found.companions(number(found, "sky"), 5) == []


def test_companions_agree_with_counting_by_hand() -> None:
    dice = np.random.default_rng(1)
    rows = {
        (0, int(n), f"w{w}")
        for n, w in zip(dice.integers(0, 60, 400), dice.integers(0, 20, 400), strict=True)
    }
    found = uses(*((*row, 0.1) for row in sorted(rows)))
    users = {text: {n for _, n, other in rows if other == text} for text in found.texts}
    everyone = len(set.union(*users.values()))
    for text, mine in users.items():
        excess = {
            other: len(mine & theirs) - len(mine) * len(theirs) / everyone
            for other, theirs in users.items()
            if other != text
        }
        best = sorted(
            (o for o in excess if excess[o] > 1e-9), key=lambda o: (-round(excess[o], 9), o)
        )
        said = found.companions(number(found, text), 3)
        assert dict(said) == {o: len(mine & users[o]) for o in best[:3]}


def test_no_words_at_all() -> None:
    assert uses().texts == ()
    assert meanings([]).shape == (0,)


def test_meanings_count_unlike_words() -> None:
    found = meanings(
        [[(0, 1.0)], [(0, 0.5), (1, 0.5)], [(0, 0.5), (1, -0.5), (2, 0.5), (3, 0.5)], []]
    )
    assert found[:3].tolist() == pytest.approx([1, 2, 4])
    assert np.isnan(found[3])
    assert meanings([[(0, 0.9), (1, 0.1)]])[0] == pytest.approx(1 / (0.81 + 0.01))


def test_synonyms_are_one_meaning_and_opposites_are_two() -> None:
    ship, boat, car = np.eye(4)[[0, 0, 1]] + 10.0  # what all texts have in common is taken off
    pool = np.stack([ship, boat, car, *(np.eye(4)[[2, 3]] + 10.0)])
    words = [
        [(0, 0.5), (1, 0.5)],
        [(0, 0.5), (2, 0.5)],
        [(0, 0.5), (1, -0.5)],
        [(0, -0.5), (1, -0.5)],
    ]
    assert meanings(words, pool).tolist() == pytest.approx([1, 2, 2, 1])


def test_many_neurons_are_as_one_at_a_time() -> None:
    dice = np.random.default_rng(2)
    pool = dice.standard_normal((30, 8))
    words = [
        [
            (int(w), float(v))
            for w, v in zip(dice.integers(0, 30, n), dice.standard_normal(n), strict=True)
        ]
        for n in dice.integers(1, 6, 1100)
    ]
    found = meanings(words, pool)
    assert found[::97].tolist() == pytest.approx([meanings([one], pool)[0] for one in words[::97]])
