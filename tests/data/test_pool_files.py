"""A file of texts is read by a stated rule or refused by name: JSON, HTML, tables and bytes never become texts."""

import gzip
import json
from pathlib import Path

import pytest

from clipneuron.data.pool_files import lines_in
from clipneuron.data.text_pools import check_pool, open_pool

WORDS = ["dog", "cat", "two birds"]


@pytest.mark.parametrize(
    "data",
    [
        b"dog\ncat\ntwo birds",
        b"dog\ncat\ntwo birds\n",
        b"dog\rcat\rtwo birds",
        b"dog\r\ncat\r\ntwo birds\r\n",
        "\ufeffdog\ncat\ntwo birds".encode(),
        "dog\ncat\ntwo birds".encode("utf-16"),
        "dog\r\ncat\r\ntwo birds".encode("utf-32"),
        b"\xfe\xff" + "dog\ncat\ntwo birds".encode("utf-16be"),
        b'["dog", "cat", "two birds"]',
        b'\n[\n  "dog",\n  "cat",\n  "two\\nbirds"\n]\n',
        json.dumps(WORDS).encode("utf-16"),
    ],
)
def test_texts_are_read_whatever_ends_their_lines_and_however_they_are_encoded(data: bytes) -> None:
    assert [line.strip() for line in lines_in(data, "pool.txt")] == WORDS


@pytest.mark.parametrize(
    "text",
    [
        "[bold]hi\n[/dog]\n[link=x]",
        "[/]\n[red]",
        "[1]\ndog",
        "{}",
        "{} in the snow\na photo of a {}",
        "<script>\ndog",
        "<div> of gold\n<b>",
        "a dog, outdoors\na cat, indoors\na bird, far away",
        "tench, Tinca tinca\ngoldfish, Carassius auratus",
        "dog\nthe tag <body> and </html> inside\n<html> later",
        "word\ntext\ncaption",
        "1\n2\n3",
        "true\nnull",
        '"quoted" once\ndog',
        "one line",
        "tab\tin one\nnot in two",
        "=HYPERLINK(1)\n+1\n@x",
        "a\u2028b\nc\x0bd\ne\rf",
    ],
)
def test_texts_that_only_resemble_something_else_stay_texts(text: str) -> None:
    assert lines_in(text.encode(), "pool.txt") == text.split("\n")


REFUSED = {
    "objects": (b'{"dog": ["fur", "tail"]}', "JSON, an object: give a list of strings"),
    "numbers": (b"[1, 2]", "JSON, a list that holds more than strings"),
    "records": (b'[{"text": "dog"}]', "JSON, a list that holds more than strings"),
    "json_lines": (b'{"text": "dog"}\n{"text": "cat"}\n', "JSON or quotation marks in its lines"),
    "quoted": (b'"dog"\n"cat"\n', "JSON or quotation marks in its lines"),
    "cut_json": (b'["dog", "cat",]', "looks like JSON, but is none"),
    "python": (b"['dog', 'cat']", "looks like JSON, but is none"),
    "html": (b"<!DOCTYPE html>\n<html><body>\n<div>dog</div>\n</body></html>", "is a page"),
    "html_inside": (b"\n <html>\ndog", "is a page"),
    "html_end": (b"404\n</body></html>\n", "is a page"),
    "xml": (b'<?xml version="1.0"?>\n<Error><Code>AccessDenied</Code></Error>', "is a page"),
    "csv": (b"id,word\n1,dog\n2,cat", r"a table \(CSV, 2 columns, the first row id,word\)"),
    "csv_headings": (b"word,caption\ndog,a dog\ncat,a cat", "a table"),
    "csv_numbers": (b"dog,0.5\ncat,0.25\n", "a table"),
    "csv_quoted": (b'text,label\n"a dog, outdoors",x\ncat,y', "a table"),
    "semicolons": (b"id;word\n1;dog\n", "sep=';'"),
    "tsv": (b"dog\tdogs\ncat\tcats\n", r"a table \(TSV"),
    "gzip": (gzip.compress(b"dog\ncat"), "gzip: unpack it first"),
    "parquet": (b"PAR1\x15\x04", "Parquet: write its column"),
    "zip": (b"PK\x03\x04\x14\x00", "spreadsheet"),
    "png": (b"\x89PNG\r\n\x1a\n", "a picture"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 2\n", "lfs pull"),
    "zeros": (b"dog\nca\0t\n", r"no text \(a zero byte in line 2\)"),
    "utf_16_unmarked": ("dog\n".encode("utf-16le"), "iconv -f utf-16le"),
    "utf_16_cut": (b"\xff\xfed\x00o", "is not UTF-16 text"),
    "latin1": ("Kätze".encode("latin1"), "is not UTF-8 text"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_list_of_texts_is_refused_with_what_to_do(kind: str) -> None:
    data, says = REFUSED[kind]
    with pytest.raises(ValueError, match=rf"^pool\.txt .*{says}"):
        lines_in(data, "pool.txt")


def test_a_table_by_its_name_needs_no_other_sign() -> None:
    assert lines_in(b"a,b\nc,d", "pool.txt") == ["a,b", "c,d"]
    with pytest.raises(ValueError, match="is a table"):
        lines_in(b"a,b\nc,d", "pool.csv")
    with pytest.raises(ValueError, match="begins with a heading, 'Word'"):
        lines_in(b"Word\ndog\ncat", "pool.csv")
    assert lines_in(b"dog\ncat", "pool.csv") == ["dog", "cat"]


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        (
            "https://github.com/a/b/blob/main/x/pool.txt",
            "https://raw.githubusercontent.com/a/b/main/x/pool.txt",
        ),
        (
            "https://huggingface.co/datasets/a/b/blob/main/pool.txt",
            "https://huggingface.co/datasets/a/b/resolve/main/pool.txt",
        ),
        ("https://example.org/pool", "behind the button Raw"),
    ],
)
def test_a_page_about_a_file_says_where_the_file_is(address: str, advice: str) -> None:
    with pytest.raises(ValueError, match=r"not a list of texts") as caught:
        lines_in(b"<!doctype html><title>pool.txt</title>", address)
    assert advice in str(caught.value)


def test_a_single_text_would_describe_every_neuron(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("dog\n\ndog\n")
    check_pool(str(tmp_path / "one.txt"))  # a template
    with pytest.raises(ValueError, match=r"'one' has only 1 text \('dog'\).*at least 2"):
        check_pool(str(tmp_path / "one.txt"), least=2)


def test_a_pool_of_a_json_list_is_that_of_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"dog\ncat\ntwo birds\n")
    (tmp_path / "b.json").write_text(json.dumps([*WORDS, "dog", " "]))
    listed = open_pool(tmp_path / "b.json")
    assert listed.digest == open_pool(tmp_path / "a.txt").digest
    assert listed.dropped == {"empty": 1, "duplicate": 1, "too long": 0}
