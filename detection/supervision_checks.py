"""Check before a training that the data has the masks and semantic maps that the detector learns from."""

from detection.data.coco_data import CocoData
from detection.detectors.detector import Detector
from swinv2.imaging.datasets import check_readable


def check_supervision(model: Detector, data: CocoData) -> None:
    """Raise unless the training data has the masks and semantic maps that the model learns from.

    Raises:
        ValueError: masks or semantic maps are missing, or most maps have classes that the model lacks.
    """
    if model.has_masks and data.train_set is not None and not data.train_set.annotations.has_masks:
        raise ValueError(
            f"{data.train_annotations} has boxes only, but the model has mask heads; set "
            "model.model.init_args.roi.masks to false, or give `segmentation` to every annotation."
        )
    if model.semantic_classes and data.semantic_maps is None:
        raise ValueError(
            f"The model has a semantic branch of {model.semantic_classes} classes, but the data no semantic maps; "
            "name their folder by data.semantic_maps, or set model.model.init_args.semantic_classes to 0."
        )
    if model.semantic_classes and data.train_set is not None:
        train = data.train_set
        check_readable(train.skipped, len(train), train.read, "training images with semantic maps")
