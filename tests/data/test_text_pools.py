import hashlib
import http.server
import pickle
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clipneuron.data import text_pools as texts
from clipneuron.data.text_pools import open_pool, pool_of


def test_lines_are_stripped_and_every_dropped_line_is_counted() -> None:
    pool = pool_of("p", [" a dog ", "", "a cat", "a dog", "\t", "x" * 301, "x" * 300])
    assert pool.texts == ("a dog", "a cat", "x" * 300)
    assert pool.dropped == {"empty": 2, "duplicate": 1, "too long": 1}
    assert len(pool) == 3


@given(st.lists(st.text(max_size=5)), st.integers(1, 5))
def test_every_line_is_kept_once_or_counted(lines: list[str], longest: int) -> None:
    try:
        pool = pool_of("p", lines, longest=longest)
    except ValueError:
        assert all(not line.strip() or len(line.strip()) > longest for line in lines)
        return
    assert len(pool.texts) + sum(pool.dropped.values()) == len(lines)
    assert len(set(pool.texts)) == len(pool.texts)
    assert pool_of("q", pool.texts, longest=longest).digest == pool.digest


def test_the_digest_is_of_the_texts_in_order() -> None:
    digest = pool_of("p", ["a", "b"]).digest
    assert pool_of("q", ["a ", "a", "b"]).digest == digest
    assert pool_of("p", ["b", "a"]).digest != digest
    assert digest == hashlib.sha256(b"a\nb").hexdigest()


def test_an_empty_pool_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"'p' is empty .dropped: 2 empty, 0 duplicate, 1 too long"
    ):
        pool_of("p", ["", " ", "xx"], longest=1)


def test_common_words_need_no_network() -> None:
    pool = open_pool("words-1k")
    assert (pool.name, len(pool)) == ("words-1k", 1000)
    assert pool.texts[:3] == ("the", "to", "and")
    assert open_pool("words-1000").digest == pool.digest
    assert open_pool("words-7").texts == pool.texts[:7]


def test_the_papers_pools_are_complete() -> None:
    assert len(open_pool("words-10k")) == 10_000
    assert len(open_pool("words-30k")) == 30_000


def test_more_words_than_there_are_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"asks for 9000000 words, but only \d+ are known"):
        open_pool("words-9000k")
    with pytest.raises(ValueError, match="is empty"):
        open_pool("words-0")


def test_a_file_of_lines(tmp_path: Path) -> None:
    file = tmp_path / "my pool.txt"
    file.write_bytes("\ufeffein Hund\r\neine Kätze\u2028mit Hut\n\n".encode())
    pool = open_pool(file)
    assert pool.name == "my-pool"
    assert pool.texts == ("ein Hund", "eine Kätze\u2028mit Hut")
    assert pool.dropped["empty"] == 1
    assert open_pool(file.as_uri()).texts == pool.texts


@pytest.mark.parametrize(
    ("name", "plain"), [("a/b c.d", "a-b-c.d"), ("Köter", "K-ter"), ("..", "texts")]
)
def test_a_name_can_be_a_part_of_keys(name: str, plain: str) -> None:
    assert pool_of(name, ["x"]).name == plain


def test_a_file_in_another_encoding_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "pool.txt"
    file.write_bytes("dog\ncaf\xe9\n".encode("latin1"))
    with pytest.raises(
        ValueError, match=r"pool.txt is not UTF-8 text \(line 2, byte 7\): convert it"
    ):
        open_pool(file)


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r'no text pool .*expected a name such as "words-10k"'):
        open_pool(tmp_path / "typo.txt")
    with pytest.raises(ValueError, match=r"no text pool .*word-10k"):
        open_pool("word-10k")
    with pytest.raises(ValueError, match=r"can't read the text pool .*: Is a directory"):
        open_pool(tmp_path)
    with pytest.raises(ValueError, match="not in this version"):
        open_pool("s3://bucket/pool.txt")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        found = self.path == "/pools/pets.txt"
        self.send_response(200 if found or self.path == "/pools/cut.txt" else 404)
        if self.path == "/pools/cut.txt":
            self.send_header("Content-Length", "20")
        self.end_headers()
        self.wfile.write(b"dog\ncat\n" if self.path != "/nothing.txt" else b"")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_pool_from_the_web(server: str) -> None:
    pool = open_pool(f"{server}/pools/pets.txt")
    assert (pool.name, pool.texts) == ("pets", ("dog", "cat"))


def test_a_pinned_pool_is_verified(server: str, tmp_path: Path) -> None:
    good, bad = hashlib.sha256(b"dog\ncat\n").hexdigest(), "0" * 64
    assert len(open_pool(f"{server}/pools/pets.txt#sha256={good}")) == 2
    with pytest.raises(ValueError, match=f"its sha256 is {good}, expected {bad}"):
        open_pool(f"{server}/pools/pets.txt#sha256={bad}")
    with pytest.raises(ValueError, match="64 hexadecimal digits, not 'md5=1'"):
        open_pool(f"{server}/pools/pets.txt#md5=1")
    (tmp_path / "pets.txt").write_bytes(b"dog\ncat\n")
    assert len(open_pool(f"{(tmp_path / 'pets.txt').as_uri()}#sha256={good}")) == 2


def test_a_failed_download_says_what_to_do(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ValueError, match=r"can't fetch .*nothing.txt: HTTP Error 404.*give its path"
    ):
        open_pool(f"{server}/nothing.txt")
    monkeypatch.setattr(texts, "_LARGEST", 3)
    with pytest.raises(ValueError, match="larger than 3 bytes"):
        open_pool(f"{server}/pools/pets.txt")


def test_a_pool_that_came_in_part_is_an_error(server: str) -> None:
    with pytest.raises(ValueError, match=r"the connection ended 12 bytes early; try again"):
        open_pool(f"{server}/pools/cut.txt")


@pytest.mark.parametrize("path", ["/my words.txt", ":port/pets.txt"])
def test_an_address_that_is_none_is_an_error(path: str) -> None:
    with pytest.raises(ValueError, match="can't fetch the text pool"):
        open_pool(f"http://127.0.0.1{path}")


def test_a_server_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"can't fetch the text pool .*refused"):
        open_pool("http://127.0.0.1:9/pets.txt")


def test_a_pool_travels() -> None:
    pool = pool_of("p", ["a", "b"])
    assert pickle.loads(pickle.dumps(pool)) == pool
