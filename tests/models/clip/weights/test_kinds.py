import io
import pickle
import tarfile
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import save

from clipneuron.models.clip.weights.kinds import kind_of

POINTER = (
    "version https://git-lfs.github.com/spec/v1\n"
    "oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 605143316\n"
)


def saved(found, **options):
    file = io.BytesIO()
    torch.save(found, file, **options)
    return file.getvalue()


def zipped(**entries):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def arrays():
    file = io.BytesIO()
    np.savez(file, a=np.zeros(2), b=np.zeros(3))
    return file.getvalue()


def tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("weights.bin"))
    return file.getvalue()


STATE = {"weight": torch.zeros(300)}
SAFETENSORS = save(STATE)

FOREIGN = {
    "git lfs": (POINTER.encode(), "Git LFS pointer .* 605,143,316 bytes of weights.*git lfs pull"),
    "git annex": (b"/annex/objects/SHA256E-s12--34.safetensors\n", "git-annex pointer"),
    "html": (b"\n<!DOCTYPE html><html><title>Sign in</title>", "an HTML page that a website sent"),
    "xml": (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "AccessDenied"),
    "json": (b'{"error": "Repository not found"}', "JSON text .*Repository not found"),
    "index": (b'{"weight_map": {"a": "model-1.safetensors"}}', "give the folder that it lies in"),
    "empty": (b"", "an empty file"),
    "zeros": (bytes(5000), "full of zeros"),
    "text": (b"no weights at all", "a text file .'no weights at all'."),
    "accents cut by the head": (("x" + "é" * 4000).encode(), "a text file"),
    "noise": (bytes(range(255, 3, -1)), "of no known format"),
    "gguf": (b"GGUF\x03\x00\x00\x00" + bytes(100), "a GGUF file"),
    "onnx": (b"\x08\x07\x12\x07pytorch\x1a\x052.0.1" + bytes(100), "an ONNX graph"),
    "keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "an HDF5 file"),
    "numpy": (b"\x93NUMPY\x01\x00" + bytes(100), "a NumPy array"),
    "big_vision": (arrays(), "an archive of NumPy arrays"),
    "zip": (zipped(**{"model/config.json": "{}", "b": ""}), r"ZIP archive .*config\.json, b.: unp"),
    "half a zip": (saved(STATE)[:700], "the beginning of a ZIP archive.*without its end"),
    "gzip": (b"\x1f\x8b\x08" + bytes(range(100)), "a gzip archive: unpack it"),
    "tar": (tar(), "a tar archive: unpack it"),
    "pickle": (pickle.dumps({"weight": [1.0]}), "a Python pickle that torch.save did not write"),
    "picture": (b"\x89PNG\r\n\x1a\n" + bytes(100), "a PNG picture"),
    "half a safetensors": (
        SAFETENSORS[:-500],
        "the beginning of a safetensors file, 7.. of at least",
    ),
    "a safetensors header alone": (SAFETENSORS[:20], "the beginning of a safetensors file"),
    "a damaged header": (SAFETENSORS.replace(b"data_off", b"\xffata_off"), "header is damaged"),
    "a huge header": (b"\xff" * 8 + b"{" + bytes(100), "of no known format"),
}


@pytest.mark.parametrize("kind", FOREIGN)
@pytest.mark.parametrize("name", ["model.safetensors", "model.pt"])
def test_what_holds_no_weights_says_what_it_is(tmp_path, kind, name):
    content, words = FOREIGN[kind]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"could not load .*{name}: it is .*{words}") as caught:
        kind_of(tmp_path / name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (SAFETENSORS, "safetensors"),
        (saved(STATE), "torch"),
        (saved(STATE, _use_new_zipfile_serialization=False), "torch"),
        (zipped(**{"a/data.pkl": "", "a/constants.pkl": ""}), "torchscript"),
    ],
)
def test_weights_are_known_by_their_bytes_whatever_the_file_is_called(tmp_path, content, kind):
    for name in ("model.safetensors", "model.pt", "model"):
        (tmp_path / name).write_bytes(content)
        assert kind_of(tmp_path / name) == kind


def test_flax_is_told_by_its_name(tmp_path):
    (tmp_path / "flax_model.msgpack").write_bytes(b"\x82\xabtext_model\x85")
    with pytest.raises(ValueError, match="weights of Flax"):
        kind_of(tmp_path / "flax_model.msgpack")
