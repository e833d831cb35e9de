"""What a test of videos leaves to look at."""

import json
from collections.abc import Sequence
from pathlib import Path

from swinv2.classification.scores import Scores
from swinv2.confusion import confused_pairs, draw_confusion, write_csv
from swinv2.figures import save_figure


def write_report(folder: Path, scores: Scores, left_out: int, class_names: Sequence[str]) -> list[Path]:
    """Write the means with the number of videos that they are of, the confusion matrix and its largest cells.

    Args:
        folder: where to; it is made if missing.
        scores: of the data set.
        left_out: how many videos are missing or unreadable, and so not scored.
        class_names: by label.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    means, picture, confused = paths = [folder / name for name in ("scores.json", "confusion.png", "confused.csv")]
    counts = {"scored": scores.number, "left_out": left_out}
    means.write_text(json.dumps(scores.figures() | counts, indent=2))
    save_figure(picture, draw_confusion(scores.confusion, class_names))
    pairs = confused_pairs(scores.confusion, class_names)
    write_csv(confused, ("truth", "predicted", "share_of_truth", "number"), pairs)
    return paths


def summary(scores: Scores) -> str:
    """The means in a line."""
    return f"top-1 {scores.top1:.3f}  top-5 {scores.top5:.3f}  mean class accuracy {scores.class_accuracy:.3f}"
