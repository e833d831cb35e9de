"""One training at a time in a folder of checkpoints, so that none overwrites what another one saves."""

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
    """Held by the training that saves to a folder, until its process ends, however it ends.

    The system gives the lock back when a process ends; who holds it stands in a note beside it.

    Args:
        folder: of checkpoints; lock and note lie beside it, hidden.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.note = folder.with_name(f".{folder.name}.running.json")
        self._lock = FileLock(folder.with_name(f".{folder.name}.lock"), timeout=0)

    def take(self) -> bool:
        """Take the folder, unless another process has it.

        Raises:
            OSError: the folder cannot be written to.
        """
        self.note.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._lock.acquire()
        except (Timeout, NotImplementedError) as error:  # the latter on disks that have no locks
            if self._is_held(known_only=isinstance(error, NotImplementedError)):
                return False
        if self.note.exists():
            log.warning("The training before in %s did not come to its end (%s).", self.folder, self.holder())
        holder = {"host": socket.gethostname(), "process": os.getpid(), "since": time.strftime("%Y-%m-%d %H:%M")}
        self.note.write_text(json.dumps(holder))
        return True

    def give_back(self) -> None:
        """Let others have the folder."""
        self.note.unlink(missing_ok=True)
        self._lock.release()

    def holder(self) -> str:
        """Who has the folder, or had it."""
        known = self._read()
        since = known.get("since", "?")
        return f"process {known.get('process', '?')} on {known.get('host', '?')}, since {since}"

    def _is_held(self, known_only: bool) -> bool:
        """Whether its process is there: loading processes of one that was killed keep the lock for a while."""
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
    """The lock of a folder for checkpoints: of this one, or of `NAME-2`, `NAME-3` and so on if a training has it.

    Raises:
        OSError: they cannot be written to.
    """
    lock, number = RunLock(folder), 1
    while not lock.take():
        number += 1
        text = "Another training saves to %s (%s): this one saves to %s."
        other = folder.with_name(f"{folder.name}-{number}")
        log.warning(text, lock.folder, lock.holder(), other)
        lock = RunLock(other)
    return lock
