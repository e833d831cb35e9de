"""Kind of a file by its first bytes, whatever its suffix, and advice for files that are no checkpoints."""

import struct
import zipfile
from pathlib import Path
from typing import Literal

Kind = Literal["safetensors", "zip", "legacy", "other"]

_HEAD = 512  # bytes from which the kind is recognized
_LONGEST_HEADER = 100_000_000  # bytes, the limit of safetensors
_LEGACY = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # magic number of torch's files before its zip format
_UNPACK = "take the checkpoint out of it and give that"
_EXPORT = "export the weights to PyTorch in the program that wrote it"
_SAVE = "save the weights alone in the program that wrote it: torch.save(model.state_dict(), path)"
_STARTS: tuple[tuple[int, bytes, str, str], ...] = (
    (0, b"<!doctype", "a web page", "use the link of the file itself, and log in if it asks for that"),
    (0, b"<html", "a web page", "use the link of the file itself, and log in if it asks for that"),
    (0, b"<?xml", "a web page", "use the link of the file itself, and log in if it asks for that"),
    (0, b"version https://git-lfs", "a pointer of git-lfs", "run `git lfs pull` first"),
    (0, b"\x1f\x8b", "a file compressed with gzip", _UNPACK),
    (0, b"bzh", "a file compressed with bzip2", _UNPACK),
    (0, b"\xfd7zxz", "a file compressed with xz", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "a file compressed with zstd", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "an archive of 7-Zip", _UNPACK),
    (0, b"rar!", "a RAR archive", _UNPACK),
    (257, b"ustar", "a tar archive", _UNPACK),
    (0, b"\x89hdf\r\n", "an HDF5 file, as of Keras or TensorFlow", _EXPORT),
    (0, b"\x93numpy", "an array of NumPy", _EXPORT),
    (0, b"gguf", "a GGUF file", _EXPORT),
    (4, b"tfl3", "a model of TensorFlow Lite", _EXPORT),
    (0, b"\x89png", "an image", "give the file of the weights"),
    (0, b"\xff\xd8\xff", "an image", "give the file of the weights"),
    (0, b"%pdf", "a PDF document", "give the file of the weights"),
)
_SUFFIXES: dict[str, tuple[str, str]] = {  # of files that are not recognized by first bytes
    ".onnx": ("a model of ONNX", _EXPORT),
    ".pb": ("a graph of TensorFlow", _EXPORT),
    ".index": ("a checkpoint of TensorFlow", _EXPORT),
    ".msgpack": ("a checkpoint of Flax", _EXPORT),
    ".pdparams": ("a checkpoint of Paddle", _EXPORT),
    ".distcp": (
        "a part of a distributed checkpoint",
        "join the parts: python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER weights.pth",
    ),
}
_MEMBERS = (  # endings of names in zip archives of other kinds, with description and advice
    (".npy", "an archive of NumPy arrays (.npz)", _EXPORT),
    ("model.weights.h5", "a model of Keras", _EXPORT),
    ("archive_format", "an exported program of torch (.pt2)", _SAVE),
    (
        "constants.pkl",
        "a program of TorchScript",
        "save its weights: torch.save(torch.jit.load(path).state_dict(), other)",
    ),
)


def kind_of(path: Path) -> Kind:
    """Format of a checkpoint file: safetensors, torch's zip archive, torch's legacy format, or other.

    Args:
        path: a file.
    """
    head = _start(path)
    if len(head) > 8 and head[8:9] == b"{" and struct.unpack("<Q", head[:8])[0] <= _LONGEST_HEADER:
        return "safetensors"
    if head[:4] == b"PK\x03\x04":
        names = {name.rpartition("/")[2] for name in _members(path)}
        return "zip" if "data.pkl" in names and "constants.pkl" not in names else "other"  # TorchScript has both
    return "legacy" if _LEGACY in head[:64] else "other"


def describe(path: Path) -> str:
    """Description of a file that is no checkpoint, and advice, as a part of a sentence.

    Args:
        path: a file.
    """
    head = _start(path)
    if not head:
        return "the file is empty; download or copy it again."
    if head[:4] == b"PK\x03\x04" and (names := _members(path)):
        return _describe_zip(names)
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for place, start, what, advice in _STARTS:
        if (text if place == 0 else head.lower())[place:].startswith(start):
            return f"it is {what}, not weights; {advice}."
    suffix = ".onnx" if head[:1] == b"\x08" and (b"onnx" in text or b"pytorch" in text) else path.suffix.lower()
    if suffix in _SUFFIXES:
        what, advice = _SUFFIXES[suffix]
        return f"it is {what}, not weights of PyTorch; {advice}."
    if head[:1] == b"\x80" and head[1:2] in b"\x02\x03\x04\x05":
        return f"it is a pickle of Python objects, which are not run here, and not written by torch.save; {_SAVE}."
    if not head.strip(b"\0"):
        return f"it begins with {len(head)} zeros; download or copy it again."
    if head.isascii() and all(byte >= 32 or byte in b"\t\r\n" for byte in head):
        first = (head.decode().strip() or "of blanks")[:40].splitlines()[0]
        return f"it is a text ({first} …), not weights; give their file."
    return f"it is truncated or no checkpoint ({path.stat().st_size:,} bytes); download or copy it again."


def _describe_zip(names: list[str]) -> str:
    for ending, what, advice in _MEMBERS:
        if any(name.endswith(ending) for name in names):
            return f"it is {what}, not weights of PyTorch; {advice}."
    return f"it is a zip archive that holds {', '.join(names[:3])}, not weights; {_UNPACK}."


def _members(path: Path) -> list[str]:
    """Names in a zip archive; empty if the file is none, or damaged."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # whatever zipfile raises for invalid bytes
        return []


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_HEAD)
