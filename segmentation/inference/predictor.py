"""From an image of any size to the class of every pixel: whole or by windows, in one view or in several."""

from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise

import torch
from jaxtyping import Float32, Int16, Int64, Shaped
from torch import Tensor, nn

from segmentation.inference.sliding import Look, Sliding
from segmentation.inference.test_time_augmentation import View, Views
from swinv2.imaging.resize import resize

# Rows of the image, and scores, that are there at the same time: on a CPU what its caches hold, and less a row than
# PyTorch splits between threads; on a GPU enough to be worth starting.
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
    """The class of every pixel of an image, on the CPU.

    The logits of all classes at all pixels are never there at the same time. Beside image, resized image and labels,
    memory holds the model's coarse maps, without `sliding` those of the whole image, with it those of the two or three
    rows of windows that overlap in a row of the image (and this for each view).

    Coarse maps are interpolated to the pixels of the image at once, not to those of the size looked at first, and then
    again: where the two are the same this is what mmsegmentation does, otherwise sharper by a trifle. Logits of
    overlapping windows are averaged, of several views the probabilities.

    Args:
        model: gives logits (b, k, n_h, n_w) of images (b, 3, h, w); in evaluation. It is given its images where its
            parameters are.
        image: (3, H, W), RGB, uint8 or float from 0 to 1, as large as its labels are to be.
        size: height and width in which the model is to look at the image; this is resized if it differs.
        sliding: the windows in which it does so; None for the whole image at once.
        views: further sizes and flips to look at it in; None for `size` only.

    Raises:
        ValueError: the model is in training, or image or size is not as said above.
    """
    check(model, image, size)
    height, width = image.shape[1:]
    labels = torch.empty(height, width, dtype=torch.int16)
    looks = list(look(model, image, [View(size, flip=False)] if views is None else views.of(size), sliding))
    begins = {top for look in looks for top in look.tops}  # of rows of windows: a band does not go on beyond
    on_cpu = next(model.parameters(), image).device.type == "cpu"
    band, budget = (BAND, TILE) if on_cpu else (ACCELERATOR_BAND, ACCELERATOR_TILE)
    for rows in pairwise(sorted({*range(0, height, band), *begins, height})):
        for each in looks:
            each.reach(rows[0])
        step = max(budget // (band * looks[0].num_classes), 1)
        for columns in pairwise([*range(0, width, step), width]):
            labels[slice(*rows), slice(*columns)] = best(scores(looks, rows, columns))
    return labels


def check(model: nn.Module, image: Tensor, size: tuple[int, int]) -> None:
    """Raises a ValueError for a model in training, what is no RGB image, and a size that is none."""
    if model.training:
        raise ValueError("the model is in training; call model.eval() before segment.")
    if image.ndim != 3 or image.shape[0] != 3 or 0 in image.shape:
        raise ValueError(f"image has shape {tuple(image.shape)}; give (3, height, width), RGB channels first.")
    if min(size) < 1:
        raise ValueError(f"size must be a height and a width of at least 1 pixel, got {size}.")


def look(
    model: nn.Module, image: Shaped[Tensor, "3 h w"], views: Sequence[View], sliding: Sliding | None
) -> Iterator[Look]:
    """The image in each of the views; it is resized once for views of the same size that follow each other."""
    original = (image.shape[1], image.shape[2])
    for size, same in groupby(views, key=lambda view: view.size):
        resized = image if size == original else resize(image, size)
        for view in same:
            yield Look(model, resized, original, sliding, view.flip)


def scores(looks: Sequence[Look], rows: tuple[int, int], columns: tuple[int, int]) -> Float32[Tensor, "h w k"]:
    """How much speaks for each class in a rectangle of the image: the logits, of several views summed probabilities.

    Args:
        looks: one for each view.
        rows: the first and the one after the last.
        columns: likewise.
    """
    if len(looks) == 1:
        return looks[0].logits(rows, columns)
    total = looks[0].logits(rows, columns).softmax(-1)
    for other in looks[1:]:
        more = other.logits(rows, columns).softmax(-1)
        in_parts = total.device.type == "cpu"  # row by row: see `Strip.add_to`
        for part, others in zip(total, more, strict=True) if in_parts else [(total, more)]:
            part += others
    return total


def best(scores: Float32[Tensor, "h w k"]) -> Int64[Tensor, "h w"]:
    """The class with the highest score at each pixel, of equal ones the first."""
    if scores.device.type != "cpu":
        return scores.argmax(-1).cpu()
    return torch.from_numpy(scores.numpy().argmax(-1))  # several times faster than PyTorch's
