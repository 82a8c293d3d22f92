"""deploy/ray: cluster.yaml for other places. What Ray's schema and loader say of them, and what they share with it."""

import copy
import os
import re
import shlex
import subprocess
from typing import Any

import jsonschema
import pytest
import yaml
from click import ClickException
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig
from ray.scripts.scripts import start

from tests.deploy.places import ROOT
from tests.deploy.test_cluster_yaml import SCHEMA

FOLDER = ROOT / "deploy" / "ray"
NAMES = sorted(path.name for path in FOLDER.glob("*.yaml"))
AWS = yaml.safe_load((ROOT / "cluster.yaml").read_text())


def loaded(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return found


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as `ray up` has it before it asks any place for anything."""
    known = {key: value for key, value in config.items() if key != "min_workers"}  # of one place
    jsonschema.validate(known, SCHEMA)
    filled: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(filled)
    return filled


def test_there_is_one_for_google_and_one_for_machines_of_ones_own():
    places = {name: loaded(name)["provider"]["type"] for name in NAMES}
    assert places == {"cluster-gcp.yaml": "gcp", "cluster-onprem.yaml": "local"}


@pytest.mark.parametrize("name", NAMES)
def test_rays_schema_and_loader_take_it(name):
    read = AutoscalingConfig(prepared(loaded(name)), skip_content_hash=True)
    assert read.get_config("cluster_name") == "clipneuron"


@pytest.mark.parametrize("name", NAMES)
def test_nodes_are_set_up_as_on_aws(name):
    config = loaded(name)
    for key in ("setup_commands", "file_mounts", "rsync_exclude"):
        assert config[key] == AWS[key]


@pytest.mark.parametrize("name", NAMES)
def test_the_token_is_asked_for_and_options_exist(name):
    config = loaded(name)
    known = {option for parameter in start.params for option in parameter.opts}
    for role in ("head", "worker"):
        stop, command = config[f"{role}_start_ray_commands"]
        assert stop == "ray stop"
        assert "export RAY_AUTH_MODE=token;" in command
        words = shlex.split(command)
        assert {word.split("=")[0] for word in words if word.startswith("--")} <= known
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][1]
    assert not re.search(r"BEGIN [A-Z ]*PRIVATE KEY|RAY_AUTH_TOKEN=", (FOLDER / name).read_text())


def test_googles_nodes_are_the_pools_of_aws():
    ours, theirs = loaded("cluster-gcp.yaml")["available_node_types"], AWS["available_node_types"]
    assert ours.keys() == theirs.keys()
    for name, node in ours.items():
        assert node["labels"] == theirs[name]["labels"]
        named = {"clip", "gen", "GPU"}
        assert {key: node["resources"].get(key) for key in named} == {
            key: theirs[name]["resources"].get(key) for key in named
        }
        kind, cores = re.fullmatch(
            r"(\w+)-\w+-(\d+)g?", node["node_config"]["machineType"]
        ).groups()
        if kind != "a2" and name != "head":
            assert node["resources"]["CPU"] == int(cores)
        gpu = {"onHostMaintenance": "TERMINATE"} in node["node_config"].get("scheduling", [])
        assert gpu == bool(node["resources"].get("GPU"))


@pytest.mark.process
@pytest.mark.parametrize(
    ("file", "resources", "pool"),
    [
        (None, "{}", "feeder"),
        ("POOL=clip\nRESOURCES='{\"clip\": 4}'\n", '{"clip": 4}', "clip"),
        ("POOL=gen\nRESOURCES='{\"gen\": 1}'\n", '{"gen": 1}', "gen"),
    ],
)
def test_a_machine_of_ones_own_joins_the_pool_that_its_file_names(tmp_path, file, resources, pool):
    if file:
        (tmp_path / "clipneuron-pool").write_text(file)
    ray = tmp_path / "ray"
    ray.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    ray.chmod(0o755)
    command = loaded("cluster-onprem.yaml")["worker_start_ray_commands"][1]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    words = subprocess.run(
        ["bash", "-c", f"RAY_HEAD_IP=10.0.0.1; {command}"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert words[:2] == ["start", "--address=10.0.0.1:6379"]
    assert f"--resources={resources}" in words
    assert f"--labels=clipneuron-pool={pool}" in words


def misspelt(config: dict[str, Any]) -> None:
    config["max_worker"] = 3


def without_a_start(config: dict[str, Any]) -> None:
    config["worker_start_ray_commands"] = [{"run": "ray"}]


def without_addresses(config: dict[str, Any]) -> None:
    config["provider"].pop("head_ip", None)
    config["head_node_type"] = "none"


@pytest.mark.parametrize("plant", [misspelt, without_a_start, without_addresses])
@pytest.mark.parametrize("name", NAMES)
def test_planted_mistakes_are_found(name, plant):
    config = loaded(name)
    plant(config)
    with pytest.raises((jsonschema.ValidationError, ValueError, ClickException)):
        prepared(config)
