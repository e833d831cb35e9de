"""Arrays of NumPy in a file of ours, an index, that anybody may have changed."""

import io
from pathlib import Path

import numpy as np

from .regular import SPECIAL, is_special


def read_arrays(path: Path, most: int) -> dict[str, np.ndarray]:
    """The arrays in a file; nothing is unpacked or executed.

    Args:
        path: a file of `numpy.savez`.
        most: bytes that it may have.

    Raises:
        ValueError: it is a pipe or a device, larger, or compressed.
        Exception: what zipfile and NumPy raise for a file that is not there or damaged, MemoryError among it.
    """
    if is_special(path):
        raise ValueError(f"{path} {SPECIAL}.")
    if path.stat().st_size > most:
        raise ValueError(f"{path} has more than {most:,} bytes, which no such index has.")
    with path.open("rb") as file, np.load(file, allow_pickle=False) as kept:
        if any(info.compress_type for info in kept.zip.infolist()):
            raise ValueError(f"{path} is compressed; an index is not.")
        names = kept.files
        return {name: np.lib.format.read_array(io.BytesIO(kept.zip.read(f"{name}.npy"))) for name in names}
