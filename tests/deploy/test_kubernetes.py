"""deploy/kubernetes: each overlay builds, keeps to the schemas, fits what its stages ask for, and gives nothing away.

There is no cluster here: nothing of it has been applied.
"""

import copy
import json
import re
import shlex
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml

from clipneuron.cli import build_parser
from clipneuron.cli.options.flags import cluster_of, recipe_of
from clipneuron.engine.cluster.placement import placement
from clipneuron.engine.stage import Resources
from tests.deploy import kustomize
from tests.deploy.places import ROOT
from tests.deploy.schemas.check import CRD, KUBERAY, KUBERNETES, validate

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = sorted(path.name for path in (FOLDER / "overlays").iterdir())
UNITS = {"m": 1e-3, "": 1, "Mi": 2**20, "Gi": 2**30}
EXPECTED = {
    "ServiceAccount",
    "NetworkPolicy",
    "PodDisruptionBudget",
    "RayCluster",
    "RayJob",
    "CronJob",
}


@pytest.fixture(scope="module", params=OVERLAYS)
def built(request) -> dict[tuple[str, str], Any]:
    return kustomize.build(FOLDER / "overlays" / request.param)


def validate_all(built: dict[tuple[str, str], Any]) -> None:
    for item in built.values():
        validate(item)


