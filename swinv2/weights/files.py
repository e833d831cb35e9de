"""Tensors from and to files, in whatever container and under whatever names of wrappers."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..files.kinds import kind_of
from ..files.whole import write_torch
from .containers import find_weights
from .safetensors_files import write_safetensors
from .shards import check_whole, read_shards
from .sources import SUFFIXES, Located, locate
from .tensor_files import read_file
from .trained_windows import architecture


@dataclass(frozen=True)
class Checkpoint:
    """What was read of a checkpoint.

    Attributes:
        label: what to call it in messages.
        tensors: weights and buffers of one model.
        names: what may tell of which model they are: where it was read from, and what is noted in it.
    """

    label: str
    tensors: dict[str, Tensor]
    names: str


def read_checkpoint(source: str | Path | Mapping[Any, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, on the CPU, without `module.`, `_orig_mod.` and other wrappers in their names.

    Nothing that a file brings along is ever run: it is read with `weights_only=True`, and objects of the program that
    wrote it (a configuration, NumPy numbers) are skipped. What a file is tells its content, not its suffix. Of several
    models in it, as of averaged weights and the others, the averaged ones are taken, and the log says so.

    Args:
        source: a file of safetensors or torch; an index of shards (model.safetensors.index.json); a directory holding
            model.safetensors or pytorch_model.bin or the index of one, or what DeepSpeed saved; an address (http,
            https), whose file is kept in the cache of torch.hub; a `file:` address, read where it is;
            `hf-hub:owner/name` or `hf-hub:owner/name/file` on the Hugging Face hub; or a state dict, on its own or
            within a checkpoint.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the file is truncated or no checkpoint, or holds no tensors.
    """
    return open_checkpoint(source).tensors


def open_checkpoint(source: str | Path | Mapping[Any, Any]) -> Checkpoint:
    """The same, with what else is known of it.

    Args:
        source: what `read_checkpoint` takes.

    Raises:
        FileNotFoundError: there is no such file.
        ConnectionError: the address cannot be reached.
        ValueError: the file is truncated or no checkpoint, or holds no tensors.
    """
    if not isinstance(source, str | Path | Mapping) or not str(source).strip():
        given = "an empty text" if isinstance(source, str) else f"a {type(source).__name__}"
        raise ValueError(f"weights are a path, an address or a state dict, got {given}; give e.g. model.state_dict().")
    if isinstance(source, Mapping):
        label, content, notes = "the state dict", source, ""
    else:
        located = locate(label := str(source))
        content, notes = _read(label, located), located.notes
    tensors, place = find_weights(content, label)
    if not tensors:
        raise ValueError(
            f"{label} holds {', '.join(map(str, list(content)[:6])) or 'nothing'} and no tensors; "
            "save the weights as torch.save({'model': model.state_dict()}, path)."
        )
    return Checkpoint(
        f"{label} (at {place})" if place else label, tensors, "/".join((label, notes, architecture(content)))
    )


@contextmanager
def errors_of(label: str) -> Iterator[None]:
    """Errors within say of which checkpoint they are."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None


def write_checkpoint(
    state: Mapping[str, Tensor], path: str | Path, container: str | None = None, **more: object
) -> None:
    """Write tensors as safetensors or with torch, by the suffix of the path.

    Args:
        state: the tensors.
        path: file to write, ending in one of `SUFFIXES`; its directory is made.
        container: key under which a file of torch holds the tensors.
        more: what such a file holds beside them.

    Raises:
        ValueError: another suffix.
        OSError: it cannot be written; nothing is left of it then.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"weights are written to files ending in {', '.join(SUFFIXES)}, got {path.name}.")
    # copies, as the tensors may lie in the very file that is written
    tensors = {key: value.clone(memory_format=torch.contiguous_format) for key, value in state.items()}
    if path.suffix == ".safetensors":
        write_safetensors(path, tensors)
    else:
        write_torch(path, {container: tensors, **more} if container else tensors)


def _read(source: str, located: Located) -> Mapping[Any, Any]:
    try:
        if located.path.suffix == ".json" and kind_of(located.path) == "other":
            return read_shards(located.path, located.find)
        check_whole(located.path)
        return read_file(located.path)
    except ValueError as error:
        for path in located.downloads[-1:]:
            path.unlink(missing_ok=True)  # a new try downloads anew
            path.with_name(f"{path.name}.sha256").unlink(missing_ok=True)  # or takes what is put there by hand
        raise ValueError(f"{source} cannot be read: {error}") from None
