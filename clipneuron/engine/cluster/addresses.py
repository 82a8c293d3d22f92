"""Whether a Ray cluster answers at an address: asked in seconds and before any work, since Ray tries for minutes."""

import os
import socket
from threading import Thread

VARIABLE = "RAY_ADDRESS"
_SECONDS = 5.0
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""What begins a conversation with a gRPC server, and its first frame: settings, none of them."""
_SETTINGS = 4


def named_address(asked: str) -> str:
    """The address that is asked for, or that of the environment; empty for a cluster of our own."""
    return asked or os.environ.get(VARIABLE, "")


def check_address(asked: str) -> None:
    """Raises ValueError within ten seconds where nobody answers at the address as a Ray cluster does.

    An address of another kind than host:port is left to Ray, but for that of a job server, which takes jobs alone.
    """
    address = _resolved(named_address(asked))
    if address.startswith(("http://", "https://")):
        raise ValueError(
            f"{address} is the address of a job server: give `cluster.address` as host:port (Ray's own is 6379) or "
            "auto, or hand the whole command over with `clipneuron submit`"
        )
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not (colon and port.isdigit()) or "://" in host:
        return
    trouble = _trouble(host.strip("[]"), int(port))
    if trouble:
        source = "" if asked and asked != "auto" else f" of {_source(asked)}"
        raise ValueError(unanswered(f"{address!r}{source}", trouble))


def unanswered(address: str, why: object) -> str:
    """What to say where no cluster answers at an address."""
    return (
        f"no Ray cluster answers at {address} ({why}): start one (`ray start --head`), give `cluster.address` as "
        f"host:port, or leave it empty and {VARIABLE} unset to run on this machine"
    )


def _resolved(address: str) -> str:
    """What `auto` stands for, as Ray finds it: the environment, or the last cluster that was started here."""
    if address != "auto":
        return address
    from ray._private.utils import read_ray_address

    return os.environ.get(VARIABLE) or read_ray_address() or ""


def _source(asked: str) -> str:
    return VARIABLE if os.environ.get(VARIABLE) else f"{asked}, the cluster started here last"


def _trouble(host: str, port: int) -> str:
    """Why nobody answers, "" where somebody does; in bounded time, also where names take long to be looked up."""
    found = [f"no answer within {_SECONDS:g} s"]

    def ask() -> None:
        found[0] = _asked(host, port)

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_SECONDS + 2)
    return found[0]


def _asked(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), _SECONDS) as connection:
            if os.environ.get("RAY_USE_TLS", "0") not in ("", "0"):
                return ""
            connection.sendall(_PREFACE)
            answer = connection.recv(9)
    except TimeoutError:
        return f"no answer within {_SECONDS:g} s"
    except OSError as error:
        return error.strerror or str(error)
    return "" if answer[3:4] == bytes([_SETTINGS]) else "something else listens there"
