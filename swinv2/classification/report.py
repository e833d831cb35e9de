"""Report of a validation: scores by class, and the confusion matrix."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..files.whole import write_whole
from ..training.plots import confused_pairs, draw_confusion, save_figure
from ..training.tables import write_csv
from .scores import Scores


def write_report(folder: Path, scores: Scores, class_names: Sequence[str], skipped: int | None = None) -> list[Path]:
    """Write mean scores, accuracy by class, the confusion matrix as a picture, and its largest cells.

    Args:
        folder: of the report; made if missing.
        scores: of the data set.
        class_names: by label.
        skipped: number of missing or unreadable items, which are not scored; None if not counted.

    Returns:
        The written files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    means, classes, picture, confused = (
        folder / name for name in ("scores.json", "classes.csv", "confusion.png", "confused.csv")
    )
    counts = {"scored": scores.number} | ({} if skipped is None else {"skipped": skipped})
    write_whole(means, lambda part: part.write_text(json.dumps(scores.figures() | counts, indent=2)))
    accuracy = ["" if np.isnan(share) else f"{share:.6f}" for share in scores.accuracy]
    write_csv(classes, ("class", "number", "accuracy"), zip(class_names, scores.counts.tolist(), accuracy, strict=True))
    if scores.confusion is None:
        return [means, classes]
    pairs = confused_pairs(scores.confusion, class_names)
    write_csv(confused, ("truth", "predicted", "share_of_truth", "number"), pairs)
    save_figure(picture, draw_confusion(scores.confusion, class_names))
    return [means, classes, picture, confused]
