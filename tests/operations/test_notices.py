"""The notice at the end of a command: to whom, of what, and that nothing fails over it; and the log as JSON."""

import io
import json
import logging
import sys
import threading
from argparse import Namespace
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from rich.console import Console

from clipneuron.cli import build_parser, noticing
from clipneuron.cli import main as command_line
from clipneuron.cli.run import engine
from clipneuron.engine.runner import RunIncompleteError
from clipneuron.operations.usage.notices import Account, checked_target, send, without_target
from clipneuron.reports.logs import JsonFormatter
from clipneuron.store.store import Store
from tests.engine.fakes import Fake

SECRET = "https://hooks.example/T0/secret"


class Receiver(BaseHTTPRequestHandler):
    """Keeps what it is sent, and answers as its server says."""

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.received.append(json.loads(self.rfile.read(length)))
        self.send_response(self.server.answer)
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def server():
    listening = HTTPServer(("127.0.0.1", 0), Receiver)
    listening.received, listening.answer = [], 204
    thread = threading.Thread(target=listening.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield listening
    listening.shutdown()
    listening.server_close()


def url_of(server):
    return f"http://127.0.0.1:{server.server_address[1]}/hook"


def command(name="run", problem=None, stage=None, folder=None):
    """A command as the parser would have it, which does what it is told and nothing else."""

    def run(chosen):
        if stage:
            console = Console(file=io.StringIO())
            found = Store(folder).open_run("demo", {"a": 1})
            with engine(chosen, console, found) as runner:
                runner.run_stage(stage, found)
        if problem:
            raise problem
        return 0

    run.__name__ = name
    return run


@pytest.fixture
def start(monkeypatch):
    """Gives `clipneuron run` with such a command in the place of its own."""

    def started(does, *words):
        monkeypatch.setitem(build_parser().verbs["run"]._defaults, "command", does)
        return command_line(["run", "--store", "x", "--engine", "in-process", *words])

    return started


def test_what_was_done_is_posted_without_where_to(server, start, tmp_path):
    words = ["--notify", url_of(server)]
    assert start(command(stage=Fake(), folder=tmp_path), *words) == 0
    (notice,) = server.received
    assert (notice["outcome"], notice["status"], notice["error"]) == ("done", 0, "")
    assert notice["command"] == "run"
    assert notice["arguments"] == ["run", "--store", "x", "--engine", "in-process"]
    (stage,) = notice["stages"]
    assert (stage["name"], stage["done_now"], stage["rows_now"]) == ("fake", 3, 6)
    assert [run["name"] for run in notice["runs"]] == [stage["run"]]
    assert notice["seconds"] >= stage["seconds"]


def test_nor_is_where_to_in_the_lease_that_others_read(server, start, tmp_path, monkeypatch):
    secret = url_of(server)
    for words in (["--notify", secret], [f"--notify={secret}"]):
        monkeypatch.setattr("sys.argv", ["clipneuron", "run", "--store", "x", *words])
        assert start(command(stage=Fake(), folder=tmp_path), *words) == 0
        (lease,) = tmp_path.glob("demo-*/lease.json")
        assert json.loads(lease.read_text())["command"] == "clipneuron run --store x"
        assert secret not in lease.read_text()


@pytest.mark.parametrize(
    ("problem", "status", "outcome", "said"),
    [
        (RunIncompleteError("three shards are left"), 1, "failed", "three shards are left"),
        (ValueError("give `recipe.images`"), 1, "failed", "give --images"),
        (KeyboardInterrupt(), 130, "stopped", "stopped"),
    ],
)
def test_an_end_that_is_none_is_told_too(server, start, problem, status, outcome, said):
    assert start(command(problem=problem), "--notify", url_of(server)) == status
    (notice,) = server.received
    assert (notice["status"], notice["outcome"]) == (status, outcome)
    assert said in notice["error"]


def test_with_debug_the_traceback_is_shown_and_the_notice_is_given(server, start):
    with pytest.raises(ValueError, match="wrong"):
        start(command(problem=ValueError("wrong")), "--debug", "--notify", url_of(server))
    assert server.received[0]["error"] == "wrong"


def test_too_many_failed_rows_are_in_the_notice_of_the_stage(server, start, tmp_path):
    stage = Fake(bad_rows=2)
    assert start(command(stage=stage, folder=tmp_path), "--notify", url_of(server)) == 1
    assert server.received[0]["stages"][0]["failed_rows"] == 6


def test_a_server_that_refuses_changes_nothing_but_a_line(server, start, capsys):
    server.answer = 500
    assert start(command(), "--notify", url_of(server)) == 0
    assert "no notice could be given (--notify): HTTP Error 500" in capsys.readouterr().err


def test_nobody_there_changes_nothing_but_a_line(start, capsys):
    assert start(command(), "--notify", "http://127.0.0.1:9/hook") == 0
    assert "no notice could be given (--notify): " in capsys.readouterr().err


@pytest.mark.process
def test_a_command_gets_it_on_its_standard_input(start, tmp_path, capsys):
    assert start(command(), "--notify", f"tee {tmp_path / 'notice'}") == 0
    assert json.loads((tmp_path / "notice").read_text())["outcome"] == "done"
    assert capsys.readouterr().out == ""


@pytest.mark.process
def test_a_command_that_fails_changes_nothing(start, capsys):
    assert start(command(), "--notify", "false") == 0
    assert "the command ended with status 1" in capsys.readouterr().err
    assert send("no-such-command-here", {}) != ""


@pytest.mark.parametrize(
    "wrong", ["ftp://host/x", "no-such-command-here --now", "'unclosed", "", " "]
)
def test_where_nobody_can_be_reached_is_said_before_the_work(wrong, capsys):
    with pytest.raises(ValueError, match=r"no http|no command|neither"):
        checked_target(wrong)
    with pytest.raises(SystemExit, match="2"):
        command_line(["run", "--store", "x", "--notify", wrong])


@pytest.mark.parametrize("form", [["--notify", SECRET], [f"--notify={SECRET}"]])
def test_addresses_of_notices_are_told_to_nobody(form):
    words = ["run", *form, "--store", "x"]
    assert without_target(words) == ["run", "--store", "x"]
    assert SECRET not in json.dumps(Account("run", words).notice(0))


def test_without_the_option_nothing_is_counted():
    chosen = Namespace(command=command())
    with noticing.noticed(chosen, []) as ending:
        ending.status = 0
    assert "account" not in chosen


@contextmanager
def fresh_logs():
    """Logging as at the start of a process: pytest puts handlers of its own when a test begins."""
    root, own = logging.getLogger(), logging.getLogger("clipneuron")
    before = root.handlers[:], root.level, own.level
    root.handlers = []
    try:
        yield
    finally:
        root.handlers, root.level, own.level = before


def test_as_json_the_log_has_a_line_per_shard_and_nothing_else(start, tmp_path, capsys):
    stage = Fake(breaks={"b": 1})
    words = ["--log-format", "json"]
    with fresh_logs():
        assert start(command(stage=stage, folder=tmp_path), *words) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    shards = [line for line in lines if line.get("event") == "shard"]
    assert [(line["shard"], line["outcome"]) for line in shards] == [
        ("a", "committed"),
        ("b", "failed"),
        ("c", "committed"),
        ("b", "committed"),
    ]
    assert shards[1]["problem"] == "ValueError: b is broken"
    committed = shards[0]
    assert committed["rows"] == 2
    assert committed["bytes"] > 0
    assert {"load_seconds", "process_seconds", "commit_seconds", "core_seconds"} <= set(committed)


def test_as_json_an_error_is_a_line_too(start, capsys):
    with fresh_logs():
        assert start(command(problem=ValueError("wrong\x1b[31m")), "--log-format", "json") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "clipneuron: wrong\x1b[31m"
    assert "\x1b" not in line


def test_a_traceback_is_a_field():
    try:
        raise OSError("gone")
    except OSError:
        record = logging.getLogger("x").makeRecord("x", 40, "f", 1, "m", (), None)
        record.exc_info = sys.exc_info()
    told = json.loads(JsonFormatter().format(record))
    assert "OSError: gone" in told["traceback"]
    assert told["level"] == "error"
