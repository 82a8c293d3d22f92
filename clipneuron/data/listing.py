"""What a folder or prefix contains: its pictures, Parquet files and tars in natural order, as Arrow columns."""

import re
from collections import Counter
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from clipneuron.data.files import PAGE, Files
from clipneuron.data.passed_over.names import SUFFIXES
from clipneuron.data.passed_over.runs import are_below, our_folders
from clipneuron.store.records import RUN

CONTENTS = "contents.jsonl"

_COMPRESSED = r"(?i)\.(tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz)$"
_LONGEST_RUN = 255
_RECORD = rf"(^|/){re.escape(RUN)}$"
_ALL_KINDS = ("picture", "table", "tar", "contents", "compressed", "record", "other")


@dataclass(frozen=True)
class Listing:
    """The files below a folder or prefix: pages of paths, sizes and etags in natural order, and what was skipped."""

    pictures: pa.Table
    tables: pa.Table
    tars: pa.Table
    has_contents: bool
    others: Counter[str]
    """Files that are none of these, by suffix."""
    skipped: Counter[str]


def list_files(files: Files, store: str = "") -> Listing:
    """What is below the folder or prefix, without our own runs and what is below the `store`.

    Raises ValueError or StoreError where it can't be listed.
    """
    skipped: Counter[str] = Counter()
    pages: dict[str, list[pa.Table]] = {kind: [PAGE.empty_table()] for kind in _ALL_KINDS}
    for page in files.pages(skipped):
        kinds = _kinds(page["path"], _suffixes(page["path"]))
        for kind, parts in pages.items():
            parts.append(page.filter(pc.equal(kinds, kind)))
    found = {kind: pa.concat_tables(parts) for kind, parts in pages.items()}
    ours = our_folders(files, found["record"]["path"].to_pylist(), store)
    for kind, table in found.items() if ours else ():
        found[kind] = table.filter(pc.invert(are_below(table["path"], ours)))
        skipped["of a run of ours"] += table.num_rows - found[kind].num_rows
    skipped["compressed tar"] += found["compressed"].num_rows
    others = pa.concat_tables([found["record"], found["other"]])["path"]
    return Listing(
        _in_natural_order(found["picture"]),
        _in_natural_order(found["table"]),
        _in_natural_order(found["tar"]),
        bool(found["contents"].num_rows),
        Counter(_counts(_suffixes(others))),
        +skipped,
    )


def is_compressed(name: str) -> bool:
    """Whether a file's name is that of a compressed tar."""
    return re.search(_COMPRESSED, name) is not None


def natural_order(paths: pa.ChunkedArray) -> pa.Array:
    """The positions of the paths in natural order: img2 before img10, folder by folder, on every machine.

    >>> order = natural_order(pa.chunked_array([["b/1.png", "img10.png", "img2.png", "a.png"]]))
    >>> order.to_pylist()
    [3, 0, 2, 1]
    """
    keys = _natural_keys(paths)
    both = pa.table({"key": keys, "path": paths})
    return pc.sort_indices(both, [("key", "ascending"), ("path", "ascending")])


def _natural_keys(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts whose order, byte by byte, is the natural order of the paths.

    Runs of digits are padded to one width. They sort before other characters, and the end of a folder's name
    sorts before both. Of a run longer than 255 digits only the last ones count.
    """
    width = 4
    while width < _LONGEST_RUN and pc.any(_has_run(paths, width + 1)).as_py():
        width = min(2 * width, _LONGEST_RUN)
    padded = pc.replace_substring_regex(paths, "([0-9]+)", "\x01" + "0" * width + r"\1")
    aligned = pc.replace_substring_regex(padded, f"[0-9]*([0-9]{{{width}}})", r"\1")
    return pc.replace_substring(aligned, "/", "\x00")


def _has_run(paths: pa.ChunkedArray, digits: int) -> pa.ChunkedArray:
    return pc.match_substring_regex(paths, f"[0-9]{{{digits}}}")


def _in_natural_order(table: pa.Table) -> pa.Table:
    return table.take(natural_order(table["path"])).combine_chunks()


def _suffixes(paths: pa.ChunkedArray) -> pa.ChunkedArray:
    """The end of each path from its last dot on, in lower case; empty where there is none."""
    found = pc.struct_field(pc.extract_regex(paths, r"(?P<suffix>\.[^./]*)$"), "suffix")
    return pc.fill_null(pc.utf8_lower(found), "")


def _kinds(paths: pa.ChunkedArray, suffixes: pa.ChunkedArray) -> pa.ChunkedArray:
    tests = [
        pc.is_in(suffixes, value_set=pa.array(sorted(SUFFIXES))),
        pc.equal(suffixes, ".parquet"),
        pc.equal(suffixes, ".tar"),
        pc.equal(paths, CONTENTS),
        pc.match_substring_regex(paths, _COMPRESSED),
        pc.match_substring_regex(paths, _RECORD),
    ]
    names = [str(number) for number in range(len(tests))]
    cases = pa.StructArray.from_arrays([test.combine_chunks() for test in tests], names=names)
    return pc.case_when(cases, *_ALL_KINDS)


def _counts(suffixes: pa.ChunkedArray) -> dict[str, int]:
    pairs = pc.value_counts(suffixes).to_pylist()
    return {pair["values"] or "no suffix": pair["counts"] for pair in pairs}
