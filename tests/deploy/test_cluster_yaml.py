"""cluster.yaml: what Ray's own schema and loader say of it, what our stages need of it, and that its set-up works."""

import copy
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml
from ray._private.label_utils import validate_label_key, validate_label_value
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.autoscaler.v2.instance_manager.config import AutoscalingConfig

from tests.deploy.places import ROOT, check_installation, copy_of, is_tracked, run

POOLS = {"clip", "gen"}
BUILTIN = {"CPU", "GPU", "memory", "object_store_memory"}
TEXT = (ROOT / "cluster.yaml").read_text()
SCHEMA = json.loads(
    Path(ray.__file__).with_name("autoscaler").joinpath("ray-schema.json").read_text()
)


@pytest.fixture
def config() -> dict[str, Any]:
    loaded = yaml.safe_load(TEXT)
    assert isinstance(loaded, dict)
    return loaded


def prepared(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration as `ray up` has it before it asks AWS for anything."""
    jsonschema.validate(config, SCHEMA)
    filled: dict[str, Any] = prepare_config(copy.deepcopy(config))
    validate_config(filled)
    return filled


def test_rays_schema_and_loader_take_it(config):
    assert prepared(config)["cluster_name"] == "clipneuron"


def test_the_autoscaler_reads_every_pool(config):
    read = AutoscalingConfig(prepared(config), skip_content_hash=True)
    assert read.get_head_node_type() == "head"
    types = read.get_node_type_configs()
    assert set(types) == {"head", "feeder", "clip", "gen"}
    for name, found in types.items():
        assert found.labels == {"clipneuron-pool": name}
        assert found.min_worker_nodes == 0
    bounds = {name: found.max_worker_nodes for name, found in types.items()}
    assert bounds.pop("head") == 1, "the head itself"
    assert max(bounds.values()) <= config["max_workers"] <= sum(bounds.values())


def test_with_the_docker_image_instead_it_is_valid_too(config):
    block = TEXT[TEXT.index("#docker:") :]
    config |= yaml.safe_load("\n".join(line.removeprefix("#") for line in block.splitlines()))
    config["setup_commands"] = []
    config["file_mounts"] = {"~/.ray/auth_token": "~/.ray/auth_token"}
    read = AutoscalingConfig(prepared(config), skip_content_hash=True)
    assert read.get_docker_config("clip")["image"] == config["docker"]["image"]
    assert "example.com" in config["docker"]["image"], "the image is a placeholder"


def test_pools_are_fenced_by_the_resources_that_stages_declare(config):
    named = {
        name: set(node["resources"]) - BUILTIN
        for name, node in config["available_node_types"].items()
    }
    assert named == {"head": set(), "feeder": set(), "clip": {"clip"}, "gen": {"gen"}}
    assert set().union(*named.values()) == POOLS


def test_the_head_does_no_work_and_gpus_are_where_models_are(config):
    types = config["available_node_types"]
    assert types["head"]["resources"]["CPU"] == 0
    with_gpus = {name for name, node in types.items() if node["resources"].get("GPU")}
    assert with_gpus == POOLS
    assert types["clip"]["resources"]["clip"] == 4


def test_labels_keep_to_rays_syntax(config):
    for node in config["available_node_types"].values():
        for key, value in node["labels"].items():
            assert validate_label_key(key) is None
            validate_label_value(value)
            assert not key.startswith("ray.io/"), "reserved for Ray"


def test_every_node_runs_ray_with_the_token(config):
    for role in ("head", "worker"):
        stop, start = config[f"{role}_start_ray_commands"]
        assert stop == "ray stop"
        assert "export RAY_AUTH_MODE=token;" in start
        assert not re.search(r"RAY_AUTH_TOKEN=", start), "the token itself belongs to a file"
    assert config["file_mounts"]["~/.ray/auth_token"] == "~/.ray/auth_token"
    assert (
        "--autoscaling-config=~/ray_bootstrap_config.yaml" in config["head_start_ray_commands"][1]
    )
    assert "--dashboard-host=127.0.0.1" in config["head_start_ray_commands"][1]


def test_options_of_ray_start_exist(config):
    from ray.scripts.scripts import start

    known = {option for parameter in start.params for option in parameter.opts}
    for role in ("head", "worker"):
        words = shlex.split(config[f"{role}_start_ray_commands"][1])
        asked = {word.split("=")[0] for word in words if word.startswith("--")}
        assert asked <= known


@pytest.mark.process
def test_it_holds_no_secret_and_mounts_what_is_in_git(config):
    assert not re.search(
        r"AKIA[0-9A-Z]{16}|aws_secret|aws_access|BEGIN [A-Z ]*PRIVATE KEY", TEXT, re.I
    )
    ours = {source for source in config["file_mounts"].values() if not source.startswith("~")}
    assert ours
    assert all(is_tracked(source) for source in ours)


def typo(config: dict[str, Any]) -> None:
    config["max_worker"] = 3


def typo_in_a_pool(config: dict[str, Any]) -> None:
    config["available_node_types"]["clip"]["max_worker"] = 3


def unknown_head(config: dict[str, Any]) -> None:
    config["head_node_type"] = "haed"


def half_a_resource(config: dict[str, Any]) -> None:
    config["available_node_types"]["clip"]["resources"]["clip"] = 0.5


def too_many(config: dict[str, Any]) -> None:
    config["available_node_types"]["clip"]["min_workers"] = 99


def a_command_that_is_none(config: dict[str, Any]) -> None:
    config["setup_commands"] = [{"run": "pip"}]


def no_instance(config: dict[str, Any]) -> None:
    del config["available_node_types"]["gen"]["node_config"]


@pytest.mark.parametrize(
    "plant",
    [
        typo,
        typo_in_a_pool,
        unknown_head,
        half_a_resource,
        too_many,
        a_command_that_is_none,
        no_instance,
    ],
)
def test_planted_mistakes_are_found(config, plant: Callable[[dict[str, Any]], None]):
    plant(config)
    with pytest.raises((jsonschema.ValidationError, ValueError)):
        prepared(config)


@pytest.mark.environment
@pytest.mark.process
def test_the_set_up_commands_install_a_working_project(config, tmp_path):
    home = tmp_path / "home"
    (home / ".ray").mkdir(parents=True)
    (home / ".ray" / "auth_token").write_text("not a token")
    ours = [source for source in config["file_mounts"].values() if not source.startswith("~")]
    copy_of(ours, home / "clipneuron")
    environment = {"HOME": str(home)}
    for command in config["setup_commands"]:
        if not command.startswith("sudo "):
            run(command, tmp_path, environment)
    check_installation(home / "clipneuron-env" / "bin", tmp_path)
    login = run("bash --login -c 'command -v ray'", tmp_path, environment)
    assert login.strip() == f"{home}/clipneuron-env/bin/ray"
