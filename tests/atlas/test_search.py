"""The index of the search: what a query needs is in the one chunk that the query leads to."""

import json
from typing import Any

import pytest

from clipneuron.atlas.finding import search
from clipneuron.atlas.finding.search import DEEP, LEAF, SHOWN, Entry, index, keys_of

NEURONS = [(9, n) for n in (0, 1, 2, 5)] + [(10, 3)]


def read(content: bytes) -> tuple[str, Any]:
    call = content.decode()
    assert call.startswith("clipneuronAtlas(")
    assert call.endswith(");\n")
    name, data = json.loads("[" + call.removeprefix("clipneuronAtlas(").removesuffix(");\n") + "]")
    return name, data


def indexed(*entries: Entry) -> dict[str, Any]:
    return dict(read(content) for _, content in index(entries, NEURONS))


def many(count: int, start: str = "") -> list[Entry]:
    letters = "abcdefghij"
    return [
        Entry.word(start + "".join(letters[int(d)] for d in f"{n:05d}"), n, [(9, 1)])
        for n in range(count)
    ]


def found(chunks: dict[str, Any], key: str) -> list[str]:
    """The texts that a query of one word is led to, as the script does it."""
    nodes = dict(chunks["search"]["nodes"])
    for n in range(min(len(key), DEEP), -1, -1):
        if key[:n] in nodes and (nodes[key[:n]] or n == min(len(key), DEEP)):
            rows = chunks[search.node_name(key[:n])]
            return [row[1] for row in rows if any(k.startswith(key) for k in keys_of(row[1]))]
    return []


def test_a_small_index_is_one_chunk() -> None:
    chunks = indexed(Entry.word("ship", 3, [(9, 1), (9, 2)]), Entry.pair("horse:automobile", 2))
    assert set(chunks) == {"search", "search/all"}
    assert chunks["search"] == {
        "nodes": [["", 1]],
        "layers": [[9, [[0, 2], [5, 5]]], [10, [[3, 3]]]],
    }
    assert chunks["search/all"][0] == ["word", "ship", "word/ship/index.html", 3, [[9, 1], [9, 2]]]
    assert found(chunks, "auto") == ["horse:automobile"]


def test_every_entry_is_found_by_any_of_its_words_and_every_chunk_is_small() -> None:
    entries = [*many(1000), *many(200, "ship "), Entry.word("émigré", 1, [])]
    chunks = indexed(*entries)
    assert max(len(rows) for name, rows in chunks.items() if name != "search") <= LEAF
    for entry in entries[::60]:
        rarest = min(keys_of(entry.text))  # "ship" alone is in too many
        assert entry.text in found(chunks, rarest)
    assert "émigré" in found(chunks, "emi")


def test_a_query_that_many_fit_gives_the_exact_one_and_those_of_most_neurons() -> None:
    chunks = indexed(*many(1000, "sh"), Entry.word("sh", 0, []))
    first = found(chunks, "sh")
    assert len(first) == SHOWN
    assert first[0] == "sh"
    assert first[1:] == [entry.text for entry in many(1000, "sh")[:-SHOWN:-1]]


def test_texts_that_begin_alike_for_long_do_not_make_a_chain_of_nodes() -> None:
    chunks = indexed(*many(400, "a" * 200))
    assert max(len(prefix) for prefix, _ in chunks["search"]["nodes"]) == DEEP
    assert len(found(chunks, "a" * 150)) == SHOWN


def test_the_order_of_entries_does_not_matter() -> None:
    entries = many(500)
    assert dict(index(entries, NEURONS)) == dict(index(entries[::-1], NEURONS))


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("Sun-dried tomatoes", ["dried", "sun", "tomatoes"]),
        ("ÅNGSTRÖM", ["angstrom"]),
        ("snake_case 9:4", ["4", "9", "case", "snake"]),
        ("!?", ["!?"]),
        ("🚢", ["🚢"]),
        ("船", ["船"]),
        ("</script><script>", ["script"]),
    ],
)
def test_keys(text: str, keys: list[str]) -> None:
    assert keys_of(text) == keys


def test_names_of_chunks_are_safe_and_differ() -> None:
    names = [search.node_name(prefix) for prefix in ("", "all", "../", "con", "a/b", "é", "船")]
    assert len(set(names)) == len(names)
    assert all(name.removeprefix("search/").isalnum() for name in names)
