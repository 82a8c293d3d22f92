"""Over real HTTP, with a service in a process of its own that misbehaves in every way we know of."""

import itertools
import json
import logging
import pickle
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import httpx2
import pytest

from clipneuron.models.language import http
from clipneuron.models.language.captioner import Captioner, Prompt, Sampling
from clipneuron.models.language.http import KEY_VARIABLE, HttpCaptioner, RetryPolicy
from clipneuron.models.places import UnavailableError

HASTY = RetryPolicy(timeout=0.6, tries=3, pause=0.02)
NUMBERS = itertools.count()
pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def server():
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.samples.chat_server"],
        cwd=Path(__file__).parents[3],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    port = process.stdout.readline().strip()
    assert port, "the chat server did not start"
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def unique(text):
    """The prompt with a number of its own: the server counts tries per prompt."""
    return Prompt(f"{text} {next(NUMBERS)}")


def answer_of(prompt):
    return prompt.user.split(" ", 2)[2]


def log(server):
    with urllib.request.urlopen(server + "/log", timeout=5) as response:
        return json.loads(response.read())


def captioner(server, **options):
    return HttpCaptioner(server + "/v1/", "tiny", **{"retry_policy": HASTY, **options})


def tries(server, prompt):
    return [
        entry for entry in log(server) if entry["body"]["messages"][-1]["content"] == prompt.user
    ]


def test_what_is_sent_is_what_the_protocol_wants(server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret")
    prompt = Prompt("200 0 héllo\n“there”", "Be brief.", 7)
    model = captioner(server, sampling=Sampling(temperature=0.5, top_p=0.8, max_new_tokens=99))
    assert isinstance(model, Captioner)
    assert model.answers([prompt]) == ["héllo\n“there”"]
    [sent] = tries(server, prompt)
    assert sent["path"] == "/v1/chat/completions"
    assert sent["key"] == "Bearer sk-secret"
    assert sent["body"] == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": prompt.user},
        ],
        "temperature": 0.5,
        "top_p": 0.8,
        "max_tokens": 99,
        "seed": 7,
    }


def test_no_key_is_sent_where_there_is_none(server, monkeypatch):
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    monkeypatch.setenv("MY_KEY", "mine")
    one, other = unique("200 0 a"), unique("200 0 b")
    captioner(server).answers([one])
    captioner(server, key_variable="MY_KEY").answers([other])
    assert [tries(server, prompt)[0]["key"] for prompt in (one, other)] == [None, "Bearer mine"]


def test_many_are_answered_in_order_and_at_once(server):
    prompts = [unique("meet 0 x") for _ in range(24)]
    assert captioner(server).answers(prompts) == list(map(answer_of, prompts))
    assert max(entry["present"] for prompt in prompts for entry in tries(server, prompt)) > 1
    assert captioner(server).answers([]) == []


def test_a_key_that_was_read_from_a_file_with_its_line_break_is_sent_without_it(
    server, monkeypatch
):
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret\n")
    prompt = unique("200 0 a")
    captioner(server).answers([prompt])
    assert tries(server, prompt)[0]["key"] == "Bearer sk-secret"


FAULTS = ["500", "503", "429", "408", "hang", "drip", "reset", "short", "garbage", "empty", "null"]


@pytest.mark.parametrize("fault", FAULTS)
def test_trouble_that_passes_is_sat_out(server, fault):
    prompt = unique(f"{fault} 2 fine")
    assert captioner(server).answers([prompt]) == [answer_of(prompt)]
    assert len(tries(server, prompt)) == 3


@pytest.mark.parametrize("fault", ["500", "hang", "garbage"])
def test_trouble_that_stays_is_an_error_that_says_what_it_was(server, fault):
    prompt = unique(f"{fault} 9 never")
    said = {"500": "it said 500", "hang": "timed out", "garbage": "no chat completion .*gateway"}[
        fault
    ]
    with pytest.raises(
        ConnectionError, match=f"chat/completions gave no answer in 3 tries.*{said}"
    ):
        captioner(server).answers([prompt])
    assert len(tries(server, prompt)) == 3


def test_waits_grow_and_the_service_may_set_them(server):
    own, set_by_service = unique("500 2 a"), unique("429 1 b")
    patient = RetryPolicy(timeout=5.0, tries=3, pause=0.1)
    captioner(server, retry_policy=patient).answers([own, set_by_service])
    first, second, third = (entry["time"] for entry in tries(server, own))
    assert 0.1 <= second - first < 0.4
    assert 0.2 <= third - second < 0.6
    first, second = (entry["time"] for entry in tries(server, set_by_service))
    assert second - first >= 0.3


def test_what_is_refused_is_not_tried_again_and_no_key_is_shown(server, monkeypatch, caplog):
    monkeypatch.setenv(KEY_VARIABLE, "sk-secret")
    caplog.set_level(logging.DEBUG)
    for status, hint in (
        ("401", f"key in {KEY_VARIABLE}"),
        ("404", "the model's name"),
        ("400", "sampling"),
    ):
        prompt = unique(f"{status} 9 x")
        with pytest.raises(
            UnavailableError, match=rf"refused a prompt for 'tiny': {status} .*{hint}"
        ) as caught:
            captioner(server).answers([prompt])
        assert len(tries(server, prompt)) == 1
        assert "sk-secret" not in str(caught.value)
    assert "***" in str(caught.value)
    captioner(server).answers([unique("500 1 x")])
    assert "try 2" in caplog.text
    assert "sk-secret" not in caplog.text


