"""NumPy arrays in an index file, read safely, since anybody may have changed it."""

import io
from pathlib import Path

import numpy as np

from .regular import SPECIAL, is_special


def read_arrays(path: Path, most: int) -> dict[str, np.ndarray]:
    """Arrays in a file; nothing in it is decompressed or executed.

    Args:
        path: a file of `numpy.savez`.
        most: bytes that it may have.

    Raises:
        ValueError: it is a pipe or a device, larger, or compressed.
        Exception: any that zipfile and NumPy raise for a missing or damaged file, including MemoryError.
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
