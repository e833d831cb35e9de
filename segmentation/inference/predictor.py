"""Segmentation of an image of any size: whole or by sliding windows, in one view or several."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

import torch
from jaxtyping import Float32, Int16, Int64, Shaped
from torch import Tensor, nn

from segmentation.inference.sliding import Sliding, ViewLogits
from segmentation.inference.test_time_augmentation import View, Views
from swinv2.imaging.resize import resize

# Rows of the image, and scores, that are in memory at the same time: on a CPU what fits its caches, and per row less
# than PyTorch splits between threads; on a GPU enough to be worth a kernel launch.
BAND, TILE = 32, 2**20 - 1
ACCELERATOR_BAND, ACCELERATOR_TILE = 512, 2**26


@torch.no_grad()
def segment(
    model: nn.Module,
    image: Shaped[Tensor, "..."],
    size: tuple[int, int],
    sliding: Sliding | None = None,
    views: Views | None = None,
) -> Int16[Tensor, "h w"]:
    """Class of every pixel of an image, as a tensor on the device of the model.

    The logits of all classes at all pixels are never in memory at the same time. Beside image, resized image and
    labels, memory holds the model's coarse logits for each view: without `sliding` those of the whole image, with it
    those of the two or three rows of windows that overlap in a row of the image.

    Coarse logits are interpolated directly to the pixels of the image, not first to `size` and then again: if the two
    are equal this is what mmsegmentation does, otherwise the result is slightly sharper. Logits of overlapping windows
    are averaged, and so are the probabilities of several views.

    Args:
        model: images (b, 3, h, w), on the device of its parameters, to logits (b, k, n_h, n_w); in evaluation mode.
        image: (3, H, W), RGB, uint8 or float from 0 to 1, in the size of the labels.
        size: height and width of the model's input; the image is resized to it.
        sliding: sliding windows; None for the whole image at once.
        views: sizes and flips of the model's input; None for `size` only.

    Raises:
        ValueError: the model is in training mode, or an image or size of another form.
    """
    check(model, image, size)
    height, width = image.shape[1:]
    device = next(model.parameters(), image).device
    labels = torch.empty(height, width, dtype=torch.int16, device=device)
    logits = list(view_logits(model, image, [View(size, flip=False)] if views is None else views.of(size), sliding))
    begins = {top for one in logits for top in one.tops}  # first rows of windows: bands end there
    band, budget = (BAND, TILE) if device.type == "cpu" else (ACCELERATOR_BAND, ACCELERATOR_TILE)
    for rows in pairwise(sorted({*range(0, height, band), *begins, height})):
        for each in logits:
            each.reach(rows[0])
        step = max(budget // (band * logits[0].num_classes), 1)
        for columns in pairwise([*range(0, width, step), width]):
            labels[slice(*rows), slice(*columns)] = best(scores(logits, rows, columns))
    return labels


def check(model: nn.Module, image: Tensor, size: tuple[int, int]) -> None:
    """Raise ValueError for a model in training mode, an image that is not RGB, or a size below 1."""
    if model.training:
        raise ValueError("the model is in training; call model.eval() before segment.")
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(f"image has shape {tuple(image.shape)}; give (3, height, width), RGB channels first.")
    if min(size) < 1:
        raise ValueError(f"size must be a height and a width of at least 1 pixel, got {size}.")


def view_logits(
    model: nn.Module, image: Shaped[Tensor, "3 h w"], views: Sequence[View], sliding: Sliding | None
) -> Iterator[ViewLogits]:
    """Looks at the image in each view; it is resized once for successive views of the same size."""
    original = (image.shape[1], image.shape[2])
    for size, same in groupby(views, key=lambda view: view.size):
        resized = image if size == original else resize(image, size)
        for view in same:
            yield ViewLogits(model, resized, original, sliding, view.flip)


def scores(views: Sequence[ViewLogits], rows: tuple[int, int], columns: tuple[int, int]) -> Float32[Tensor, "h w k"]:
    """Scores of each class in a rectangle of the image: logits of one view, or summed probabilities of several.

    Args:
        views: logits of each view.
        rows: first row and the one after the last.
        columns: first column and the one after the last.
    """
    if len(views) == 1:
        return views[0].logits(rows, columns)
    total = views[0].logits(rows, columns).softmax(-1)
    for other in views[1:]:
        more = other.logits(rows, columns).softmax(-1)
        in_parts = total.device.type == "cpu"  # row by row: see `Strip.add_to`
        for part, others in zip(total, more, strict=True) if in_parts else [(total, more)]:
            part += others
    return total


def best(scores: Float32[Tensor, "h w k"]) -> Int64[Tensor, "h w"]:
    """Class with the highest score at each pixel, the first of equal ones."""
    if scores.device.type != "cpu":
        return scores.argmax(-1)
    return torch.from_numpy(scores.numpy().argmax(-1))  # several times faster than PyTorch's