def test_after_a_refusal_nothing_more_is_asked(server):
    prompts = [unique("400 9 x"), *(unique("slow 0 y") for _ in range(20))]
    with pytest.raises(UnavailableError, match="400"):
        captioner(server, retry_policy=RetryPolicy(at_once=1)).answers(prompts)
    assert not any(tries(server, prompt) for prompt in prompts[2:])


def test_the_rate_is_kept_to_by_all_together(server):
    prompts = [unique("200 0 x") for _ in range(5)]
    began = time.time()
    captioner(server, retry_policy=RetryPolicy(per_minute=600.0)).answers(prompts)
    times = sorted(tries(server, prompt)[0]["time"] for prompt in prompts)
    # On any machine, however busy: the n-th request begins n gaps of 0.1 s after the first could have begun.
    # (A millisecond for two clocks that are being set apart.)
    assert all(at - began >= 0.1 * place - 0.001 for place, at in enumerate(times))


def test_answers_that_ended_oddly(server):
    cut, refused, filtered = (
        unique(f"{how} 0 1. fur\n2. a ta") for how in ("cut", "refused", "filtered")
    )
    assert captioner(server).answers([cut, refused, filtered]) == ["1. fur", answer_of(refused), ""]


def test_what_a_service_does_not_take_is_left_out_and_named_as_it_wants(server):
    prompt = Prompt(unique("200 0 a").user, "Be brief.", 7)
    omit = frozenset({"system", "temperature", "top_p", "seed"})
    model = captioner(server, sampling=Sampling(omit=omit), limit_field="max_completion_tokens")
    merged = f"200 0 {next(NUMBERS)}"
    model.answers([Prompt(merged, "200 0 role", 7)])
    [sent] = [
        e["body"] for e in log(server) if e["body"]["messages"][-1]["content"].endswith(merged)
    ]
    assert sent == {
        "model": "tiny",
        "messages": [{"role": "user", "content": f"200 0 role\n\n{merged}"}],
        "max_completion_tokens": 2048,
    }
    assert model.name == "http-tiny-t0.6-p0.9-n2048-no-seed-no-system-no-temperature-no-top_p"
    captioner(server, sampling=Sampling(omit=frozenset({"max_tokens"}))).answers([prompt])
    assert "max_tokens" not in tries(server, prompt)[0]["body"]
    with pytest.raises(ValueError, match="there is no colour to omit"):
        Sampling(omit=frozenset({"colour"}))


def test_thoughts_that_reach_the_limit_are_said_to_at_once(server):
    nothing, thought = unique("spent 0 x"), unique("cut 0 <think>1. a draft\n2. b")
    for prompt in (nothing, thought):
        with pytest.raises(UnavailableError, match=r"limit of 2048 tokens .*`attack\.max_tokens`"):
            captioner(server).answers([prompt])
        assert len(tries(server, prompt)) == 1
    fine = unique("200 0 a")
    assert captioner(server).answers([nothing, fine]) == ["", answer_of(fine)]


def test_a_text_in_parts_is_a_text_and_no_text_says_what_there_was(server):
    parts = unique("parts 0 a")
    assert captioner(server).answers([parts]) == [answer_of(parts)]
    with pytest.raises(ConnectionError, match=r"held no text \(it ended by 'stop' and has role\)"):
        captioner(server).answers([unique("null 9 a")])


def test_a_service_is_looked_for_without_a_prompt(server, monkeypatch):
    captioner(server).look()
    before = len(log(server))
    captioner(server).look()
    assert len(log(server)) == before, "no prompt was asked"
    for status, says in ((503, "503 .*it is not ready"), (401, "key in")):
        answer = httpx2.Response(status, text="no")
        monkeypatch.setattr(http.httpx2, "get", lambda *_, answer=answer, **__: answer)
        with pytest.raises(UnavailableError, match=says):
            captioner(server).look()
    monkeypatch.undo()
    began = time.monotonic()
    with pytest.raises(
        UnavailableError, match=r"no language model answers at .*`attack\.captioner`"
    ):
        captioner(nobody()).look()
    assert time.monotonic() - began < 10


def nobody():
    """An address where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}"


def test_nobody_there(server):
    address = nobody()
    with pytest.raises(ConnectionError, match=r"the connection failed .*Is it up"):
        captioner(address).answers([Prompt("200 0 a")])


def test_the_name_is_of_model_and_sampling_and_it_travels(server):
    model = captioner(server)
    assert model.name == captioner("http://elsewhere").name == "http-tiny-t0.6-p0.9-n2048"
    prompt = unique("200 0 a")
    assert pickle.loads(pickle.dumps(model)).answers([prompt]) == [answer_of(prompt)]


def test_settings_that_make_no_sense_are_refused():
    for url in ("localhost:8000", "ftp://host/v1", "http://", "", "http://host:port/v1"):
        with pytest.raises(ValueError, match="expected an address"):
            HttpCaptioner(url, "tiny")
    for wrong in (
        {"timeout": 0.0},
        {"tries": 0},
        {"at_once": 0},
        {"per_minute": -1.0},
        {"pause": -1.0},
    ):
        with pytest.raises(ValueError, match="expected a timeout above 0"):
            RetryPolicy(**wrong)
