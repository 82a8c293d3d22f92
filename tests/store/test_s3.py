import os
from typing import Any

import pytest

from clipneuron.store.errors import StoreError
from clipneuron.store.objects.s3 import S3Objects, open_s3
from clipneuron.store.objects.s3_client import s3_filesystem, split_url


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/a/b c#d/", ("bucket", "a/b c#d")),
    ],
)
def test_a_url_is_a_bucket_and_a_prefix(url: str, parts: tuple[str, str]) -> None:
    assert split_url(url) == parts


@pytest.mark.parametrize(
    "url", ["s3:///a", "s3:", "bucket/a", "gs://b/a", "s3://b/a//c", "s3://b?a"]
)
def test_what_is_no_place_on_s3_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="write s3://bucket/prefix"):
        split_url(url)


def test_a_process_connects_once_and_again_when_its_settings_change(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    filesystem = s3_filesystem()
    assert s3_filesystem() is filesystem
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another")
    assert s3_filesystem() is not filesystem


def test_listings_are_never_stale(s3_url: str) -> None:
    bucket, _ = split_url(s3_url)
    assert s3_filesystem().ls(bucket) == []
    s3_filesystem().pipe_file(f"{bucket}/a", b"one")
    assert s3_filesystem().ls(bucket) == [f"{bucket}/a"]


def test_a_forked_process_has_a_connection_of_its_own(s3_url: str) -> None:
    bucket, _ = split_url(s3_url)
    s3_filesystem().pipe_file(f"{bucket}/a", b"parent")
    child = os.fork()
    if not child:
        try:
            s3_filesystem().pipe_file(f"{bucket}/b", s3_filesystem().cat_file(f"{bucket}/a"))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert s3_filesystem().cat_file(f"{bucket}/b") == b"parent"


def test_a_store_that_replaces_whatever_there_is_is_refused(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = open_s3(s3_url)
    objects.put("k", b"old")
    monkeypatch.setattr(S3Objects, "_put_if", lambda self, key, tag, data: self.put(key, data))
    with pytest.raises(StoreError, match="does not honour conditional replacement"):
        objects.replace("k", b"old", b"new")
    assert objects.get("k") == b"old"
    assert list(objects.list("")) == ["k"]


def test_a_replacement_whose_answer_was_lost_is_known_again(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects, put = open_s3(s3_url), S3Objects._put_if
    objects.put("k", b"old")

    def twice(self: S3Objects, *arguments: Any) -> None:
        put(self, *arguments)
        if arguments[0] == "k":
            put(self, *arguments)

    monkeypatch.setattr(S3Objects, "_put_if", twice)
    assert objects.replace("k", b"old", b"new") is True
    assert objects.get("k") == b"new"
