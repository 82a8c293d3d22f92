"""systemd: a timer and the service that it starts. systemd.timer(5), systemd.time(7), systemd.service(5)."""

from clipneuron.config.overlap import BUSY
from clipneuron.operations.schedule.cron import WEEKDAYS, Cron, Field, ranges
from clipneuron.operations.schedule.job import Scheduled
from clipneuron.operations.schedule.quoting import for_systemd


def render(job: Scheduled) -> dict[str, str]:
    """Both units; raises ValueError for what systemd cannot do."""
    job.refuse_history("systemd", "its journal has the output of all runs")
    if job.folder.endswith("\\") or job.folder != job.folder.strip():
        raise ValueError(f"systemd can't work in {job.folder!r}: rename the folder")
    times = "".join(f"OnCalendar={each} {job.time_zone}\n" for each in calendars(job.cron))
    return {f"{job.name}.service": _service(job), f"{job.name}.timer": _timer(job, times)}


def calendars(cron: Cron) -> list[str]:
    """The expression as calendar events, two where a day counts by its date or its weekday.

    >>> calendars(Cron.of("15 2 * * mon-fri")), calendars(Cron.of("0 0 13 * fri"))
    (['Mon,Tue,Wed,Thu,Fri *-*-* 02:15:00'], ['Fri *-*-* 00:00:00', '*-*-13 00:00:00'])
    """
    time = f"{_numbers(cron.hours)}:{_numbers(cron.minutes)}:00"
    months, days = _numbers(cron.months), _numbers(cron.days)
    weekdays = ",".join(WEEKDAYS[number].capitalize() for number in cron.weekdays.numbers)
    if cron.either_day:
        return [f"{weekdays} *-{months}-* {time}", f"*-{months}-{days} {time}"]
    named = "" if cron.weekdays.is_any else f"{weekdays} "
    return [f"{named}*-{months}-{days} {time}"]


def _numbers(field: Field) -> str:
    if field.is_any:
        return "*"
    spans = [span.split("..") for span in ranges(field.numbers, "..")]
    return ",".join("..".join(number.zfill(2) for number in span) for span in spans)


def _service(job: Scheduled) -> str:
    folder = job.folder.replace("%", "%%")
    return f"""\
# {job.name}.service: copy both units to ~/.config/systemd/user/ (or /etc/systemd/system/), then
#   systemctl --user daemon-reload && systemctl --user enable --now {job.name}.timer
# `loginctl enable-linger` lets a user's timers run while nobody is logged in. A service that is still running is not
# started again.
[Unit]
Description=clipneuron, scheduled: {job.name}
Wants=network-online.target
After=network-online.target

[Service]
Type=oneshot
WorkingDirectory={folder}
ExecStart={for_systemd([*job.program, *job.submitted])}
# Another command was at work on the same run, and this one left it to it.
SuccessExitStatus={BUSY}
"""


def _timer(job: Scheduled, times: str) -> str:
    return f"""\
# {job.name}.timer: when {job.name}.service runs
[Unit]
Description=clipneuron, when: {job.name}

[Timer]
{times}# Whether a time that was missed, the machine being off, is made up for once.
Persistent={"true" if job.catch_up else "false"}

[Install]
WantedBy=timers.target
"""
