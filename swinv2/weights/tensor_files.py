"""What is in one file of weights: read by what the file is, never by its suffix, and nothing in it is ever run."""

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

_PART = 1 << 22  # bytes that are read at a time
_UNPACKED, _SMALL = 100, 1 << 26  # most bytes that one of an archive stands for, and what may always be unpacked
_BYTES = (b"c__builtin__\nbytearray\n", b"cbuiltins\nbytearray\n")  # makes as many bytes as a pickle says


def read_file(path: Path) -> Mapping[Any, Any]:
    """The content of a file of safetensors or torch: tensors, in containers or not, and what was saved beside them.

    Objects of the program that wrote a file of torch (a configuration, NumPy numbers) are mappings without items.

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
    except Exception as error:  # whatever safetensors, zipfile and torch raise for bytes that are not as they should be
        raise ValueError(_reason(path, error)) from None  # not torch's own text, which advises to run the file
    return content if isinstance(content, Mapping) else {type(content).__name__: content}


def _load(path: Path, zipped: bool) -> Any:
    mapped = zipped and _check_parts(path) and path.suffix != ".safetensors"  # by which torch would read it otherwise
    if not zipped:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            _check_pickle(data)
    with path.open("rb") as file, torch.serialization.safe_globals(_placeholders(path) if zipped else []):
        return torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)


def damage_of(path: Path) -> str | None:
    """What is wrong with a checkpoint that torch has written, by its sizes and check sums; None if nothing is.

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
    """Compare sizes and check sums of an archive, which torch does not, and say whether its parts are not compressed.

    Raises:
        zipfile.BadZipFile: a part is not what was written, or they unpack to far more than weights do.
        UnpicklingError: it makes bytes by their number.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        unpacked = sum(part.file_size for part in parts)
        if unpacked > max(_UNPACKED * path.stat().st_size, _SMALL):
            raise zipfile.BadZipFile(f"its parts unpack to {unpacked:,} bytes, which those of weights do not")
        for part in parts if any(part.CRC for part in parts) else ():  # torch can be told to write none
            with archive.open(part) as file:
                while file.read(_PART):
                    pass
        for part in parts:
            if part.filename.endswith("data.pkl"):
                if not part.CRC:
                    del part.CRC  # which zipfile would compare
                _check_pickle(archive.read(part))
    return all(part.compress_type == zipfile.ZIP_STORED for part in parts)


def _check_pickle(data: bytes | mmap.mmap) -> None:
    """See that a pickle makes no bytes by their number: torch would make terabytes.

    Raises:
        UnpicklingError: it does.
    """
    if any(data.find(start) >= 0 for start in _BYTES):
        raise UnpicklingError("unsupported: bytearray")


def _placeholders(path: Path) -> list[Any]:
    """Classes that keep nothing, in place of those that a checkpoint names and torch does not trust."""
    names = [name.rpartition(".") for name in torch.serialization.get_unsafe_globals_in_checkpoint(path)]
    return [type(n, (_NumPy if m.startswith("numpy") else _Object,), {"__module__": m}) for m, _, n in names]


class _Object:
    def __new__(cls, *args: object) -> OrderedDict:  # type: ignore[misc]
        return OrderedDict()  # the only type that torch fills with items as well as with attributes


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
