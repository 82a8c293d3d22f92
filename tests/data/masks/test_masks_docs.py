import re
from pathlib import Path

import pytest

from clipneuron.data.masks import maps
from clipneuron.data.masks.opening import KINDS

DOCUMENT = (Path(__file__).parents[3] / "docs" / "masks.md").read_text(encoding="utf-8")


def test_the_python_of_the_document_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    [block] = re.findall(r"```python\n(.*?)```", DOCUMENT, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(block, {})


def test_it_names_every_kind_and_status() -> None:
    rows = re.findall(r"^\| (.*?) \|", DOCUMENT, re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert {*KINDS, "demo"} <= named
    source = Path(maps.__file__).parent
    texts = [path.read_text(encoding="utf-8") for path in source.glob("*.py")]
    texts.append((source.parents[1] / "demo" / "scene_masks.py").read_text(encoding="utf-8"))
    said = r'(?:MaskError\(|unusable\(\s*image,)\s*"(\w+)"'
    used = {status for text in texts for status in re.findall(said, text)}
    assert {"no_mask", "no_class", "other_size", "corrupt"} <= used
    assert used <= named
