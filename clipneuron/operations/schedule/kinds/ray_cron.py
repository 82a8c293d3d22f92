"""KubeRay: a RayCronJob, which is alpha.

https://docs.ray.io/en/master/cluster/kubernetes/getting-started/raycronjob-quick-start.html; fields as in KubeRay 1.7
(`timeZone` is new there; a concurrency policy, history limits and a starting deadline are not in it).
"""

import re

from clipneuron.operations.schedule.job import Scheduled
from clipneuron.operations.schedule.quoting import for_shell, scalar

_PLAIN = re.compile(r"[\w@%+=:,./ -]+", re.ASCII)
"""Words that come through unharmed: Ray puts them together as Windows quotes, and a shell takes them apart."""


def render(job: Scheduled) -> dict[str, str]:
    """The RayCronJob; raises ValueError for what it cannot do."""
    job.refuse_catching_up("a RayCronJob")
    job.refuse_history("a RayCronJob", "`kubectl delete rayjob` removes what is finished")
    job.refuse_relative_store("a RayCronJob")
    if job.address:
        raise ValueError(
            "a RayCronJob runs on its RayCluster: leave out --address, and name the cluster by --ray-cluster"
        )
    if not job.ray_cluster:
        raise ValueError(
            "a RayCronJob runs on a RayCluster: name the one to run on by --ray-cluster"
        )
    for word in job.words:
        if not _PLAIN.fullmatch(word):
            raise ValueError(
                f"`ray job submit`, by which KubeRay starts the command, does not keep {word!r} as it is: put the "
                "value into a recipe file and name that with --recipe"
            )
    parts = {
        "name": job.name,
        "quoted": scalar(job.name),
        "cron": scalar(str(job.cron)),
        "zone": scalar(job.time_zone),
        "cluster": scalar(job.ray_cluster),
        "entrypoint": scalar(for_shell(["clipneuron", *job.words])),
    }
    return {f"{job.name}.yaml": _RAY_CRON_JOB.format(**parts)}


_RAY_CRON_JOB = """\
# RayCronJob is alpha: KubeRay 1.7 or later, whose operator was started with --feature-gates=RayCronJob=true. It has no
# concurrency policy: that two do not work at once is seen to by `--overlap forbid` of the command itself, which then
# ends with status 75. `clipneuron schedule ... --as kubernetes` does without alpha features.
apiVersion: ray.io/v1
kind: RayCronJob
metadata:
  name: {quoted}
  labels:
    app.kubernetes.io/name: clipneuron
    app.kubernetes.io/instance: {quoted}
spec:
  schedule: {cron}
  timeZone: {zone}
  jobTemplate:
    entrypoint: {entrypoint}
    backoffLimit: 0
    clusterSelector:
      ray.io/cluster: {cluster}
"""
