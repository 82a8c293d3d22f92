"""Kubernetes: a CronJob that submits the command to a Ray cluster's job server.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/
"""

from clipneuron.config.overlap import BUSY
from clipneuron.operations.schedule.job import HISTORY, Scheduled
from clipneuron.operations.schedule.quoting import for_kubernetes, scalar

_WEEK = 7 * 86400
_MOST_MISSED = 90
"""Times; the controller gives up where it finds more than a hundred missed within the deadline."""
_LATE = 600
"""Seconds that a start may be late where missed times are skipped."""


def render(job: Scheduled) -> dict[str, str]:
    """The CronJob; raises ValueError for what it would lack."""
    job.need_container("Kubernetes")
    if not job.address.startswith("http"):
        raise ValueError(
            "the CronJob submits to a Ray cluster: name its job server by --address, such as "
            "http://clipneuron-head-svc:8265"
        )
    job.refuse_relative_store("Kubernetes")
    words = for_kubernetes(["clipneuron", *job.submitted])
    parts = {
        "name": job.name,
        "quoted": scalar(job.name),
        "cron": scalar(str(job.cron)),
        "zone": scalar(job.time_zone),
        "deadline": deadline(job),
        "history": HISTORY if job.history is None else job.history,
        "busy": BUSY,
        "image": scalar(job.container),
        "words": "\n".join(f"                - {scalar(word)}" for word in words),
        "secret": _SECRET.format(secret=scalar(job.secret)) if job.secret else "",
    }
    return {f"{job.name}.yaml": _CRONJOB.format(**parts)}


def deadline(job: Scheduled) -> int:
    """Seconds that a start may be late: a few minutes, or long enough to catch up once."""
    apart = 60 * job.cron.closest
    return min(_WEEK, _MOST_MISSED * apart) if job.catch_up else min(_LATE, apart // 2)


_SECRET = """
              envFrom:
                - secretRef:
                    name: {secret}"""

_CRONJOB = """\
# kubectl apply -f {name}.yaml
apiVersion: batch/v1
kind: CronJob
metadata:
  name: {quoted}
  labels:
    app.kubernetes.io/name: clipneuron
    app.kubernetes.io/instance: {quoted}
spec:
  schedule: {cron}
  timeZone: {zone}
  concurrencyPolicy: Forbid
  startingDeadlineSeconds: {deadline}
  successfulJobsHistoryLimit: {history}
  failedJobsHistoryLimit: {history}
  jobTemplate:
    spec:
      backoffLimit: 2
      # Status {busy}: another command is at work on the same run; a retry would only find it again.
      podFailurePolicy:
        rules:
          - action: FailJob
            onExitCodes:
              operator: In
              values: [{busy}]
      template:
        metadata:
          labels:
            app.kubernetes.io/name: clipneuron
            app.kubernetes.io/instance: {quoted}
        spec:
          restartPolicy: Never
          automountServiceAccountToken: false
          securityContext:
            runAsNonRoot: true
            runAsUser: 1000
            runAsGroup: 1000
            seccompProfile:
              type: RuntimeDefault
          containers:
            - name: submit
              image: {image}
              command:
{words}{secret}
              env:
                - name: HOME
                  value: /tmp
              resources:
                requests:
                  cpu: 250m
                  memory: 1Gi
                limits:
                  memory: 2Gi
              securityContext:
                allowPrivilegeEscalation: false
                readOnlyRootFilesystem: true
                capabilities:
                  drop: [ALL]
              volumeMounts:
                - name: tmp
                  mountPath: /tmp
          volumes:
            - name: tmp
              emptyDir: {{}}
"""
