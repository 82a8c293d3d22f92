"""What runs a scheduled command, by the name of the scheduler."""

from collections.abc import Callable

from clipneuron.operations.schedule.job import Scheduled
from clipneuron.operations.schedule.kinds import crontab, github, kubernetes, ray_cron, systemd

KINDS: dict[str, Callable[[Scheduled], dict[str, str]]] = {
    "crontab": crontab.render,
    "kubernetes": kubernetes.render,
    "ray-cron": ray_cron.render,
    "github": github.render,
    "systemd": systemd.render,
}


def render(job: Scheduled, kind: str) -> dict[str, str]:
    """The text of each file that the scheduler needs, by name; raises ValueError for what it cannot do."""
    return KINDS[kind](job)
