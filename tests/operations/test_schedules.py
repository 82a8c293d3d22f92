"""What is written for a scheduler is read as that scheduler reads it, and the command's words are the same again."""

import doctest
import re
import subprocess
from typing import Any

import pytest
import yaml

from clipneuron.cli.operations.schedule import SCHEDULERS
from clipneuron.operations.schedule import cron, quoting
from clipneuron.operations.schedule.cron import Cron
from clipneuron.operations.schedule.job import Scheduled
from clipneuron.operations.schedule.kinds import systemd
from clipneuron.operations.schedule.rendering import KINDS, render
from tests.deploy.schemas.check import validate

NASTY = (
    "a b",
    "it's",
    'say "hello"',
    "$HOME $$ $(id) ${PATH} `id`",
    "100%",
    "%d %% \\%",
    "a\\%b",
    "a\\\\%b",
    "'%'\\'%",
    "tail\\",
    "${{ secrets.TOKEN }}",
    "; rm -rf / #",
    "~ * ? [a] {b} | & < >",
    "key: value, - [x]",
    "\u00fc\u65e5 \U0001f600",
    "",
)
HEAD = "http://head:8265"


def job(*words: str, **settings: Any) -> Scheduled:
    return Scheduled(
        **{
            "cron": Cron.of("15 2 * * mon-fri"),
            "words": ("run", "--store", "s3://runs", *words),
            "program": ("printf", r"%s\0"),
            "folder": "/srv/with space/100%",
            "name": "nightly",
            "time_zone": "Europe/Berlin",
            "container": "example.org/clipneuron:cpu",
            **settings,
        }
    )


def only(files: dict[str, str]) -> str:
    (text,) = files.values()
    return text


def printed(command: str, **environment: str) -> list[str]:
    """The words that a shell gives to a program which prints them."""
    environment = {"PATH": "/usr/bin:/bin", **environment}
    done = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, check=True, text=True, env=environment
    )
    return done.stdout.split("\0")[:-1]


def as_cron_reads(command: str) -> str:
    """What cron passes to the shell, by its own reading of backslashes and percent signs (do_command.c)."""
    read, escaped = "", False
    for letter in command:
        if escaped and letter == "%":
            read = read[:-1]
        elif not escaped and letter == "%":
            break
        read += letter
        escaped = not escaped and letter == "\\"
    return read


