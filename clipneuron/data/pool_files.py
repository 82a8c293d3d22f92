"""A file of texts as its lines: text a line, or a JSON list of strings. What is something else is refused by name."""

import codecs
import csv
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""In this order: the marks of UTF-32 begin with those of UTF-16."""

_FORMATS = {
    b"PAR1": "Parquet: write its column of texts to a file, a text a line",
    b"\x1f\x8b": "gzip: unpack it first (gunzip)",
    b"PK\x03\x04": "a zip archive or a spreadsheet: unpack it, or export its column of texts, a text a line",
    b"BZh": "bzip2: unpack it first (bunzip2)",
    b"\xfd7zXZ": "xz: unpack it first (unxz)",
    b"\x28\xb5\x2f\xfd": "zstd: unpack it first (unzstd)",
    b"%PDF": "PDF: export its text",
    b"{\\rtf": "rich text: save it as plain text",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"\x80\x04": "a Python pickle: write its texts to a file, a text a line",
    b"\x93NUMPY": "a NumPy array: write its texts to a file, a text a line",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`",
}
_PAGE = re.compile(
    r"\A\s*(<!doctype html|<html|<head|<body|<\?xml)|</(html|body)>\s*\Z", re.IGNORECASE
)
_HEADINGS = {
    "caption", "captions", "category", "class", "class_name", "concept", "count", "description", "freq", "frequency",
    "id", "idx", "index", "key", "label", "lang", "language", "line", "name", "no", "number", "phrase", "prompt",
    "rank", "score", "sentence", "synset", "text", "texts", "title", "token", "url", "value", "word", "words",
}  # fmt: skip
"""What the first row of a table is likely to call a column."""

_LIKE_JSON = re.compile(r"\s*(\[\s*[\"']|\{\s*\"|[\[{]\s*\n)")

_TRIED = 5
"""Lines that tell whether all are JSON."""

_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?")


class _Table(NamedTuple):
    """Lines that have cells."""

    kind: str
    rows: list[list[str]]


def lines_in(data: bytes, where: str) -> list[str]:
    """The texts of a file in any encoding that it states: the strings of a JSON list, else its lines.

    Line ends are those of Unix, Windows or, where there are no others, old Macs; rarer separators stay inside texts.
    Raises ValueError, which names `where`, for bytes that are no text and for HTML, other JSON, CSV and TSV.
    """
    text = _decoded(data, where)
    if _PAGE.search(text):
        raise ValueError(f"{where} is a page (HTML or XML), not a list of texts: {_raw(where)}")
    strings = _of_json(text, where)
    if strings is not None:
        return strings
    lines = _lines(text)
    _refuse_json_lines(lines, where)
    _refuse_broken_json(text, where)
    _refuse_tables(lines, where)
    return lines


def _decoded(data: bytes, where: str) -> str:
    for begin, kind in _FORMATS.items():
        if data.startswith(begin):
            raise ValueError(f"{where} is no list of texts but {kind}")
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8-sig")
    if encoding == "utf-8-sig" and b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise ValueError(
            f"{where} is no text (a zero byte in line {line}): give a text file, in UTF-8 or with a byte order mark; "
            "UTF-16 without one is converted by iconv -f utf-16le -t utf-8"
        )
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        known = "UTF-8" if encoding == "utf-8-sig" else encoding.upper()
        raise ValueError(
            f"{where} is not {known} text (line {line}, byte {error.start}): convert it, for example with "
            "iconv -f latin1 -t utf-8"
        ) from error


def _lines(text: str) -> list[str]:
    if "\n" not in text:
        text = text.replace("\r", "\n")
    # Not splitlines(), which also splits at rarer separators that may occur inside a text.
    return text.removesuffix("\n").split("\n")


def _of_json(text: str, where: str) -> list[str] | None:
    """The strings of a JSON list; None for text that is no JSON list or object. Raises ValueError for all others."""
    try:
        found = json.loads(text) if text.lstrip()[:1] in ("[", "{") else None
    except ValueError:
        return None
    if not found:  # {} alone is a template
        return None
    if isinstance(found, list) and all(isinstance(item, str) for item in found):
        return [" ".join(item.split()) for item in found]
    shape = "an object" if isinstance(found, dict) else "a list that holds more than strings"
    raise ValueError(
        f'{where} is JSON, {shape}: give a list of strings, ["dog", "cat"], or a text a line; '
        "`jq -r '.. | strings'` writes all strings of a file, a line each"
    )


def _refuse_broken_json(text: str, where: str) -> None:
    if _LIKE_JSON.match(text) and text.rstrip()[-1:] in "]}":
        try:
            json.loads(text)
        except ValueError as error:
            raise ValueError(
                f"{where} looks like JSON, but is none ({error}): fix it, or give a text a line"
            ) from error


def _refuse_json_lines(lines: Sequence[str], where: str) -> None:
    filled = [line.strip() for line in lines if line.strip()]
    quoted = all(len(line) > 1 and line[0] == line[-1] == '"' for line in filled)
    if filled and (quoted or all(map(_is_record, filled[:_TRIED]))):
        raise ValueError(
            f"{where} has JSON or quotation marks in its lines (the first: {filled[0]:.60}): give the bare text in "
            "each; `jq -r '.. | strings'` writes the strings of such a file, a line each"
        )


def _is_record(line: str) -> bool:
    try:
        found = json.loads(line)
    except ValueError:
        return False
    return isinstance(found, dict | list) and bool(found)


def _refuse_tables(lines: Sequence[str], where: str) -> None:
    """Raises ValueError for lines that all have the same number of cells, if a column of numbers or headings tells."""
    filled = [line for line in lines if line.strip()]
    for mark, kind in (("\t", "TSV"), (",", "CSV"), (";", "CSV"), ("|", "CSV")):
        table = _table(filled, mark, kind)
        if table and _is_table(table, where):
            first = mark.join(table.rows[0])
            raise ValueError(
                f"{where} is a table ({table.kind}, {len(table.rows[0])} columns, the first row {first:.60}), not a "
                "list of texts: write its column of texts to a file, a text a line and without a heading, for example "
                f"with pandas: pd.read_csv(FILE, sep={mark!r})[COLUMN].to_csv(POOL, index=False, header=False)"
            )
    heading = filled[0].strip().lower() if filled else ""
    if where.lower().endswith((".csv", ".tsv")) and heading in _HEADINGS and len(filled) > 1:
        raise ValueError(
            f"{where} begins with a heading, {filled[0].strip()!r}, which would become a text: remove that line, or "
            "name the file .txt if it is a text"
        )


def _table(lines: Sequence[str], mark: str, kind: str) -> _Table | None:
    """The cells of the lines, if all have as many as the first and that is more than one."""
    if len(lines) < 2 or mark not in lines[0] or mark not in lines[1]:
        return None
    try:
        rows = list(csv.reader(lines, delimiter=mark))
    except csv.Error:
        return None
    widths = {len(row) for row in rows}
    return _Table(kind, rows) if len(widths) == 1 else None


def _is_table(table: _Table, where: str) -> bool:
    """A list of texts may have a comma in every line; it has neither headings nor numbers nor tabs in every one."""
    head, *rows = ([cell.strip() for cell in row] for row in table.rows)
    headed = all(cell.lower() in _HEADINGS or not cell for cell in head)
    numbered = any(
        all(_NUMBER.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True)
    )
    named = where.lower().endswith((".csv", ".tsv"))
    return headed or numbered or named or table.kind == "TSV"


def _raw(where: str) -> str:
    """What to do about a page: on GitHub and Hugging Face, the address of the file that it shows."""
    github = re.fullmatch(r"https?://github\.com/([^/]+/[^/]+)/blob/(.+)", where)
    if github:
        return f"give the raw file, https://raw.githubusercontent.com/{github[1]}/{github[2]}"
    if re.match(r"https?://huggingface\.co/.+/blob/", where):
        return f"give the raw file, {where.replace('/blob/', '/resolve/', 1)}"
    return "give the address of the raw file, which on GitHub is behind the button Raw, or save it and give its path"
