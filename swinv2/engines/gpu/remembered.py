"""What was found out about kernels on a card, kept from one process to the next."""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any


def folder() -> Path:
    """Where it is kept: `swinv2/kernels` in the user's folder of caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "swinv2" / "kernels"


def read(identity: Mapping[str, str]) -> dict[str, Any]:
    """Everything that is known under an identity; nothing if the file is not there, cannot be read, or is of another.

    Args:
        identity: card, driver, versions.
    """
    with suppress(OSError, ValueError, RuntimeError):  # RuntimeError: a user without a home
        known = json.loads(_path(identity).read_text())
        if isinstance(known, dict) and known.get("of") == dict(identity) and isinstance(known.get("found"), dict):
            return known["found"]
    return {}


def add(identity: Mapping[str, str], found: Mapping[str, Any]) -> None:
    """Add what was found; a disk that cannot be written means that it is found again by the next process.

    Processes that add at the same time may lose what one of them found, and find it again.
    """
    with suppress(OSError, RuntimeError):
        path = _path(identity)
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("w", dir=path.parent, suffix=".tmp", delete=False) as file:
            json.dump({"of": dict(identity), "found": read(identity) | dict(found)}, file, indent=1)
        os.replace(file.name, path)


def _path(identity: Mapping[str, str]) -> Path:
    name = sha256(json.dumps(dict(identity), sort_keys=True).encode()).hexdigest()[:16]
    return folder() / f"{name}.json"
