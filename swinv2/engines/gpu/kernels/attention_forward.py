"""The forward pass of window attention as kernels that read and write tokens in the order of the grid.

Bias-stationary: a program owns a head and a tile of queries and goes through windows of the batch. Where a tile holds a
whole window, its bias stays in registers. A row of tiles of a larger one (64 × 576 slots: 144 KiB) does not fit there:
a tile of the bias is loaded, mostly from a cache, for every tile of keys; two windows are attended at once to halve
that.
"""

from typing import no_type_check

import triton
import triton.language as tl

from .tiles import (
    FAR,
    LOG2E,
    SIZES,
    key_factors,
    lengths,
    load_bias,
    load_rows,
    scores_of,
    slot_offsets,
    store_rows,
    used,
    window_at,
)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def one_tile(
    qkv, scale, bias, context, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3,
    slots, windows, heads,
    AXES: tl.constexpr, WINDOW2: tl.constexpr, WINDOW3: tl.constexpr,
    D: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Windows of at most ROWS slots. Programs: (heads, any number)."""
    head = tl.program_id(0).to(tl.int64)
    stride = 3 * heads * D
    qkv += head * D
    slot = tl.arange(0, ROWS)
    offset1, offset2, offset3, token = slot_offsets(slot, size2, size3, WINDOW2, WINDOW3)
    factor = tl.load(scale + head) * LOG2E
    bias_tile = load_bias(bias + head * slots * slots, slot, slot, slots)
    for window in range(tl.program_id(1), windows, tl.num_programs(1)):
        first, length1, length2, length3 = window_at(
            window, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES
        )
        filled = (offset1 < length1) & (offset2 < length2) & (offset3 < length3)
        query = load_rows(qkv, first + token, filled, stride, D, DEPTH)
        key = load_rows(qkv + heads * D, first + token, filled, stride, D, DEPTH)
        value = load_rows(qkv + 2 * heads * D, first + token, filled, stride, D, DEPTH)
        query_factor, key_factor = factor / lengths(query), key_factors(lengths(key), filled)
        scores = scores_of(query, key, query_factor[:, None], key_factor[None, :], bias_tile, PRECISION)
        scores = tl.exp2(scores - tl.max(scores, 1)[:, None])
        mixed = tl.dot(scores.to(value.dtype), value, input_precision=PRECISION) / tl.sum(scores, 1)[:, None]
        store_rows(context + head * D, mixed, first + token, filled, heads * D, D, DEPTH)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def two_windows(
    qkv, scale, bias, context, lse, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3,
    slots, windows, heads, window2, window3,
    AXES: tl.constexpr, D: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Windows of any number of slots. Programs: (heads · tiles of queries, any number)."""
    head = (tl.program_id(0) % heads).to(tl.int64)
    qkv += head * D
    context += head * D
    lse += head
    bias += head * slots * slots
    row = tl.program_id(0) // heads * ROWS
    slot = row + tl.arange(0, ROWS)
    offset1, offset2, offset3, token = slot_offsets(slot, size2, size3, window2, window3)
    factor = tl.load(scale + head) * LOG2E
    for pair in range(2 * tl.program_id(1), windows, 2 * tl.num_programs(1)):
        first_a, a1, a2, a3 = window_at(
            pair, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES
        )
        first_b, b1, b2, b3 = window_at(
            tl.minimum(pair + 1, windows - 1),
            starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES,
        )  # fmt: skip
        b1 = tl.where(pair + 1 < windows, b1, 0)  # no token where there is no second window
        used_a, used_b = used(row, a1, a2, a3, window2, window3), used(row, b1, b2, b3, window2, window3)
        both = (tl.minimum(used_a, used_b) + COLUMNS - 1) // COLUMNS * COLUMNS
        swap = used_a < used_b  # the first is the longer one
        first_a, first_b = tl.where(swap, first_b, first_a), tl.where(swap, first_a, first_b)
        a1, b1 = tl.where(swap, b1, a1), tl.where(swap, a1, b1)
        a2, b2 = tl.where(swap, b2, a2), tl.where(swap, a2, b2)
        a3, b3 = tl.where(swap, b3, a3), tl.where(swap, a3, b3)
        filled_a = (offset1 < a1) & (offset2 < a2) & (offset3 < a3)
        filled_b = (offset1 < b1) & (offset2 < b2) & (offset3 < b3)
        query_a = load_rows(qkv, first_a + token, filled_a, 3 * heads * D, D, DEPTH)
        query_b = load_rows(qkv, first_b + token, filled_b, 3 * heads * D, D, DEPTH)
        factor_a, factor_b = factor / lengths(query_a), factor / lengths(query_b)
        top_a, total_a = tl.full((ROWS,), FAR, tl.float32), tl.full((ROWS,), 0.0, tl.float32)
        top_b, total_b = top_a, total_a
        mixed_a = tl.full((ROWS, DEPTH), 0.0, tl.float32)
        mixed_b = mixed_a
        for start in range(0, both, COLUMNS):
            other = start + tl.arange(0, COLUMNS)
            other1, other2, other3, place = slot_offsets(other, size2, size3, window2, window3)
            bias_tile = load_bias(bias, slot, other, slots)
            there_a = (other1 < a1) & (other2 < a2) & (other3 < a3)
            there_b = (other1 < b1) & (other2 < b2) & (other3 < b3)
            top_a, total_a, mixed_a = attend(
                query_a, factor_a, top_a, total_a, mixed_a,
                qkv, first_a + place, there_a, bias_tile, heads, D, DEPTH, PRECISION,
            )  # fmt: skip
            top_b, total_b, mixed_b = attend(
                query_b, factor_b, top_b, total_b, mixed_b,
                qkv, first_b + place, there_b, bias_tile, heads, D, DEPTH, PRECISION,
            )  # fmt: skip
        for start in range(both, tl.maximum(used_a, used_b), COLUMNS):
            other = start + tl.arange(0, COLUMNS)
            other1, other2, other3, place = slot_offsets(other, size2, size3, window2, window3)
            there_a = (other1 < a1) & (other2 < a2) & (other3 < a3)
            top_a, total_a, mixed_a = attend(
                query_a, factor_a, top_a, total_a, mixed_a,
                qkv, first_a + place, there_a, load_bias(bias, slot, other, slots), heads, D, DEPTH, PRECISION,
            )  # fmt: skip
        finish(mixed_a, total_a, top_a, context, lse, first_a + token, filled_a, heads, D, DEPTH)
        finish(mixed_b, total_b, top_b, context, lse, first_b + token, filled_b, heads, D, DEPTH)


@triton.jit
@no_type_check
def finish(mixed, total, top, context, lse, rows, filled, heads, D: tl.constexpr, DEPTH: tl.constexpr):
    """Write the context of queries, and the logarithm of the sum of their scores."""
    total = tl.maximum(total, 1)  # as it is, but where there are no tokens
    store_rows(context, mixed / total[:, None], rows, filled, heads * D, D, DEPTH)
    tl.store(lse + rows * heads, top + tl.log2(total), mask=filled)


@triton.jit
@no_type_check
def attend(
    query, factor, top, total, mixed, qkv, rows, filled, bias_tile, heads,
    D: tl.constexpr, DEPTH: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """Online softmax: highest score, sum and mixture of values with one more tile of keys."""
    key = load_rows(qkv + heads * D, rows, filled, 3 * heads * D, D, DEPTH)
    value = load_rows(qkv + 2 * heads * D, rows, filled, 3 * heads * D, D, DEPTH)
    key_factor = key_factors(lengths(key), filled)
    scores = scores_of(query, key, factor[:, None], key_factor[None, :], bias_tile, PRECISION)
    higher = tl.maximum(top, tl.max(scores, 1))
    fade = tl.exp2(top - higher)
    scores = tl.exp2(scores - higher[:, None])
    mixed = tl.dot(scores.to(value.dtype), value, mixed * fade[:, None], input_precision=PRECISION)
    return higher, total * fade + tl.sum(scores, 1), mixed
