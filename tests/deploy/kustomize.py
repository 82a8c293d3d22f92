"""What `kustomize build` makes of a folder, as far as deploy/ uses it: resources, components, patches and the like.

The tests compare it with kustomize itself where that is installed, so that they hold where it is not.
"""

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

Object = dict[str, Any]
KNOWN = {"apiVersion", "kind", "namespace", "resources", "components", "patches", "images"}


def tool() -> list[str] | None:
    """The command that builds a folder, None where none is installed."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    return ["kubectl", "kustomize"] if shutil.which("kubectl") else None


def by_tool(folder: Path) -> dict[tuple[str, str], Object]:
    """What kustomize itself makes of it."""
    built = subprocess.run([*tool(), str(folder)], capture_output=True, text=True, check=True)
    return keyed(list(yaml.safe_load_all(built.stdout)))


def build(folder: Path) -> dict[tuple[str, str], Object]:
    """What it should make of it, by kind and name."""
    return keyed(_built(folder, []))


def keyed(objects: list[Object]) -> dict[tuple[str, str], Object]:
    """The objects by kind and name; raises ValueError for two of one name."""
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    if len(found) != len(objects):
        raise ValueError("two objects of one kind have one name")
    return found


def _built(folder: Path, objects: list[Object]) -> list[Object]:
    settings = yaml.safe_load((folder / "kustomization.yaml").read_text())
    if unknown := settings.keys() - KNOWN:
        raise ValueError(f"{folder} uses {unknown}, which this does not know")
    for name in settings.get("resources", []):
        path = folder / name
        whole = path.is_dir()
        objects = _built(path, objects) if whole else [*objects, *_objects(path)]
    for name in settings.get("components", []):
        objects = _built(folder / name, objects)
    for item in settings.get("patches", []):
        _patch(folder, item, objects)
    for item in settings.get("images", []):
        for each in objects:
            _rename(each, item)
    if "namespace" in settings:
        for each in objects:
            each["metadata"]["namespace"] = settings["namespace"]
    return objects


def _objects(path: Path) -> list[Object]:
    return list(yaml.safe_load_all(path.read_text()))


def _patch(folder: Path, item: Object, objects: list[Object]) -> None:
    text = item["patch"] if "patch" in item else (folder / item["path"]).read_text()
    target = item["target"]
    chosen = [
        each
        for each in objects
        if each["kind"] == target["kind"] and each["metadata"]["name"] == target["name"]
    ]
    if not chosen:
        raise ValueError(f"{folder} patches {target}, which is not there")
    for each in chosen:
        for step in yaml.safe_load(text):
            _step(each, step)


def _step(place: Any, step: Object) -> None:
    """One operation of a JSON patch (RFC 6902)."""
    *parents, last = [part.replace("~1", "/") for part in step["path"].strip("/").split("/")]
    for part in parents:
        place = place[int(part) if isinstance(place, list) else part]
    value = copy.deepcopy(step.get("value"))
    if isinstance(place, list):
        if step["op"] == "add":
            place.insert(len(place) if last == "-" else int(last), value)
            return
        last = int(last)
    if step["op"] != "add":
        place[last]  # what is not there can be neither replaced nor removed
    if step["op"] == "remove":
        del place[last]
    else:
        place[last] = value


def _rename(place: Any, item: Object) -> None:
    if isinstance(place, list):
        for each in place:
            _rename(each, item)
    elif isinstance(place, dict):
        for key in ("containers", "initContainers"):
            for container in place.get(key) or []:
                name, _, _ = container.get("image", "").partition(":")
                if name == item["name"]:
                    container["image"] = f"{item.get('newName', name)}:{item['newTag']}"
        for each in place.values():
            _rename(each, item)
