"""Report on the tensors of a loaded checkpoint."""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)

_IN_BACKBONE = re.compile(r"patch_embed\.|layers\.|absolute_pos_embed")
_OUTPUT_NORM = re.compile(r"norm\d*\.(weight|bias)")  # of features that a model may not return


@dataclass(frozen=True)
class LoadReport:
    """Loaded, missing and unused tensors of a checkpoint; as a string, a few lines to read.

    Attributes:
        format: layout of the checkpoint.
        matched: tensors of the model that were loaded.
        missing: tensors of the model that stay as they were.
        unexpected: tensors of the checkpoint without a place in the model.
        adapted: tensors whose shape differed, and how they were changed.
        pretrained_window_sizes: pretraining window of each stage, in tokens along each axis.
        windows_from: source of these windows.
    """

    format: str
    matched: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    adapted: tuple[tuple[str, str], ...]
    pretrained_window_sizes: tuple[tuple[int, ...], ...]
    windows_from: str

    def __str__(self) -> str:
        """Counts, and names grouped by module."""
        windows = ", ".join("x".join(map(str, window)) for window in self.pretrained_window_sizes)
        changes = defaultdict(list)
        for name, change in self.adapted:
            changes[f"adapted, {change}" if name in self.matched else change].append(name)
        lines = [
            f"{self.format} weights: {len(self.matched)} of {len(self.matched) + len(self.missing)} tensors loaded",
            f"trained with windows {windows} (from {self.windows_from})",
            *(f"{change}: {grouped(names)}" for change, names in changes.items()),
            f"left as they were: {grouped(self.missing)}",
            f"not used: {grouped(self.unexpected)}",
        ]
        return "\n  ".join(line for line in lines if not line.endswith(": "))

    def warn(self, label: str, prefix: str, last_norm: str) -> None:
        """Warn about tensors of the model that keep their initial values, and unused tensors of backbone and heads.

        Args:
            label: name of the checkpoint.
            prefix: of the backbone in the model.
            last_norm: prefix of the last stage's norm; norms of earlier stages may be missing.
        """
        skipped = {name: change for name, change in self.adapted if name not in self.matched}
        if reasons := [f"{name} {change}" for name, change in skipped.items()]:
            text = "%s: %d tensors that do not fit stay as they were initialised: %s"
            logger.warning(text, label, len(skipped), "; ".join(reasons[:4]))
        beside = [name for name in self.missing if name.startswith(last_norm) or not name.startswith(prefix)]
        left = [key for key in self.unexpected if not _IN_BACKBONE.match(key) and not _OUTPUT_NORM.fullmatch(key)]
        if absent := [name for name in beside if name not in skipped]:
            text = "%s: %d tensors stay as they were initialised, since the checkpoint has none for them: %s.%s"
            rest = f" Not used of it: {listed(left)}; rename one that is meant to e.g. {absent[0]}." if left else ""
            logger.warning(text, label, len(absent), grouped(absent), rest)
        elif left and prefix:
            logger.warning("%s: %d tensors beside the backbone are not used: %s", label, len(left), listed(left))
        if lost := [key for key in self.unexpected if _IN_BACKBONE.match(key)]:
            logger.warning(
                "%s: %d tensors of its backbone have no place in the model: %s", label, len(lost), listed(lost)
            )


def grouped(names: Iterable[str]) -> str:
    """Names grouped by module, up to two levels, with counts."""
    groups = defaultdict(list)
    for name in names:
        groups[".".join(name.split(".")[:-1][:2]) or name].append(name)
    texts = [f"{group} ({len(members)})" if len(members) > 1 else members[0] for group, members in groups.items()]
    return ", ".join(texts[:8]) + (f" and {len(texts) - 8} more" if len(texts) > 8 else "")


def listed(names: Sequence[str]) -> str:
    """Names as text: up to four in full, more in groups."""
    return ", ".join(names) if len(names) <= 4 else grouped(names)
