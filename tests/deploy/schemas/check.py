"""Kubernetes' and KubeRay's schemas, and whether an object keeps to them."""

import json
from pathlib import Path
from typing import Any

import jsonschema


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((Path(__file__).parent / name).read_text())
    return found


KUBERNETES = _read("kubernetes.json")
KUBERAY = _read("kuberay.json")
"""As the API reference has it, with choices that the operator checks."""
CRD = _read("kuberay-crd.json")
"""As the API server checks it."""


def validate(item: dict[str, Any]) -> None:
    """Raises ValidationError for what the API server or the operator would refuse."""
    names, known = KUBERNETES["kinds"], KUBERNETES["$defs"]
    if item["kind"] in names:
        _check(item, names[item["kind"]], known)
        return
    core = "io.k8s.api.core.v1"
    types = {
        "$pod": names["PodTemplateSpec"],
        "$resources": f"{core}.ResourceRequirements",
        "$security": f"{core}.SecurityContext",
        "$env": f"{core}.EnvVar",
    }
    own = known | {name: {"$ref": f"#/$defs/{meant}"} for name, meant in types.items()}
    for schema in (KUBERAY, CRD):
        if item["kind"] in schema["$defs"]:
            _check(item, item["kind"], own | schema["$defs"])


def _check(item: dict[str, Any], kind: str, known: dict[str, Any]) -> None:
    schema = {"$ref": f"#/$defs/{kind}", "$defs": known}
    jsonschema.Draft202012Validator(schema).validate(item)
