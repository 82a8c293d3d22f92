"""GitHub Actions: a workflow that runs the command in a container.

https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#onschedule
"""

from clipneuron.config.overlap import BUSY
from clipneuron.operations.schedule.job import Scheduled
from clipneuron.operations.schedule.quoting import for_github, for_shell, scalar

_CLOSEST = 5
"""Minutes."""


def render(job: Scheduled) -> dict[str, str]:
    """The workflow; raises ValueError for what GitHub cannot do."""
    job.refuse_catching_up("GitHub")
    job.refuse_history("GitHub", "the repository's settings say how long it keeps logs")
    job.need_container("GitHub")
    if job.cron.closest < _CLOSEST:
        raise ValueError(
            f"'{job.cron}' has times {job.cron.closest} minutes apart: GitHub starts a workflow every {_CLOSEST} "
            "minutes at most"
        )
    if not job.option("--store").startswith("s3://"):
        raise ValueError(
            "the disk of a GitHub runner is gone after the job: give a --store under s3://"
        )
    command = for_github(for_shell(["clipneuron", *job.submitted]))
    return {f"{job.name}.yml": _WORKFLOW.format(**_parts(job), command=scalar(command))}


def _parts(job: Scheduled) -> dict[str, object]:
    secrets = (f"      {name}: ${{{{ secrets.{name} }}}}" for name in _SECRETS)
    return {
        "name": job.name,
        "quoted": scalar(job.name),
        "cron": scalar(str(job.cron)),
        "zone": scalar(job.time_zone),
        "image": scalar(for_github(job.container)),
        "secrets": "\n".join(secrets),
        "busy": BUSY,
    }


_SECRETS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
_WORKFLOW = """\
# .github/workflows/{name}.yml, on the default branch. GitHub may start a run late or, under load, leave it out; a
# public repository's schedules end after 60 days without a commit.
name: {quoted}
on:
  schedule:
    - cron: {cron}
      timezone: {zone}
  workflow_dispatch:
permissions:
  contents: read
concurrency:
  group: {quoted}
  cancel-in-progress: false
jobs:
  clipneuron:
    runs-on: ubuntu-latest
    container: {image}
    env:
{secrets}
      COMMAND: {command}
    steps:
      # Status {busy}: another command is at work on the same run, and this one left it to it.
      - run: sh -c "$COMMAND" || [ $? -eq {busy} ]
        shell: sh
"""
