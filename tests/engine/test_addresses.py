"""Whether a cluster answers is known in seconds, before Ray is asked, which tries for minutes."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from clipneuron.engine.cluster import addresses
from clipneuron.engine.cluster.addresses import check_address


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[socket.socket, str]]:
    monkeypatch.setattr(addresses, "_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server, f"127.0.0.1:{server.getsockname()[1]}"


def answering(server: socket.socket, answer: bytes) -> None:
    def serve() -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(64)
            connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()


def test_a_port_where_nobody_listens(listener: tuple[socket.socket, str]) -> None:
    server, address = listener
    server.close()
    with pytest.raises(
        ValueError, match=rf"no Ray cluster answers at '{address}' \(Connection refused"
    ):
        check_address(address)


def test_a_name_that_is_not_known() -> None:
    with pytest.raises(ValueError, match=r"nobody.invalid:6379.*`cluster.address` as host:port"):
        check_address("nobody.invalid:6379")


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_job_servers_address_is_refused_with_what_to_do(scheme: str) -> None:
    with pytest.raises(ValueError, match=r"is the address of a job server: .*`clipneuron submit`"):
        check_address(f"{scheme}://127.0.0.1:8265")


def test_somebody_who_says_nothing_is_not_waited_for(listener: tuple[socket.socket, str]) -> None:
    began = time.monotonic()
    with pytest.raises(ValueError, match=r"no answer within 0\.2 s"):
        check_address(listener[1])
    assert time.monotonic() - began < 5


def test_a_name_that_takes_long_to_look_up_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()

    def slow(*_: object) -> None:
        over.wait(9)
        raise OSError("too late")

    monkeypatch.setattr(addresses, "_SECONDS", -1.9)
    monkeypatch.setattr(addresses.socket, "create_connection", slow)
    with pytest.raises(ValueError, match="no answer"):
        check_address("slow:6379")
    over.set()


def test_another_service_is_no_cluster(listener: tuple[socket.socket, str]) -> None:
    answering(listener[0], b"HTTP/1.1 400 Bad Request\r\n\r\n")
    with pytest.raises(ValueError, match="something else listens there"):
        check_address(listener[1])


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_what_answers_as_clusters_do_is_let_pass(
    listener: tuple[socket.socket, str], scheme: str
) -> None:
    answering(listener[0], bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]))
    check_address(scheme + listener[1])


def test_a_stale_address_of_the_environment_is_named(
    listener: tuple[socket.socket, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, address = listener
    server.close()
    monkeypatch.setenv("RAY_ADDRESS", address)
    for asked in ("", "auto"):
        with pytest.raises(ValueError, match=f"'{address}' of RAY_ADDRESS .*RAY_ADDRESS unset"):
            check_address(asked)


def test_without_an_address_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    check_address("")
    check_address("local")
