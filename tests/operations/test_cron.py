import re
import shutil
import subprocess
from datetime import datetime

import pytest

from clipneuron.operations.schedule.cron import Cron
from clipneuron.operations.schedule.kinds.systemd import calendars

NOW = datetime(2026, 11, 28, 23, 30)  # a Saturday


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("15 2 * * *", "15 2 * * *"),
        ("  15   2 * *  * ", "15 2 * * *"),
        ("*/15 8-18 * * MON-Fri", "*/15 8-18 * * 1-5"),
        ("@daily", "0 0 * * *"),
        ("@weekly", "0 0 * * 0"),
        ("0 0 * * 7", "0 0 * * 0"),
        ("0 0 * * fri-sun", "0 0 * * 0,5,6"),
        ("0 0 * * 5-7", "0 0 * * 0,5,6"),
        ("0 3 1,15 jan-jun/2 *", "0 3 1,15 1,3,5 *"),
        ("0,1,2,3 */1 * * *", "0-3 * * * *"),
        ("007 2 * * *", "7 2 * * *"),
    ],
)
def test_an_expression_is_written_in_plain_numbers(text, plain):
    assert str(Cron.of(text)) == plain
    assert Cron.of(plain) == Cron.of(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("15 2 * *", "has 4 fields: a cron expression has five"),
        ("0 15 2 * * *", "has 6 fields"),
        ("", "has 0 fields"),
        ("60 2 * * *", "'60' is no minute of a cron expression: expected 0-59"),
        ("0 24 * * *", "no hour of a cron expression: expected 0-23"),
        ("0 0 0 * *", "no day of the month of a cron expression: expected 1-31"),
        ("0 0 * 13 *", "expected 1-12 or jan-dec"),
        ("0 0 * * 8", "expected 0-7 or sun-sat"),
        ("0 0 * * 5L", "no day of the week"),
        ("0 0 ? * *", "no day of the month"),
        ("0 22-2 * * *", "22-2 runs backwards"),
        ("5/15 * * * *", "a step needs a range: write 5-59/15"),
        ("*/0 * * * *", "a step is a number from 1 to 60"),
        ("*/61 * * * *", "a step is a number from 1 to 60"),
        ("1, * * * *", "no minute"),
        ("-1 * * * *", "no minute"),
        ("² * * * *", "no minute"),
        ("@reboot", "is no time of day: expected five fields or one of @hourly"),
        ("0 0 31 2,4 *", "never happens"),
        ("0 0 */2 * mon", "cron and Kubernetes disagree about */2 as day of the month"),
    ],
)
def test_what_is_wrong_is_said_of_the_field(text, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Cron.of(text)


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("15 2 * * *", ["2026-11-29 02:15", "2026-11-30 02:15"]),
        ("30 23 * * *", ["2026-11-29 23:30", "2026-11-30 23:30"]),
        ("*/20 23 * * sat", ["2026-11-28 23:40", "2026-12-05 23:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        # By its date or by its weekday, as crontab(5) has it.
        ("0 0 1 * tue", ["2026-12-01 00:00", "2026-12-08 00:00"]),
        ("0 0 13 * fri", ["2026-12-04 00:00", "2026-12-11 00:00", "2026-12-13 00:00"]),
    ],
)
def test_the_next_times(text, times):
    found = Cron.of(text).upcoming(NOW, len(times))
    assert [f"{time:%Y-%m-%d %H:%M}" for time in found] == times


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("* * * * *", 1), ("*/5 * * * *", 5), ("0,58 23,0 * * *", 2), ("0 0 * * *", 1440)],
)
def test_how_close_times_come(text, minutes):
    assert Cron.of(text).closest == minutes


def times_of_systemd(event: str, count: int) -> list[datetime]:
    command = ["systemd-analyze", "calendar", f"--iterations={count}", f"--base-time={NOW} UTC"]
    shown = subprocess.run(
        [*command, f"{event} UTC"], capture_output=True, text=True, check=True, env={"TZ": "UTC"}
    ).stdout
    found = []
    for line in shown.splitlines():
        what, _, when = line.strip().partition(": ")
        if what == "Next elapse" or what.startswith("Iter"):
            found.append(datetime.strptime(when.strip(), "%a %Y-%m-%d %H:%M:%S %Z"))
    return found


@pytest.mark.process
@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not on this machine")
@pytest.mark.parametrize(
    "text",
    [
        "15 2 * * *",
        "*/7 8-18 * * mon-fri",
        "0 3 1,15 jan-jun/2 *",
        "0 0 13 * fri",
        "0 0 29 2 *",
        "5,35 */6 */10 * *",
        "0 12 * * 0,5-6",
    ],
)
def test_systemd_means_the_same_times(text):
    cron, count = Cron.of(text), 12
    found = {time for event in calendars(cron) for time in times_of_systemd(event, count)}
    expected = cron.upcoming(NOW, count)
    assert len(expected) > 8
    assert sorted(found)[: len(expected)] == expected
