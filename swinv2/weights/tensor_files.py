"""Reading of one file of weights, by its content, never by its suffix, and without running any code in it."""

import mmap
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from ..files.kinds import describe, kind_of
from ..files.regular import SPECIAL, is_special
from .safetensors_files import check_digest

_PART = 1 << 22  # bytes to read at a time
_UNPACKED, _SMALL = 100, 1 << 26  # most ratio of unpacked to packed bytes, and bytes that are always unpacked
_BYTES = (b"c__builtin__\nbytearray\n", b"cbuiltins\nbytearray\n")  # opcodes that allocate bytes by a given number


def read_file(path: Path) -> Mapping[Any, Any]:
    """Content of a file of safetensors or torch: tensors, possibly in containers, and other entries.

    Objects of the program that wrote a file of torch (a configuration, NumPy numbers) become mappings without items.

    Args:
        path: a file.

    Raises:
        ValueError: the file is cut short or damaged, or no checkpoint; the message is the reason alone.
        OSError: it cannot be opened.
    """
    if is_special(path):
        raise ValueError(f"it {SPECIAL}.")
    kind = kind_of(path)
    if kind == "other":
        raise ValueError(describe(path))
    try:
        if kind == "safetensors":
            from safetensors.torch import load_file

            check_digest(path)
            return load_file(path)
        content = _load(path, zipped=kind == "zip")
    except (ImportError, OSError):
        raise
    except MemoryError:
        raise ValueError(f"it does not fit into memory ({path.stat().st_size:,} bytes), or is damaged.") from None
    except Exception as error:  # whatever safetensors, zipfile and torch raise for invalid bytes
        raise ValueError(_reason(path, error)) from None  # torch's own message advises to run the file
    return content if isinstance(content, Mapping) else {type(content).__name__: content}


def _load(path: Path, zipped: bool) -> Any:
    mapped = zipped and _check_parts(path) and path.suffix != ".safetensors"  # torch reads that suffix differently
    if not zipped:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check_pickle(data)
    with path.open("rb") as file, torch.serialization.safe_globals(_placeholders(path) if zipped else []):
        return torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)


def damage_of(path: Path) -> str | None:
    """Description of the damage of a file of torch, by its sizes and checksums; None if it is whole.

    Raises:
        OSError: it cannot be opened.
    """
    if is_special(path):
        return f"it {SPECIAL}"
    try:
        _check_parts(path)
    except UnpicklingError as error:
        return _reason(path, error).rstrip(".")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        return f"{path.stat().st_size:,} bytes; {error}"
    return None


def _check_parts(path: Path) -> bool:
    """Check sizes and checksums of an archive, which torch does not; True if all its parts are uncompressed.

    Raises:
        zipfile.BadZipFile: a part was changed, or the parts unpack to far more than weights do.
        UnpicklingError: its pickle allocates bytes by a given number.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        unpacked = sum(part.file_size for part in parts)
        if unpacked > max(_UNPACKED * path.stat().st_size, _SMALL):
            raise zipfile.BadZipFile(f"its parts unpack to {unpacked:,} bytes, which those of weights do not")
        for part in parts if any(part.CRC for part in parts) else ():  # torch can be told to write no checksums
            with archive.open(part) as file:
                while file.read(_PART):
                    pass
        for part in parts:
            if part.filename.endswith("data.pkl"):
                if not part.CRC:
                    del part.CRC  # zipfile would compare it
                _check_pickle(archive.read(part))
    return all(part.compress_type == zipfile.ZIP_STORED for part in parts)


def _check_pickle(data: bytes | mmap.mmap) -> None:
    """Raise if a pickle allocates bytes by a given number, which torch allows even for terabytes.

    Raises:
        UnpicklingError: it does.
    """
    if any(data.find(start) >= 0 for start in _BYTES):
        raise UnpicklingError("unsupported: bytearray")


def _placeholders(path: Path) -> list[Any]:
    """Empty classes in place of those in a checkpoint that torch does not allow."""
    names = [name.rpartition(".") for name in torch.serialization.get_unsafe_globals_in_checkpoint(path)]
    return [type(n, (_NumPy if m.startswith("numpy") else _Object,), {"__module__": m}) for m, _, n in names]


class _Object:
    def __new__(cls, *args: object) -> OrderedDict:  # type: ignore[misc]
        return OrderedDict()  # the only type for which torch sets items as well as attributes


class _NumPy:
    def __init__(self, *args: object):
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _reason(path: Path, error: Exception) -> str:
    said = (str(error) or type(error).__name__).splitlines()[0]
    told = isinstance(error, UnpicklingError) and "unsupported" in str(error).lower()
    if told or (isinstance(error, UnpicklingError | TypeError | ValueError) and zipfile.is_zipfile(path)):
        return (
            "it holds Python objects that cannot be skipped; where they are known, save the tensors alone: "
            "torch.save({'model': checkpoint['model']}, path)."
        )
    if "weights_only" in said or "weights only" in said.lower():
        said = "no pickle of tensors"
    return f"it is truncated or damaged ({path.stat().st_size:,} bytes; {said}); download or copy it again."