def pods_of(built) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every pod that would be started, with what it is."""
    cluster = built["RayCluster", "clipneuron"]["spec"]
    yield "head", cluster["headGroupSpec"]["template"]["spec"]
    for group in cluster["workerGroupSpecs"]:
        yield group["groupName"], group["template"]["spec"]
    yield "submitter", built["RayJob", "sweep"]["spec"]["submitterPodTemplate"]["spec"]
    job = built["CronJob", "nightly-sweep"]["spec"]["jobTemplate"]["spec"]
    yield "nightly", job["template"]["spec"]


def amount(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(\w*)", str(text)).groups()
    return int(number) * UNITS[unit]


def nodes_of(built) -> list[dict[str, float]]:
    """The Ray nodes of the cluster at its largest."""
    found = []
    for group in built["RayCluster", "clipneuron"]["spec"]["workerGroupSpecs"]:
        start, limits = group["rayStartParams"], limits_of(group)
        named = json.loads(json.loads(start["resources"])) if "resources" in start else {}
        node = {"CPU": float(start["num-cpus"]), "GPU": float(start.get("num-gpus", 0)), **named}
        node["memory"] = 0.7 * amount(limits["memory"])  # Ray keeps 30 % for its object store
        found += [node] * group["maxReplicas"]
    return [{name: value for name, value in node.items() if value} for node in found]


def limits_of(group) -> dict[str, str]:
    return group["template"]["spec"]["containers"][0]["resources"]["limits"]


def commands_of(built) -> list[list[str]]:
    container = built["CronJob", "nightly-sweep"]["spec"]["jobTemplate"]["spec"]["template"]
    variables = container["spec"]["containers"][0]["env"]
    nightly = next(each["value"] for each in variables if each["name"] == "SWEEP")
    return [shlex.split(text) for text in (built["RayJob", "sweep"]["spec"]["entrypoint"], nightly)]


def test_every_overlay_has_all_there_is_and_says_where(built):
    assert {kind for kind, _ in built} == EXPECTED
    spaces = {item["metadata"]["namespace"] for item in built.values()}
    assert len(spaces) == 1


def test_the_schemas_take_all_of_it(built):
    validate_all(built)


@pytest.mark.process
@pytest.mark.skipif(kustomize.tool() is None, reason="neither kustomize nor kubectl is installed")
@pytest.mark.parametrize("name", OVERLAYS)
def test_kustomize_itself_builds_the_same(name):
    folder = FOLDER / "overlays" / name
    assert kustomize.by_tool(folder) == kustomize.build(folder)


def test_spot_nodes_are_a_component_that_fits_any_overlay_with_both_pools(tmp_path):
    for name in ("base", "overlays", "components"):
        (tmp_path / name).symlink_to(FOLDER / name)
    mine = tmp_path / "mine"
    mine.mkdir()
    text = "resources: [../overlays/vit-b-32]\ncomponents: [../components/spot]\n"
    (mine / "kustomization.yaml").write_text(text)
    built = kustomize.build(mine)
    cluster = built["RayCluster", "clipneuron"]
    validate(cluster)
    for group in cluster["spec"]["workerGroupSpecs"]:
        keys = {each["key"] for each in group["template"]["spec"]["tolerations"]}
        assert "cloud.google.com/gke-spot" in keys
    assert "tolerations" not in cluster["spec"]["headGroupSpec"]["template"]["spec"]


def test_no_pod_is_root_or_writes_to_its_image(built):
    for name, pod in pods_of(built):
        assert pod["securityContext"]["runAsNonRoot"], name
        assert pod["securityContext"]["runAsUser"] == 1000, "the Dockerfile's user"
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        volumes = {each["name"] for each in pod["volumes"] if "emptyDir" in each}
        for container in pod["containers"]:
            own = container["securityContext"]
            assert own["readOnlyRootFilesystem"], name
            assert own["allowPrivilegeEscalation"] is False
            assert own["capabilities"] == {"drop": ["ALL"]}
            mounted = {each["mountPath"]: each["name"] for each in container["volumeMounts"]}
            assert mounted.keys() == {"/tmp", "/home/clipneuron"}
            assert set(mounted.values()) <= volumes


def test_the_token_comes_from_a_secret_and_no_secret_is_here(built):
    cluster = built["RayCluster", "clipneuron"]["spec"]
    assert cluster["authOptions"] == {"mode": "token", "secretName": "clipneuron-token"}
    for name, pod in pods_of(built):
        variables = {each["name"]: each for each in pod["containers"][0].get("env", [])}
        if name in ("submitter", "nightly"):
            secret = variables["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
            assert secret == {"name": "clipneuron-token", "key": "auth_token"}
            assert variables["RAY_AUTH_MODE"]["value"] == "token"
    text = "".join(path.read_text() for path in FOLDER.rglob("*.yaml"))
    assert not re.search(r"AKIA[0-9A-Z]{16}|BEGIN [A-Z ]*PRIVATE KEY|kind: Secret\b", text)


def test_what_ray_hands_out_is_what_the_pods_have(built):
    for group in built["RayCluster", "clipneuron"]["spec"]["workerGroupSpecs"]:
        start, limits = group["rayStartParams"], limits_of(group)
        resources = group["template"]["spec"]["containers"][0]["resources"]
        assert resources["requests"] == resources["limits"], "or the kernel decides who dies"
        assert limits["cpu"] == start["num-cpus"]
        assert limits.get("nvidia.com/gpu") == start.get("num-gpus")
        assert group["labels"] == {"clipneuron-pool": group["groupName"]}
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    assert (
        built["RayCluster", "clipneuron"]["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"]
        == "0"
    )


def test_the_commands_exist_and_their_actors_fit_the_cluster_at_its_largest(built):
    verbs = {"jobs.sweep": "run", "jobs.attacks": "attack"}
    commands = commands_of(built)
    assert commands[0] == commands[1]
    python, module, job, *words = commands[0]
    assert (python, module) == ("python", "-m")
    chosen = build_parser().read([verbs[job], *words])
    recipe, options = recipe_of(chosen), cluster_of(chosen)
    assert options.address == "auto"
    assert options.wait > 0, "the pools grow from nothing"
    pools = [Resources(pool="clip")]
    if verbs[job] == "attack":
        memories = (recipe.attack.captioner_memory, recipe.attack.painter_memory)
        pools += [Resources(pool="gen", memory=memory) for memory in memories]
    for asked in pools:
        found = placement(asked, options, nodes_of(built))
        assert found.resources == {asked.pool: 1.0}, "the pool is not offered"


def test_what_refers_to_the_cluster_by_name_means_this_one(built):
    name = built["RayCluster", "clipneuron"]["metadata"]["name"]
    assert built["RayJob", "sweep"]["spec"]["clusterSelector"] == {"ray.io/cluster": name}
    budget = built["PodDisruptionBudget", "clipneuron-head"]["spec"]
    assert budget["selector"]["matchLabels"]["ray.io/cluster"] == name
    policy = built["NetworkPolicy", "clipneuron"]["spec"]
    assert policy["podSelector"]["matchLabels"] == {"ray.io/cluster": name}
    nightly = built["CronJob", "nightly-sweep"]["spec"]
    assert nightly["concurrencyPolicy"] == "Forbid"
    template = nightly["jobTemplate"]["spec"]["template"]
    assert f"http://{name}-head-svc:8265" in template["spec"]["containers"][0]["args"][0]
    submitters = policy["ingress"][1]["from"][0]["podSelector"]["matchLabels"]
    assert submitters.items() <= template["metadata"]["labels"].items()


def test_the_ray_of_the_cluster_is_that_of_the_lock(built):
    locked = re.search(r"(?m)^ray(?:\[\S+\])?==(\S+)", (ROOT / "requirements/all.lock").read_text())
    assert built["RayCluster", "clipneuron"]["spec"]["rayVersion"] == locked[1]


def in_cluster(change):
    def plant(built):
        change(built["RayCluster", "clipneuron"]["spec"])

    return plant


PLANTED = {
    "a misspelt field of a pool": in_cluster(
        lambda c: c["workerGroupSpecs"][0].update(maxReplica=1)
    ),
    "a number that is a text": in_cluster(
        lambda c: c["workerGroupSpecs"][0].update(minReplicas="0")
    ),
    "a start parameter that is no text": in_cluster(
        lambda c: c["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0})
    ),
    "a misspelt field of a container": in_cluster(
        lambda c: c["headGroupSpec"]["template"]["spec"]["containers"][0].update(volumeMount=[])
    ),
    "a container without a name": in_cluster(
        lambda c: c["headGroupSpec"]["template"]["spec"]["containers"][0].pop("name")
    ),
    "an unknown mode": in_cluster(lambda c: c["authOptions"].update(mode="password")),
    "no head": in_cluster(lambda c: c.pop("headGroupSpec")),
    "an unknown submission mode": lambda b: b["RayJob", "sweep"]["spec"].update(
        submissionMode="K8sJob"
    ),
    "a schedule that is none": lambda b: b["CronJob", "nightly-sweep"]["spec"].update(schedule=2),
    "a misspelt budget": lambda b: b["PodDisruptionBudget", "clipneuron-head"]["spec"].update(
        minAvailible=1
    ),
}


@pytest.mark.parametrize("plant", PLANTED.values(), ids=PLANTED)
def test_planted_mistakes_are_found(plant):
    built = copy.deepcopy(kustomize.build(FOLDER / "overlays" / "vit-b-32"))
    plant(built)
    with pytest.raises(jsonschema.ValidationError):
        validate_all(built)


def test_a_patch_of_what_is_not_there_is_an_error(tmp_path):
    (tmp_path / "base").symlink_to(FOLDER / "base")
    patch = "- op: replace\n  path: /spec/nothing\n  value: 1\n"
    item = {"target": {"kind": "RayJob", "name": "sweep"}, "patch": patch}
    settings = {"resources": ["base"], "patches": [item]}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(KeyError):
        kustomize.build(tmp_path)
    item["target"]["name"] = "swep"
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(settings))
    with pytest.raises(ValueError, match="not there"):
        kustomize.build(tmp_path)


def test_the_schemas_say_where_they_come_from():
    assert "1.33.0" in KUBERNETES["source"]
    assert "KubeRay 1.6.2" in KUBERAY["source"]
    assert "commit 034971da0525dcf2ef39b108a6e54b85b9dc2b4e" in CRD["source"]
    assert "Apache License 2.0" in CRD["source"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"concurrencyPolicy": "Forbid"}, "concurrencyPolicy"),
        ({"timeZone": ""}, "non-empty|too short"),
        ({"schedule": None}, "None is not of type"),
        ({"jobTemplate": {"entryPoint": "x"}}, "entryPoint"),
    ],
)
def test_a_ray_cron_job_is_held_against_its_own_definition(wrong, says):
    spec = {"schedule": "15 2 * * *", "timeZone": "UTC", "jobTemplate": {"entrypoint": "x"}}
    item = {"apiVersion": "ray.io/v1", "kind": "RayCronJob", "metadata": {"name": "a"}}
    validate({**item, "spec": spec})
    with pytest.raises(jsonschema.ValidationError, match=says):
        validate({**item, "spec": {**spec, **wrong}})


def test_the_reference_and_the_definition_name_the_same_fields():
    """But for fields that came after the reference's version, and one that it leaves out."""
    later = {"historyServerOptions", "networkPolicy", "upgradeStrategy"}
    for kind, new in (("RayClusterSpec", later), ("RayJobSpec", {"preRunningDeadlineSeconds"})):
        fields = [{*schema["$defs"][kind]["properties"]} for schema in (KUBERAY, CRD)]
        assert fields[1] - fields[0] == new
        assert not fields[0] - fields[1]


def test_the_page_names_what_is_there():
    text = (ROOT / "docs" / "kubernetes.md").read_text()
    for path in re.findall(r"\bdeploy/[\w./-]+\w", text):
        assert (ROOT / path).exists(), path
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (ROOT / "docs" / target).exists(), target
    rows = set(re.findall(r"(?m)^\| `([\w-]+)` \|", text))
    assert rows == set(OVERLAYS)
    for name in ("clipneuron-token", "clipneuron-s3", "kuberay-system", "monitoring"):
        assert name in text
        assert any(name in path.read_text() for path in FOLDER.rglob("*.yaml"))