def as_systemd_reads(line: str) -> list[str]:
    """The words of `ExecStart=`: quotes and C's escapes, then specifiers and variables (systemd.service(5))."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    plain = (bare or re.sub(r"\\(.)", r"\1", quoted) for quoted, bare in words)
    found = []
    for word in plain:
        assert not re.search(r"(?<!%)(%%)*%(?!%)", word), word
        assert not re.search(r"(?<!\$)(\$\$)*\$(?!\$)", word), word
        found.append(word.replace("%%", "%").replace("$$", "$"))
    return found


def units(text: str) -> list[tuple[str, str]]:
    lines = [line for line in text.splitlines() if line and line[0] not in "#["]
    return [(key, value) for key, _, value in (line.partition("=") for line in lines)]


def test_there_is_a_way_for_every_scheduler():
    assert tuple(KINDS) == SCHEDULERS


def test_the_examples_of_the_modules_hold():
    for module in (cron, quoting, systemd):
        assert doctest.testmod(module).failed == 0


@pytest.mark.process
def test_a_crontab_line_gives_the_command_its_words(tmp_path):
    folder = tmp_path / "it's 100% \\% here"
    folder.mkdir()
    text = only(render(job(*NASTY, folder=str(folder)), "crontab"))
    comment, zone, line = text.splitlines()
    assert comment.startswith("#")
    assert zone == "CRON_TZ=Europe/Berlin"
    assert line.startswith("15 2 * * 1-5 cd ")
    command = as_cron_reads(line.removeprefix("15 2 * * 1-5 "))
    assert printed(command) == ["run", "--store", "s3://runs", *NASTY]
    assert printed(f"{command} >&2 && printf '%s\\0' \"$PWD\"") == [str(folder)]


def test_a_crontab_line_is_not_longer_than_crons_read():
    with pytest.raises(ValueError, match="some crons read no more than 990"):
        render(job("--images", "x" * 1000), "crontab")


def test_a_service_gives_the_command_its_words():
    files = render(job(*NASTY, program=("/opt/with space/bin/clipneuron",)), "systemd")
    service, timer = (units(files[f"nightly.{kind}"]) for kind in ("service", "timer"))
    assert as_systemd_reads(dict(service)["ExecStart"]) == [
        "/opt/with space/bin/clipneuron",
        *("run", "--store", "s3://runs"),
        *NASTY,
    ]
    assert dict(service)["WorkingDirectory"] == "/srv/with space/100%%"
    assert dict(service)["Type"] == "oneshot"
    assert dict(service)["SuccessExitStatus"] == "75"
    assert ("OnCalendar", "Mon,Tue,Wed,Thu,Fri *-*-* 02:15:00 Europe/Berlin") in timer
    assert ("Persistent", "false") in timer


def test_a_timer_has_a_line_for_each_way_that_a_day_counts():
    files = render(job(cron=Cron.of("0 0 13 * fri"), time_zone="UTC", catch_up=True), "systemd")
    timer = units(files["nightly.timer"])
    events = [value for key, value in timer if key == "OnCalendar"]
    assert events == ["Fri *-*-* 00:00:00 UTC", "*-*-13 00:00:00 UTC"]
    assert ("Persistent", "true") in timer


def as_kubernetes_reads(word: str) -> str:
    assert not re.search(r"(?<!\$)(\$\$)*\$\(", word), word  # would be a variable
    return word.replace("$$", "$")


def test_a_cron_job_submits_and_forbids_overlap():
    made = yaml.safe_load(only(render(job("--address", HEAD, *NASTY), "kubernetes")))
    spec = made["spec"]
    assert (made["apiVersion"], made["kind"]) == ("batch/v1", "CronJob")
    assert made["metadata"]["name"] == "nightly"
    assert (spec["schedule"], spec["timeZone"]) == ("15 2 * * 1-5", "Europe/Berlin")
    assert spec["concurrencyPolicy"] == "Forbid"
    assert (spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]) == (3, 3)
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    words = ["clipneuron", "submit", "run", "--store", "s3://runs", "--address", HEAD, *NASTY]
    assert [as_kubernetes_reads(word) for word in container["command"]] == [*words, "--again"]
    assert container["image"] == "example.org/clipneuron:cpu"
    assert "envFrom" not in container
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["restartPolicy"] == "Never"  # or there may be no podFailurePolicy
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_names_that_yaml_takes_for_something_else_stay_names():
    settings = {"name": "123", "secret": "null", "history": 1}
    made = yaml.safe_load(only(render(job("--address", HEAD, **settings), "kubernetes")))
    (container,) = made["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert made["metadata"]["name"] == "123"
    assert container["envFrom"] == [{"secretRef": {"name": "null"}}]
    assert made["spec"]["failedJobsHistoryLimit"] == 1


@pytest.mark.parametrize(
    ("text", "catch_up", "seconds"),
    [
        ("@daily", False, 600),
        ("* * * * *", False, 30),
        ("@daily", True, 7 * 86400),
        ("*/5 * * * *", True, 27000),
    ],
)
def test_how_late_a_cron_job_may_start(text, catch_up, seconds):
    asked = job("--address", HEAD, cron=Cron.of(text), catch_up=catch_up)
    spec = yaml.safe_load(only(render(asked, "kubernetes")))["spec"]
    assert spec["startingDeadlineSeconds"] == seconds


def test_a_ray_cron_job_says_that_it_is_alpha():
    text = only(render(job("--name", "a b", ray_cluster="clip"), "ray-cron"))
    made = yaml.safe_load(text)
    assert "alpha" in text.partition("apiVersion")[0]
    assert (made["apiVersion"], made["kind"]) == ("ray.io/v1", "RayCronJob")
    assert made["spec"].keys() == {"schedule", "timeZone", "jobTemplate"}
    template = made["spec"]["jobTemplate"]
    assert template["entrypoint"] == "clipneuron run --store s3://runs --name 'a b'"
    assert template["clusterSelector"] == {"ray.io/cluster": "clip"}
    validate(made)


@pytest.mark.parametrize("word", ["$HOME", "a'b", 'a"b', "a\\b", "a;b", "a*", "`id`", "a&b"])
def test_words_that_ray_would_change_are_refused(word):
    with pytest.raises(ValueError, match="does not keep"):
        render(job("--images", word, ray_cluster="clip"), "ray-cron")


@pytest.mark.process
def test_a_workflow_gives_the_command_its_words(tmp_path):
    program = tmp_path / "clipneuron"
    program.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n")
    program.chmod(0o755)
    made = yaml.safe_load(only(render(job(*NASTY), "github")))
    assert made[True]["schedule"] == [{"cron": "15 2 * * 1-5", "timezone": "Europe/Berlin"}]
    assert made["concurrency"] == {"group": "nightly", "cancel-in-progress": False}
    work = made["jobs"]["clipneuron"]
    assert work["container"] == "example.org/clipneuron:cpu"
    assert work["env"]["AWS_ACCESS_KEY_ID"] == "${{ secrets.AWS_ACCESS_KEY_ID }}"
    command = work["env"]["COMMAND"]
    assert set(re.findall(r"\$\{\{.*?\}\}", command)) == {"${{ '${{' }}"}
    command = command.replace("${{ '${{' }}", "${{")
    (step,) = work["steps"]
    path = f"{tmp_path}:/usr/bin:/bin"
    told = printed(step["run"], COMMAND=command, PATH=path)
    assert told == ["run", "--store", "s3://runs", *NASTY]
    assert printed(f"({step['run']}) && printf 'ok\\0'", COMMAND="exit 75", PATH=path) == ["ok"]
    with pytest.raises(subprocess.CalledProcessError):
        printed(step["run"], COMMAND="exit 1", PATH=path)


@pytest.mark.parametrize(
    ("kind", "settings", "words", "message"),
    [
        ("crontab", {"catch_up": True}, (), "cron does not make up for missed times"),
        ("crontab", {"history": 2}, (), "cron keeps no finished jobs"),
        ("systemd", {"history": 2}, (), "systemd keeps no finished jobs"),
        ("systemd", {"folder": "/srv/a\\"}, (), "systemd can't work in"),
        ("github", {"catch_up": True}, (), "GitHub does not make up"),
        ("github", {"cron": Cron.of("*/2 * * * *")}, (), "every 5 minutes at most"),
        ("github", {"container": ""}, (), "name an image with clipneuron by --container"),
        ("kubernetes", {}, (), "name its job server by --address"),
        ("kubernetes", {"container": ""}, ("--address", HEAD), "--container"),
        ("ray-cron", {"catch_up": True}, (), "a RayCronJob does not make up"),
        ("ray-cron", {}, (), "name the one to run on by --ray-cluster"),
        ("ray-cron", {"ray_cluster": "c"}, ("--address", HEAD), "leave out --address"),
    ],
)
def test_what_a_scheduler_cannot_do_is_refused(kind, settings, words, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        render(job(*words, **settings), kind)


@pytest.mark.parametrize("kind", ["github", "kubernetes", "ray-cron"])
def test_a_store_on_this_machine_is_no_store_elsewhere(kind):
    address = ("--address", HEAD) if kind == "kubernetes" else ()
    asked = job(ray_cluster="c", words=("run", "--store", "runs", *address))
    with pytest.raises(ValueError, match="--store"):
        render(asked, kind)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "Nightly run"}, "can't be the name of a schedule"),
        ({"name": "x" * 48}, "at most 47"),
        ({"time_zone": "Europe/Berlni"}, "did you mean Europe/Berlin"),
        ({"time_zone": "CET+1; x"}, "there is no time zone"),
        ({"words": ("run", "--images", "a\nb")}, "put the value into a recipe file"),
        ({"folder": "/srv/a\tb"}, "cannot hold"),
        ({"secret": "a b"}, "can't be the name of a Kubernetes object"),
    ],
)
def test_what_nobody_could_schedule_is_refused(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        job(**settings)
