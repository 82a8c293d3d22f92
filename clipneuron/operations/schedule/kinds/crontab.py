"""crontab(5): one line, with the time zone before it."""

from clipneuron.operations.schedule.job import Scheduled
from clipneuron.operations.schedule.quoting import for_crontab

_LONGEST = 990
"""Characters; Debian's cron cuts commands off at 1,000."""


def render(job: Scheduled) -> dict[str, str]:
    """The lines to add by `crontab -e`; raises ValueError for what cron cannot do."""
    job.refuse_catching_up("cron")
    job.refuse_history("cron", "it mails what a command prints")
    folder, command = for_crontab(["cd", job.folder]), for_crontab([*job.program, *job.submitted])
    line = f"{folder} && {command}"
    if len(line) > _LONGEST:
        raise ValueError(
            f"the command has {len(line):,} characters, and some crons read no more than {_LONGEST}: put its options "
            "into a recipe file and name that with --recipe"
        )
    return {
        f"{job.name}.crontab": f"# {job.name}: add these lines by `crontab -e`. cronie heeds CRON_TZ; Debian's cron "
        f"does not, and goes by the machine's time zone.\nCRON_TZ={job.time_zone}\n{job.cron} {line}\n"
    }
