"""Real servers for the tests: S3 over HTTP, by moto in a process of its own, and by a Ceph where there is one."""

import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from clipneuron.store.objects.s3_client import s3_filesystem
from tests.samples import ceph

_MOTO = """
import socketserver
import sys
import threading
from moto import backends
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer

# moto looks whether an object is there, and then writes it; S3 does both at once, or two writers create one object.
put, one_at_a_time = S3Response._key_response_put, threading.Lock()

def put_alone(*arguments, **options):
    with one_at_a_time:
        return put(*arguments, **options)

S3Response._key_response_put = put_alone

# For each request, moto looks through its own folder for the services that it knows: a fifth of the request's time.
services = frozenset(backends.list_of_moto_modules())
backends.list_of_moto_modules = lambda: services

# Head and body of an answer are sent one after the other; without this, the body waits 40 ms for the head's receipt.
socketserver.StreamRequestHandler.disable_nagle_algorithm = True
server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()  # until the tests end, however they end
"""


@pytest.fixture(scope="session")
def moto_server() -> Iterator[str]:
    """The address of an S3 server that accepts any credentials and forgets everything at its end."""
    with moto() as address:
        yield address


@contextmanager
def moto() -> Iterator[str]:
    """The address of such a server, which runs until the block is left."""
    server = subprocess.Popen(
        [sys.executable, "-c", _MOTO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    port = server.stdout.readline().strip()
    assert port, "moto's server did not start"
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.fixture(scope="session")
def radosgw() -> Iterator[str]:
    """The address of Ceph's S3, which checks signatures; skipped where Ceph is not installed."""
    if absent := ceph.missing():
        pytest.skip(f"Ceph's S3 is not installed: {', '.join(absent)} not found")
    with ceph.running() as endpoint:
        yield endpoint


@pytest.fixture
def ceph_url(radosgw: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket, s3://bucket-..., on Ceph; the environment's settings point there during the test."""
    use_server(monkeypatch, radosgw, ceph.KEY, ceph.SECRET)
    return new_bucket()


@pytest.fixture
def s3_url(moto_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A fresh bucket, s3://bucket-..., on moto; the environment's settings point there during the test."""
    use_server(monkeypatch, moto_server, "test", "test")
    return new_bucket()


def use_server(monkeypatch: pytest.MonkeyPatch, endpoint: str, key: str, secret: str) -> None:
    """Points the environment, and with it this process and its children, at one S3 server."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def new_bucket() -> str:
    """The address of a bucket that nobody else has, on the server that the environment points at."""
    bucket = f"bucket-{uuid.uuid4().hex[:12]}"
    s3_filesystem().call_s3("create_bucket", Bucket=bucket)
    return f"s3://{bucket}"
