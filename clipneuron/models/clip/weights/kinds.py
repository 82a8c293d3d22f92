"""How a file stores weights, or what it is instead: told from its bytes, never by running anything in it."""

import json
import zipfile
from pathlib import Path
from typing import Any, Literal

Kind = Literal["safetensors", "torch", "torchscript"]

_HEAD = 4096
_LONGEST_HEADER = 100_000_000  # safetensors' own limit

# The number that torch.save wrote first before it wrote ZIP archives, as a pickle of protocol 2.
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_STARTS = (
    (b"GGUF", "a GGUF file (llama.cpp)"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file (Keras, TensorFlow)"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x1f\x8b", "a gzip archive: unpack it"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive: unpack it"),
    (b"\xfd7zXZ\x00", "an xz archive: unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive: unpack it"),
    (b"Rar!", "a RAR archive: unpack it"),
    (b"\x89PNG", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"%PDF", "a PDF document"),
)
_EXPECTED = "expected safetensors, or a state dict written by torch.save"


def kind_of(path: Path) -> Kind:
    """How the weights of a file are stored; raises ValueError, which says what the file is, where it holds none."""
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[8:9] == b"{":
        return _safetensors(path)
    if head.startswith(b"PK"):
        return _zip(path)
    if head.startswith(_LEGACY):
        return "torch"
    raise no_weights(path, _foreign(head, path))


def no_weights(path: Path, what: str) -> ValueError:
    """The error for a file that is something else."""
    return ValueError(f"could not load {path}: it is {what}; {_EXPECTED}")


def _safetensors(path: Path) -> Kind:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > _LONGEST_HEADER:
            raise no_weights(path, "of no known format")
        header = file.read(length)
    if len(header) < length:
        raise _truncated(path, "a safetensors file", size, 8 + length)
    try:
        entries: dict[str, Any] = json.loads(header)
        ends = [entry["data_offsets"][1] for name, entry in entries.items() if name[:2] != "__"]
    except (ValueError, KeyError, TypeError, IndexError):
        raise no_weights(path, "a safetensors file whose header is damaged") from None
    wanted = 8 + length + max(ends, default=0)
    if size < wanted:
        raise _truncated(path, "a safetensors file", size, wanted)
    return "safetensors"


def _truncated(path: Path, what: str, size: int, wanted: int) -> ValueError:
    return ValueError(
        f"could not load {path}: it is the beginning of {what}, {size:,} of at least {wanted:,} bytes; copy it "
        "again"
    )


def _zip(path: Path) -> Kind:
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"could not load {path}: it is the beginning of a ZIP archive, in which torch.save writes, without its "
            "end; copy or download it again"
        )
    with zipfile.ZipFile(path) as archive:
        entries = archive.namelist()
    names = {Path(entry).name for entry in entries}
    if "constants.pkl" in names:
        return "torchscript"
    if "data.pkl" in names:
        return "torch"
    if entries and all(entry.endswith(".npy") for entry in entries):
        raise no_weights(path, "an archive of NumPy arrays (JAX, big_vision)")
    shown = ", ".join(entries[:3]) or "nothing"
    raise no_weights(path, f"a ZIP archive of other things ({shown}): unpack it")


def _foreign(head: bytes, path: Path) -> str:
    if not head:
        return "an empty file: copy or download it again"
    if not any(head):
        return "full of zeros, as an interrupted download leaves it: download it again"
    known = next((what for start, what in _STARTS if head.startswith(start)), None)
    return known or _stored_otherwise(head, path) or _text(head) or "of no known format"


def _stored_otherwise(head: bytes, path: Path) -> str | None:
    if path.suffix == ".onnx" or (head[0] == 8 and head[2:3] == b"\x12"):
        return "an ONNX graph, which has no weights by name"
    if path.suffix == ".msgpack":
        return "weights of Flax (JAX)"
    if head[257:262] == b"ustar":
        return "a tar archive: unpack it"
    if head[:1] == b"\x80" and head[1:2] <= b"\x05":
        return "a Python pickle that torch.save did not write"
    return None


def _text(head: bytes) -> str | None:
    try:
        text = head.decode().strip()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # no character that the end of `head` cuts
            return None
        text = head[: error.start].decode().strip()
    start = text[:100].lower()
    if start.startswith("version https://git-lfs"):
        return _pointer(text)
    if "/annex/objects/" in start:
        return "a git-annex pointer that stands for the weights: fetch them with `git annex get`"
    if start.startswith(("<!doctype html", "<html")):
        return "an HTML page that a website sent in place of the file: download it again, signed in where that is asked"
    if start.startswith("<"):
        return f"an XML or HTML document ({_first_line(text)})"
    if start.startswith(("{", "[")):
        hint = ": give the folder that it lies in" if '"weight_map"' in text else ""
        return f"JSON text ({_first_line(text)}){hint}"
    return f"a text file ({_first_line(text)})"


def _pointer(text: str) -> str:
    sizes = [line.split()[-1] for line in text.splitlines() if line.startswith("size ")]
    stands = f"{int(sizes[0]):,} bytes of " if sizes and sizes[0].isdigit() else ""
    return f"a Git LFS pointer that stands for {stands}weights: fetch them with `git lfs pull` in its folder"


def _first_line(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 60 else line[:57] + "...")
