"""Where to run, and with how much."""

from pydantic import Field

from clipneuron.config.base import Config


class ClusterOptions(Config):
    """Where to run and with how much; zeros are decided from what the cluster has."""

    address: str = Field(
        default="",
        description="of a Ray cluster, host:port, or auto for the one this machine belongs to; empty: inside a job "
        "the job's cluster, else one that is started here for this run",
    )
    actors: int = Field(
        default=0, ge=0, description="model actors; 0: one per GPU, or as cores allow"
    )
    actor_cpus: float = Field(
        default=0,
        ge=0,
        description="cores per model actor, which are its threads; 0: as many as speed it up",
    )
    actor_gpus: float = Field(
        default=-1,
        ge=-1,
        description="GPUs per model actor, 0.5 puts two on one GPU; -1: one where there are GPUs",
    )
    decoders: int = Field(
        default=0, ge=0, description="tasks that read and decode at a time; 0: as cores allow"
    )
    pool_label: str = Field(
        default="",
        description="label of nodes whose value is the name of their pool, such as clipneuron-pool of cluster.yaml: "
        "model actors start on nodes of their pool alone, beside what named resources say; empty: by these alone",
    )
    retries: int = Field(
        default=2, ge=0, description="times that Ray repeats a task whose process died"
    )
    wait: float = Field(
        default=0, ge=0, description="seconds to wait for nodes that are still starting"
    )
