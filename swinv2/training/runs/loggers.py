"""Loggers for CSV and TensorBoard whose errors name the file that cannot be written."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from ...imaging.drawing import Picture


class MetricsTable(CSVLogger):
    """Logger of metrics to `metrics.csv`; arguments are those of CSVLogger."""

    def save(self) -> None:
        """Write what has been logged since the last call.

        Raises:
            OSError: the file cannot be written.
        """
        with _named(f"{self.log_dir}/metrics.csv"):
            super().save()


class Board(TensorBoardLogger):
    """Logger of metrics and pictures to TensorBoard; arguments are those of TensorBoardLogger.

    A thread of TensorBoard writes the file; its error is raised by the next call.
    """

    def log_metrics(self, *args: Any, **kwargs: Any) -> None:
        """Log the metrics of a step.

        Raises:
            OSError: the file cannot be written.
        """
        with _named(self.log_dir):
            try:
                super().log_metrics(*args, **kwargs)
            except ValueError as error:  # Lightning wraps every error in one
                raise error.__cause__ if isinstance(error.__cause__, OSError) else error from None

    def add_picture(self, name: str, picture: Picture, step: int) -> None:
        """Log a picture of a step.

        Raises:
            OSError: the file cannot be written.
        """
        with _named(self.log_dir):
            self.experiment.add_image(name, picture, step, dataformats="HWC")

    def save(self) -> None:
        """Write what has been logged.

        Raises:
            OSError: the file cannot be written.
        """
        with _named(self.log_dir):
            super().save()

    def finalize(self, status: str) -> None:
        """Write the rest and close the file."""
        with _named(self.log_dir):
            super().finalize(status)


@contextmanager
def quiet_writers() -> Iterator[None]:
    """Suppress tracebacks of threads that cannot write a file, within a `with` statement; the error is raised later."""
    before = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not isinstance(args.exc_value, OSError):
            before(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = before


@contextmanager
def _named(place: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise OSError(
            f"The log {place} cannot be written: {reason}. Make room there, or choose another disk by "
            "trainer.default_root_dir; the checkpoints are as they were."
        ) from error
