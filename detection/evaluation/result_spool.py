"""Temporary file for the detections of a prediction, until all images are done."""

import json
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile

from detection.evaluation.average_precision import Result


class ResultSpool:
    """Entries of COCO results as text in an anonymous temporary file, which vanishes when its process ends.

    In memory they would take 100 kB for each image with a hundred detections.

    Args:
        folder: folder on the disk that the file uses.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = TemporaryFile(dir=folder)  # noqa: SIM115  (it is closed with the last reference to this)
        weakref.finalize(self, self._file.close)
        self._places: dict[int, tuple[int, int]] = {}

    def add(self, image_id: int, entries: Sequence[Result]) -> None:
        """Add the detections of an image.

        Args:
            image_id: number of the image.
            entries: entries of a COCO results JSON; may be empty.

        Raises:
            OSError: the file cannot be written.
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
        """Read the entries of each image, as JSON."""
        texts = {}
        for image_id, (start, length) in self._places.items():
            self._file.seek(start)
            texts[image_id] = self._file.read(length).decode().splitlines()
        return texts


def in_order(parts: Sequence[Mapping[int, list[str]]]) -> list[str]:
    """Entries of all processes in the order of the images.

    Args:
        parts: entries of `ResultSpool.read` in each process; an image that is in several comes once.
    """
    texts = {image_id: lines for part in parts for image_id, lines in part.items()}
    return [line for image_id in sorted(texts) for line in texts[image_id]]
