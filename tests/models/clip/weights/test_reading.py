import argparse
import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from clipneuron.models.clip.weights.reading import read_file, read_folder, read_json

STATE = {"visual.proj": torch.ones(2, 3), "logit_scale": torch.tensor(1.0)}


def written(found, path):
    torch.save(found, path)
    return path


def test_the_same_tensors_from_every_format(tmp_path):
    save_file(STATE, tmp_path / "a")
    torch.save(STATE, tmp_path / "b")
    torch.save(STATE, tmp_path / "c", _use_new_zipfile_serialization=False)
    for name in "abc":
        weights = read_file(tmp_path / name)
        assert weights.path == tmp_path / name
        assert weights.tensors.keys() == STATE.keys()
        assert all(torch.equal(weights.tensors[key], value) for key, value in STATE.items())


@pytest.mark.parametrize("name", ["state_dict", "model_state_dict", "model", "module"])
def test_the_state_dict_is_found_in_a_training_checkpoint(tmp_path, name):
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    found = {"epoch": 3, "step": torch.tensor(7), name: STATE, "optimizer": optimizer}
    assert read_file(written(found, tmp_path / "w.pt")).tensors.keys() == STATE.keys()


class Network(nn.Module):
    pass


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"args": argparse.Namespace(lr=0.1)}, r"Python objects \(argparse\.Namespace\)"),
        ({"best": np.float64(0.5)}, r"Python objects \(numpy.*multiarray\.scalar"),
        ({"model": Network()}, r"Python objects \(.*Network\)"),
    ],
)
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_python_objects_are_named_and_nobody_is_told_to_run_them(tmp_path, extra, words, new):
    path = tmp_path / "epoch_32.pt"
    torch.save({"state_dict": STATE, **extra}, path, _use_new_zipfile_serialization=new)
    with pytest.raises(ValueError, match=rf"could not load .*epoch_32\.pt: .*{words}") as caught:
        read_file(path)
    told = str(caught.value)
    assert "state_dict()" in told
    assert not {"weights_only", "github", "safe_globals", "\n", "\x1b"} & {
        word for word in ("weights_only", "github", "safe_globals", "\n", "\x1b") if word in told
    }
    assert len(told) < 400


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ([STATE, STATE], "a saved list, no state dict"),
        (torch.zeros(3), "a saved Tensor"),
        ({}, r"without a state dict \(nothing\)"),
        ({"epoch": 3, "lr": 0.1}, r"without a state dict \(epoch, lr\)"),
        ({"state": {}, "param_groups": []}, "an optimizer's state"),
        ({"model": STATE, "state_dict": STATE}, r"several state dicts \(state_dict, model\)"),
    ],
)
def test_what_is_saved_is_no_state_dict(tmp_path, found, words):
    with pytest.raises(ValueError, match=rf"could not load .*{words}"):
        read_file(written(found, tmp_path / "w.pt"))


def test_bytes_that_rotted_are_damage_and_no_traceback(tmp_path):
    path = written(STATE, tmp_path / "w.pt")
    content = bytearray(path.read_bytes())
    place = content.index(b"data.pkl") + 60
    content[place : place + 40] = bytes(40)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="it is damaged") as caught:
        read_file(path)
    assert len(str(caught.value)) < 500


def test_a_folder_has_one_file_or_the_files_of_an_index(tmp_path):
    halves = [{name: value} for name, value in STATE.items()]
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": dict(zip(STATE, names, strict=True))}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for name, half in zip(names, halves, strict=True):
        save_file(half, tmp_path / name)
    assert read_folder(tmp_path).tensors.keys() == STATE.keys()
    (tmp_path / names[1]).unlink()
    with pytest.raises(ValueError, match=f"lacks 1 of the 2 files .* first {names[1]}"):
        read_folder(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text('{"weights": 1}')
    with pytest.raises(ValueError, match="no index of weights: expected an object `weight_map`"):
        read_folder(tmp_path)


def test_a_folder_without_weights_says_what_it_holds(tmp_path):
    with pytest.raises(ValueError, match=r"no weights; .*open_clip_model.*, found nothing"):
        read_folder(tmp_path)
    for name in ("tf_model.h5", "config.json", "a", "b", "c", "d"):
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ValueError, match=r"found a, b, c, config\.json, d and 1 more"):
        read_folder(tmp_path)


def test_an_adapter_is_told_from_a_model(tmp_path):
    save_file(STATE, tmp_path / "adapter_model.safetensors")
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"an adapter.*merge it"):
        read_folder(tmp_path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{\n "model_cfg": {\n  "embed_dim": 512,\n }\n}', r"config\.json, line [34], column"),
        (b'{"a": 1', r"line 1, column 8"),
        (b"", "line 1, column 1"),
        (b"[1, 2]", "holds a list: expected a JSON object"),
        ("{}".encode("utf-16"), "not text in UTF-8"),
    ],
)
def test_broken_json_is_named_with_file_and_line(tmp_path, content, words):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_json(tmp_path / "config.json")


def test_json_with_a_byte_order_mark_is_read(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert read_json(tmp_path / "a.json") == {"a": 1}
