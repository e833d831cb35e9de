"""What the attention kernels share: where the tokens of a window are, and tiles of unit vectors."""

from typing import no_type_check

import triton
import triton.language as tl

# Sizes that need no kernels of their own; `slots` has two, as bias tiles are read faster if it is a multiple of 16.
SIZES = ("count1", "count2", "count3", "size1", "size2", "size3", "windows", "heads", "window2", "window3")
LOG2E = tl.constexpr(1.4426950408889634)  # the hardware computes powers of two
TINY = tl.constexpr(1e-12)  # shortest length that a query or key is divided by
FAR = tl.constexpr(-1e30)  # score of a slot without a token; finite, so that nothing becomes NaN


@triton.jit
@no_type_check
def segment(number, count, starts):
    """Start and length of one segment of an axis, and what is left of the number for the axes before it."""
    start = tl.load(starts + number % count)
    return start, tl.load(starts + number % count + 1) - start, number // count


@triton.jit
@no_type_check
def window_at(window, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES: tl.constexpr):
    """First token of a window, counted through the batch, and its lengths; an axis too few is missing at the front."""
    start1, start2, length1, length2 = 0, 0, 1, 1
    start3, length3, left = segment(window, count3, starts3)
    if AXES > 1:
        start2, length2, left = segment(left, count2, starts2)
    if AXES > 2:
        start1, length1, left = segment(left, count1, starts1)
    row = (left.to(tl.int64) * size1 + start1) * size2 + start2  # left is the image; in int64, as batches may be large
    return row * size3 + start3, length1, length2, length3


@triton.jit
@no_type_check
def quotient(slot, number):
    """Whole part of slot / number, for less than 2^15 of each, by a product: GPUs have no division of integers."""
    return tl.umulhi(slot << 2, ((1 << 30) + number - 1) // number)


@triton.jit
@no_type_check
def slot_offsets(slot, size2, size3, window2, window3):
    """Offsets of slots along each axis, and how many tokens they are after the first of their window."""
    offset1 = quotient(slot, window2 * window3)
    left = slot - offset1 * (window2 * window3)
    offset2 = quotient(left, window3)
    offset3 = left - offset2 * window3
    return offset1, offset2, offset3, (offset1 * size2 + offset2) * size3 + offset3


@triton.jit
@no_type_check
def used(start, length1, length2, length3, window2, window3):
    """Slots up to the last one with a token, beyond which there is nothing to do; none for a tile that starts there."""
    slots = ((length1 - 1) * window2 + length2 - 1) * window3 + length3
    return tl.where(start < slots, slots, 0)


@triton.jit
@no_type_check
def load_rows(start, rows, filled, stride, D: tl.constexpr, DEPTH: tl.constexpr):
    """A tile (rows, DEPTH) of vectors of D numbers; zeros where there is no token."""
    depth = tl.arange(0, DEPTH)
    return tl.load(start + rows[:, None] * stride + depth, mask=filled[:, None] & (depth < D), other=0.0)


@triton.jit
@no_type_check
def store_rows(start, tile, rows, filled, stride, D: tl.constexpr, DEPTH: tl.constexpr):
    """Write a tile back where its rows have tokens."""
    depth = tl.arange(0, DEPTH)
    tile = tile.to(start.dtype.element_ty)
    tl.store(start + rows[:, None] * stride + depth, tile, mask=filled[:, None] & (depth < D))


@triton.jit
@no_type_check
def load_bias(bias, row, column, slots):
    """A tile of the position bias, in powers of two."""
    inside = (row < slots)[:, None] & (column < slots)
    return tl.load(bias + row[:, None] * slots + column, mask=inside, other=0.0) * LOG2E


@triton.jit
@no_type_check
def lengths(tile):
    """Length of each vector, in float32; that of none is not zero."""
    tile = tile.to(tl.float32)
    return tl.maximum(tl.sqrt(tl.sum(tile * tile, 1)), TINY)


@triton.jit
@no_type_check
def key_factors(length, filled):
    """What makes unit vectors of keys; negative where there is no token, so that scores need no other mask."""
    return tl.where(filled, 1 / length, -1.0)


@triton.jit
@no_type_check
def scores_of(left, right, query_factor, key_factor, bias_tile, PRECISION: tl.constexpr):
    """Scores, in powers of two, from products of vectors as they are: 16 bit lose nothing before the softmax."""
    products = tl.dot(left, tl.trans(right), input_precision=PRECISION)
    return tl.where(key_factor < 0, FAR, products * key_factor * query_factor + bias_tile)  # NaN stays NaN
