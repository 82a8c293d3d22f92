import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clipneuron.store.identity import canonical, differences, fingerprint

leaves = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
)
values = st.recursive(
    leaves | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)
identities = st.dictionaries(st.text(min_size=1, max_size=4), values, max_size=4)


def test_the_order_of_keys_does_not_matter() -> None:
    assert fingerprint({"a": 1, "b": {"x": 1, "y": 2}}) == fingerprint(
        {"b": {"y": 2, "x": 1}, "a": 1}
    )


def test_a_tuple_is_a_list() -> None:
    assert fingerprint({"layers": (8, 9)}) == fingerprint({"layers": [8, 9]})


def test_neighbouring_floats_differ() -> None:
    assert fingerprint({"x": 0.1}) != fingerprint({"x": math.nextafter(0.1, 1.0)})


def test_a_fingerprint_is_short_and_stays_the_same_over_versions() -> None:
    assert fingerprint({}) == "44136fa355b3678a"


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, b"bytes", object()])
def test_what_json_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="plain JSON values"):
        fingerprint({"x": value})


@settings(max_examples=50)
@given(identities)
def test_storing_and_loading_keeps_the_fingerprint(identity: dict[str, object]) -> None:
    assert fingerprint(json.loads(json.dumps(identity))) == fingerprint(identity)


@settings(max_examples=50)
@given(identities, identities)
def test_differences_are_empty_only_for_equal_identities(
    one: dict[str, object], other: dict[str, object]
) -> None:
    same = canonical(one) == canonical(other)
    # Nested keys are joined by dots, so only keys without dots are told apart for certain.
    if same:
        assert differences(one, other) == []
    elif "." not in "".join([*one, *other]) and not any(
        isinstance(value, dict) for value in [*one.values(), *other.values()]
    ):
        assert differences(one, other)


def test_differences_name_nested_keys_and_what_is_not_there() -> None:
    stored: dict[str, object] = {"model": {"name": "a", "width": 64}, "layers": [8, 9], "same": 1}
    asked: dict[str, object] = {"model": {"name": "b"}, "layers": [9], "same": 1, "new": True}
    assert differences(stored, asked) == [
        "layers: stored [8, 9], asked [9]",
        'model.name: stored "a", asked "b"',
        "model.width: stored 64, asked nothing",
        "new: stored nothing, asked true",
    ]
