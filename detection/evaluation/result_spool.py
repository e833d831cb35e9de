"""Detections of predicted images, on the disk until those of the last image are there."""

import json
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from detection.evaluation.average_precision import Result


class ResultSpool:
    """Keeps entries of COCO results as text in a file without a name, which is gone when its process ends.

    In memory those of many thousand images, each with a hundred detections, would take as many times 100 kB.

    Args:
        folder: on whose disk the file is.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115  (it is closed with the last reference to this)
        weakref.finalize(self, self._file.close)
        self._places: dict[int, tuple[int, int]] = {}

    def add(self, image_id: int, entries: Sequence[Result]) -> None:
        """Take up the detections of an image.

        Args:
            image_id: its number.
            entries: as in a COCO results JSON; may be empty.

        Raises:
            OSError: they cannot be written.
        """
        text = "\n".join(map(json.dumps, entries)).encode()
        try:
            self._places[image_id] = (self._file.seek(0, 2), len(text))
            self._file.write(text)
            self._file.flush()
        except OSError as error:
            raise OSError(
                f"Detections cannot be written to {self.folder} ({error.strerror}); make room there, or give "
                "model.output another folder."
            ) from error

    def read(self) -> dict[int, list[str]]:
        """The entries of each image, as JSON."""
        texts = {}
        for image_id, (start, length) in self._places.items():
            self._file.seek(start)
            texts[image_id] = self._file.read(length).decode().splitlines()
        return texts


def in_order(parts: Sequence[Mapping[int, list[str]]]) -> list[str]:
    """The entries of all processes in the order of the images.

    Args:
        parts: what `ResultSpool.read` gave in each process; an image that is in several of them comes once.
    """
    texts = {image_id: lines for part in parts for image_id, lines in part.items()}
    return [line for image_id in sorted(texts) for line in texts[image_id]]
