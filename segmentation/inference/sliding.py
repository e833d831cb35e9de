"""Sliding-window inference, one row of windows at a time."""

from collections import deque
from dataclasses import dataclass
from math import ceil

import torch
from jaxtyping import Float, Float32, Shaped
from torch import Tensor, nn

from segmentation.inference.upsampling import Axis, Strip
from swinv2.imaging.resize import LEAST_SIDE


@dataclass(frozen=True)
class Sliding:
    """Overlapping square windows over an image, placed as in mmsegmentation.

    The first lies in the upper left corner, the next ones a stride apart, and the last is moved back to end at the
    border of the image. Along an axis that is shorter than the window there is one window of that length.

    Args:
        crop_size: side of a window, pixels.
        stride: distance from one window to the next, pixels, at most `crop_size`; None for two thirds of it.
        batch_size: number of windows per forward pass.

    Raises:
        ValueError: a setting outside its range.
    """

    crop_size: int = 512
    stride: int | None = None
    batch_size: int = 1

    def __post_init__(self) -> None:
        if self.crop_size < LEAST_SIDE:
            raise ValueError(f"crop_size must be at least {LEAST_SIDE} pixels, got {self.crop_size}; e.g. 512.")
        if not 1 <= self.step <= self.crop_size:
            raise ValueError(
                f"stride must be from 1 to crop_size, {self.crop_size}, or windows would leave gaps; got {self.stride}."
            )
        if self.batch_size < 1:
            raise ValueError(f"batch_size of sliding must be at least 1, got {self.batch_size}.")

    @property
    def step(self) -> int:
        """Distance from one window to the next, pixels."""
        return self.crop_size * 2 // 3 if self.stride is None else self.stride

    def starts(self, length: int) -> list[int]:
        """First pixel of each window along an axis."""
        beyond = max(length - self.crop_size, 0)  # start of the last window
        return [min(i * self.step, beyond) for i in range(ceil(beyond / self.step) + 1)]


class ViewLogits:
    """Logits of a model for one view of an image, read at the pixels of the image, from top to bottom.

    The logits of a window are the bilinear interpolation of the model's coarse map. They are read directly at the
    centres of the image's pixels, also if the view has another size, and averaged over all windows that contain a
    centre.

    The model runs when the first pixel row of a row of windows is reached; its maps are freed after the last.

    Args:
        model: images to logits (b, k, n_h, n_w).
        image: the image, resized to the size of the view.
        original: height and width of the image, pixels.
        sliding: sliding windows; None for one window over all.
        flip: whether the model takes the view flipped horizontally.
    """

    def __init__(
        self,
        model: nn.Module,
        image: Shaped[Tensor, "3 h w"],
        original: tuple[int, int],
        sliding: Sliding | None = None,
        flip: bool = False,
    ) -> None:
        self.model = model
        self.image = image
        self.flip = flip
        self.batch_size = 1 if sliding is None else sliding.batch_size
        self.rows, self.columns = (
            place(pixels, length, sliding) for pixels, length in zip(original, image.shape[1:], strict=True)
        )
        if flip:
            self.columns = mirror(self.columns)
        covered = [(start, self.rows.covered(start)) for start in self.rows.starts]
        self.coming = deque((start, first) for start, (first, last) in covered if first < last)
        self.tops = [first for _, first in self.coming]
        self.strips: list[Strip] = []

    @property
    def num_classes(self) -> int:
        """Number of classes of the logits, once the model has run."""
        return self.strips[0].maps[0].shape[-1]

    def reach(self, top: int) -> None:
        """Advance to a row of the image: free the windows above it, run the model on those that begin up to there."""
        self.strips = [strip for strip in self.strips if strip.rows.last > top]
        while self.coming and self.coming[0][1] <= top:
            self.strips.append(self.run(self.coming.popleft()[0]))

    def logits(self, rows: tuple[int, int], columns: tuple[int, int]) -> Float32[Tensor, "h w k"]:
        """Logits of a rectangle of the image.

        Args:
            rows: first row and the one after the last; the first is that of `reach`, and no window begins between them.
            columns: first column and the one after the last.
        """
        sizes = rows[1] - rows[0], columns[1] - columns[0]
        some = self.strips[0].maps[0]
        tile = some.new_empty(*sizes, some.shape[-1])
        for part in tile if tile.device.type == "cpu" else [tile]:
            part.zero_()
        for strip in self.strips:
            strip.add_to(tile, rows[0], columns[0])
        return tile

    def run(self, top: int) -> Strip:
        """Run the model on the windows that begin in some row of the view."""
        device = next(self.model.parameters(), self.image).device
        part = self.image[:, top : top + self.rows.window]
        maps: list[Tensor] = []
        for i in range(0, len(self.columns.starts), self.batch_size):
            starts = self.columns.starts[i : i + self.batch_size]
            windows = torch.stack([part[:, :, start : start + self.columns.window] for start in starts]).to(device)
            maps += map(channels_last, self.model(windows.flip(-1)).flip(-1) if self.flip else self.model(windows))
        rows = self.rows.samples(top, maps[0].shape[0])
        columns = [self.columns.samples(start, maps[0].shape[1]).to(device) for start in self.columns.starts]
        return Strip(rows, columns, maps)


def place(pixels: int, length: int, sliding: Sliding | None) -> Axis:
    """Axis of an image and of its view, with the windows in place.

    Args:
        pixels: length of the image.
        length: length of the view.
        sliding: sliding windows; None for one as long as the view.
    """
    if sliding is None:
        return Axis(pixels, length, length, [0])
    return Axis(pixels, length, min(sliding.crop_size, length), sliding.starts(length))


def mirror(axis: Axis) -> Axis:
    """Axis with the windows mirrored."""
    return Axis(axis.pixels, axis.length, axis.window, [axis.length - axis.window - start for start in axis.starts])


def channels_last(coarse: Float[Tensor, "k n_h n_w"]) -> Float32[Tensor, "n_h n_w k"]:
    """Map with its channels last, in float32."""
    cells = coarse.flatten(1).T.contiguous()  # (n_h * n_w, k); a transposed matrix is copied faster than three axes
    return cells.float().unflatten(0, coarse.shape[1:])
