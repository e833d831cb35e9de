"""Locks of folders of checkpoints: one training at a time saves to a folder."""

import json
import logging
import os
import socket
import time
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ...files.whole import is_running

log = logging.getLogger(__name__)


class RunLock:
    """Lock of the training that saves to a folder; the system releases it when the process ends, however it ends.

    A note beside it names the process that holds it.

    Args:
        folder: of checkpoints; lock and note are hidden files beside it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.note = folder.with_name(f".{folder.name}.running.json")
        self._lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)

    def take(self) -> bool:
        """Take the lock; False if another process holds it.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.note.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except (Timeout, NotImplementedError) as error:  # the latter on file systems without locks
            if self._is_held(known_only=isinstance(error, NotImplementedError)):
                return False
        if self.note.exists():
            log.warning("The training before in %s did not come to its end (%s).", self.folder, self.holder())
        holder = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M")}
        self.note.write_text(json.dumps(holder))
        return True

    def give_back(self) -> None:
        """Release the lock and remove the note."""
        self.note.unlink(missing_ok=True)
        self._lock.release()

    def holder(self) -> str:
        """Process that holds or held the lock, for messages."""
        known = self._read()
        since = known.get("since", "?")
        return f"process {known.get('process', '?')} on {known.get('host', '?')}, since {since}"

    def _is_held(self, known_only: bool) -> bool:
        """Whether the process in the note still runs: data workers of a killed one keep the lock for a while."""
        known = self._read()
        if not known:
            return not known_only
        process = known.get("process")
        return known.get("host") != socket.gethostname() or (isinstance(process, int) and is_running(process))

    def _read(self) -> dict[str, Any]:
        try:
            content = json.loads(self.note.read_text())
        except (OSError, ValueError):  # the other process has just begun
            return {}
        return content if isinstance(content, dict) else {}


def take_folder(folder: Path) -> RunLock:
    """Lock of a folder of checkpoints, or of `NAME-2`, `NAME-3` and so on if a training holds it.

    Raises:
        OSError: the folder cannot be written to.
    """
    lock, number = RunLock(folder), 1
    while not lock.take():
        number += 1
        text = "Another training saves to %s (%s): this one saves to %s."
        other = folder.with_name(f"{folder.name}-{number}")
        log.warning(text, lock.folder, lock.holder(), other)
        lock = RunLock(other)
    return lock
