"""What is in one file of weights: read by what the file is, never by its suffix, and nothing in it is ever run."""

import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from .file_kinds import describe, kind_of
from .safetensors_files import check_digest

_PART = 1 << 22  # bytes that are read at a time


def read_file(path: Path) -> Mapping[Any, Any]:
    """The content of a file of safetensors or torch: tensors, in containers or not, and what was saved beside them.

    Objects of the program that wrote a file of torch (a configuration, NumPy numbers) are mappings without items.

    Args:
        path: a file.

    Raises:
        ValueError: the file is cut short or damaged, or no checkpoint; the message is the reason alone.
        OSError: it cannot be opened.
    """
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
    mapped = zipped and _check_sums(path) and path.suffix != ".safetensors"  # by which torch would read it otherwise
    with path.open("rb") as file, torch.serialization.safe_globals(_placeholders(path) if zipped else []):
        return torch.load(path if mapped else file, map_location="cpu", weights_only=True, mmap=mapped)


def damage_of(path: Path) -> str | None:
    """What is wrong with a checkpoint that torch has written, by its check sums; None if nothing is.

    Raises:
        OSError: it cannot be opened.
    """
    try:
        _check_sums(path)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, zlib.error) as error:
        return f"{path.stat().st_size:,} bytes; {error}"
    return None


def _check_sums(path: Path) -> bool:
    """Compare the check sums of an archive, which torch does not, and say whether its parts are stored as they are.

    Raises:
        zipfile.BadZipFile: a part is not what was written.
    """
    with zipfile.ZipFile(path) as archive:
        parts = archive.infolist()
        for part in parts if any(part.CRC for part in parts) else ():  # torch can be told to write none
            with archive.open(part) as file:
                while file.read(_PART):
                    pass
    return all(part.compress_type == zipfile.ZIP_STORED for part in parts)


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
