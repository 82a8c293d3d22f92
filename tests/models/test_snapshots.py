"""A folder is named by what is in it, a model on the hub by what was asked for."""

import shutil

from clipneuron.models.snapshots import snapshot_name


def test_a_folder_is_named_by_its_contents(tmp_path):
    folder = tmp_path / "model"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights").write_bytes(b"1234")
    (folder / "config.json").write_text("{}")
    name = snapshot_name(folder)
    assert name.startswith("model-")
    assert str(tmp_path) not in name
    assert snapshot_name(shutil.copytree(folder, tmp_path / "else" / "model")) == name
    (folder / ".cache").mkdir()
    (folder / ".cache" / "lock").write_text("x")
    assert snapshot_name(folder) == name
    names = {name}
    for change in (lambda: (folder / "unet" / "weights").write_bytes(b"1235"),
                   lambda: (folder / "unet" / "weights").rename(folder / "weights"),
                   lambda: (folder / "empty").touch()):  # fmt: skip
        change()
        names.add(snapshot_name(folder))
    assert len(names) == 4


def test_where_one_file_ends_and_the_next_begins_counts(tmp_path):
    for name, first, second in (("a", b"x", b"yz"), ("b", b"xy", b"z")):
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / "1").write_bytes(first)
        (tmp_path / name / "model" / "2").write_bytes(second)
    assert snapshot_name(tmp_path / "a" / "model") != snapshot_name(tmp_path / "b" / "model")


def test_a_model_on_the_hub_is_named_as_asked_for():
    assert snapshot_name("org/model") == "org/model@main"
    assert snapshot_name("org/model", "c0ffee") == "org/model@c0ffee"
