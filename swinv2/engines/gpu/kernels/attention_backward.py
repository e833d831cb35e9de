"""The backward pass of window attention as kernels, without atomic additions: the same bits in every run.

All compute the scores again. Gradients of the scale and of the bias are summed over the windows that a program goes
through, in registers, and written once a program; what reads them adds up few programs, not windows. Where a tile holds
a whole window, one kernel does it all. For larger windows there are three, as a program can keep the sums of one side
only: over keys for the queries, over queries for the keys, over windows for the bias.
"""

from typing import no_type_check

import triton
import triton.language as tl

from .tiles import (
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


@triton.jit
@no_type_check
def through_unit(grad, direction, length):
    """Gradient of a vector from that of its unit vector `direction`; `length` is the norm of the vector."""
    return (grad - direction * tl.sum(grad * direction, 1)[:, None]) / length[:, None]


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def one_tile(
    qkv, scale, bias, grad, grad_qkv, grad_scale, grad_bias, starts1, starts2, starts3, count1, count2, count3,
    size1, size2, size3, slots, windows, heads,
    AXES: tl.constexpr, WINDOW2: tl.constexpr, WINDOW3: tl.constexpr,
    D: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, PRECISION: tl.constexpr, WANTS_BIAS: tl.constexpr,
):  # fmt: skip
    """Windows of at most ROWS slots. Programs: (heads, any number); sums (programs, heads) and (…, ROWS, ROWS)."""
    head = tl.program_id(0).to(tl.int64)
    width = heads * D
    qkv += head * D
    grad_qkv += head * D
    slot = tl.arange(0, ROWS)
    offset1, offset2, offset3, token = slot_offsets(slot, size2, size3, WINDOW2, WINDOW3)
    factor = tl.load(scale + head)
    bias_tile = load_bias(bias + head * slots * slots, slot, slot, slots)
    bias_sum = tl.full((ROWS, ROWS), 0.0, tl.float32)
    scale_sum = tl.full((ROWS,), 0.0, tl.float32)
    for window in range(tl.program_id(1), windows, tl.num_programs(1)):
        first, length1, length2, length3 = window_at(
            window, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES
        )
        filled = (offset1 < length1) & (offset2 < length2) & (offset3 < length3)
        rows = first + token
        query = load_rows(qkv, rows, filled, 3 * width, D, DEPTH)
        key = load_rows(qkv + width, rows, filled, 3 * width, D, DEPTH)
        value = load_rows(qkv + 2 * width, rows, filled, 3 * width, D, DEPTH)
        gradient = load_rows(grad + head * D, rows, filled, width, D, DEPTH)
        query_length, key_length = lengths(query), lengths(key)
        query_factor, key_factor = factor * LOG2E / query_length, key_factors(key_length, filled)
        scores = scores_of(query, key, query_factor[:, None], key_factor[None, :], bias_tile, PRECISION)
        scores = tl.exp2(scores - tl.max(scores, 1)[:, None])
        scores = scores / tl.sum(scores, 1)[:, None]
        grad_value = tl.dot(tl.trans(scores.to(value.dtype)), gradient, input_precision=PRECISION)
        store_rows(grad_qkv + 2 * width, grad_value, rows, filled, 3 * width, D, DEPTH)
        grad_scores = tl.dot(gradient, tl.trans(value), input_precision=PRECISION) * scores
        grad_scores = grad_scores - scores * tl.sum(grad_scores, 1)[:, None]
        if WANTS_BIAS:
            bias_sum += grad_scores
        grad_scores = grad_scores.to(value.dtype)
        # read again, as there are no registers to keep them; in float32
        query = load_rows(qkv, rows, filled, 3 * width, D, DEPTH) / query_length[:, None]
        key = load_rows(qkv + width, rows, filled, 3 * width, D, DEPTH) / key_length[:, None]
        grad_query = tl.dot(grad_scores, key.to(value.dtype), input_precision=PRECISION)
        grad_key = tl.dot(tl.trans(grad_scores), query.to(value.dtype), input_precision=PRECISION)
        scale_sum += tl.sum(grad_query * query, 1)
        grad_query, grad_key = through_unit(grad_query, query, query_length), through_unit(grad_key, key, key_length)
        store_rows(grad_qkv, grad_query * factor, rows, filled, 3 * width, D, DEPTH)
        store_rows(grad_qkv + width, grad_key * factor, rows, filled, 3 * width, D, DEPTH)
    part = tl.program_id(1) * heads + head
    tl.store(grad_scale + part, tl.sum(scale_sum, 0))
    if WANTS_BIAS:
        tl.store(grad_bias + part * ROWS * ROWS + slot[:, None] * ROWS + slot, bias_sum)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def grad_queries(
    qkv, scale, bias, context, lse, grad, grad_qkv, grad_scale, delta, starts1, starts2, starts3,
    count1, count2, count3, size1, size2, size3, slots, windows, heads, window2, window3,
    AXES: tl.constexpr, D: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of queries and scale; comes first, as it leaves `delta`, each query's sum of gradient times context.

    Programs: (heads · tiles of queries, any number); sums (programs, tiles, heads).
    """
    head = (tl.program_id(0) % heads).to(tl.int64)
    width = heads * D
    qkv += head * D
    row = tl.program_id(0) // heads * ROWS
    slot = row + tl.arange(0, ROWS)
    offset1, offset2, offset3, token = slot_offsets(slot, size2, size3, window2, window3)
    factor = tl.load(scale + head)
    scale_sum = tl.full((ROWS,), 0.0, tl.float32)
    for window in range(tl.program_id(1), windows, tl.num_programs(1)):
        first, length1, length2, length3 = window_at(
            window, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES
        )
        filled = (offset1 < length1) & (offset2 < length2) & (offset3 < length3)
        rows = first + token
        query = load_rows(qkv, rows, filled, 3 * width, D, DEPTH)
        length = lengths(query)
        query_factor = factor * LOG2E / length
        gradient = load_rows(grad + head * D, rows, filled, width, D, DEPTH)
        mixed = load_rows(context + head * D, rows, filled, width, D, DEPTH)
        product = tl.sum(gradient.to(tl.float32) * mixed.to(tl.float32), 1)
        tl.store(delta + rows * heads + head, product, mask=filled)
        total = tl.load(lse + rows * heads + head, mask=filled, other=float("inf"))
        grad_query = tl.full((ROWS, DEPTH), 0.0, tl.float32)
        for start in range(0, used(row, length1, length2, length3, window2, window3), COLUMNS):
            other = start + tl.arange(0, COLUMNS)
            other1, other2, other3, place = slot_offsets(other, size2, size3, window2, window3)
            there = (other1 < length1) & (other2 < length2) & (other3 < length3)
            key = load_rows(qkv + width, first + place, there, 3 * width, D, DEPTH)
            key_factor = key_factors(lengths(key), there)
            value = load_rows(qkv + 2 * width, first + place, there, 3 * width, D, DEPTH)
            bias_tile = load_bias(bias + head * slots * slots, slot, other, slots)
            scores = scores_of(query, key, query_factor[:, None], key_factor[None, :], bias_tile, PRECISION)
            _, grad_scores = gradient_of_scores(scores, gradient, value, total[:, None], product[:, None], PRECISION)
            key = (key * key_factor[:, None]).to(value.dtype)
            grad_query = tl.dot(grad_scores.to(value.dtype), key, grad_query, input_precision=PRECISION)
        query = query / length[:, None]  # in float32
        scale_sum += tl.sum(grad_query * query, 1)
        grad_query = through_unit(grad_query, query, length) * factor
        store_rows(grad_qkv + head * D, grad_query, rows, filled, 3 * width, D, DEPTH)
    tl.store(grad_scale + tl.program_id(1) * tl.num_programs(0) + tl.program_id(0), tl.sum(scale_sum, 0))


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def grad_keys(
    qkv, scale, bias, lse, grad, grad_qkv, delta, starts1, starts2, starts3, count1, count2, count3,
    size1, size2, size3, slots, windows, heads, window2, window3,
    AXES: tl.constexpr, D: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradients of keys and values. Programs: (heads · tiles of keys, any number). Scores have keys as rows here."""
    head = (tl.program_id(0) % heads).to(tl.int64)
    width = heads * D
    qkv += head * D
    grad_qkv += head * D
    row = tl.program_id(0) // heads * ROWS
    slot = row + tl.arange(0, ROWS)
    offset1, offset2, offset3, token = slot_offsets(slot, size2, size3, window2, window3)
    factor = tl.load(scale + head)
    for window in range(tl.program_id(1), windows, tl.num_programs(1)):
        first, length1, length2, length3 = window_at(
            window, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES
        )
        filled = (offset1 < length1) & (offset2 < length2) & (offset3 < length3)
        rows = first + token
        key = load_rows(qkv + width, rows, filled, 3 * width, D, DEPTH)
        value = load_rows(qkv + 2 * width, rows, filled, 3 * width, D, DEPTH)
        length = lengths(key)
        key_factor = key_factors(length, filled)
        grad_key = tl.full((ROWS, DEPTH), 0.0, tl.float32)
        grad_value = grad_key
        for start in range(0, used(row, length1, length2, length3, window2, window3), COLUMNS):
            other = start + tl.arange(0, COLUMNS)
            other1, other2, other3, place = slot_offsets(other, size2, size3, window2, window3)
            there = (other1 < length1) & (other2 < length2) & (other3 < length3)
            query = load_rows(qkv, first + place, there, 3 * width, D, DEPTH)
            query_factor = factor / lengths(query)
            gradient = load_rows(grad + head * D, first + place, there, width, D, DEPTH)
            total = tl.load(lse + (first + place) * heads + head, mask=there, other=float("inf"))
            product = tl.load(delta + (first + place) * heads + head, mask=there, other=0.0)
            bias_tile = tl.trans(load_bias(bias + head * slots * slots, other, slot, slots))
            query_row = query_factor[None, :] * LOG2E
            scores = scores_of(key, query, query_row, key_factor[:, None], bias_tile, PRECISION)
            scores, grad_scores = gradient_of_scores(
                scores, value, gradient, total[None, :], product[None, :], PRECISION
            )
            grad_value = tl.dot(scores.to(value.dtype), gradient, grad_value, input_precision=PRECISION)
            query = (query * query_factor[:, None]).to(value.dtype)
            grad_key = tl.dot(grad_scores.to(value.dtype), query, grad_key, input_precision=PRECISION)
        grad_key = through_unit(grad_key, key / length[:, None], length)
        store_rows(grad_qkv + width, grad_key, rows, filled, 3 * width, D, DEPTH)
        store_rows(grad_qkv + 2 * width, grad_value, rows, filled, 3 * width, D, DEPTH)


@triton.jit(do_not_specialize=SIZES)
@no_type_check
def grad_position_bias(
    qkv, scale, bias, lse, grad, grad_bias, delta, starts1, starts2, starts3, count1, count2, count3,
    size1, size2, size3, slots, windows, heads, window2, window3,
    AXES: tl.constexpr, D: tl.constexpr, DEPTH: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
    PRECISION: tl.constexpr,
):  # fmt: skip
    """Gradient of the bias. Programs: (heads · tiles of queries, tiles of keys, any number); sums (…, slots, slots)."""
    head = (tl.program_id(0) % heads).to(tl.int64)
    width = heads * D
    qkv += head * D
    row = tl.program_id(0) // heads * ROWS + tl.arange(0, ROWS)
    row1, row2, row3, row_token = slot_offsets(row, size2, size3, window2, window3)
    column = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    column1, column2, column3, column_token = slot_offsets(column, size2, size3, window2, window3)
    factor = tl.load(scale + head) * LOG2E
    bias_tile = load_bias(bias + head * slots * slots, row, column, slots)
    bias_sum = tl.full((ROWS, COLUMNS), 0.0, tl.float32)
    for window in range(tl.program_id(2), windows, tl.num_programs(2)):
        first, length1, length2, length3 = window_at(
            window, starts1, starts2, starts3, count1, count2, count3, size1, size2, size3, AXES
        )
        here = (row1 < length1) & (row2 < length2) & (row3 < length3)
        there = (column1 < length1) & (column2 < length2) & (column3 < length3)
        rows, columns = first + row_token, first + column_token
        query = load_rows(qkv, rows, here, 3 * width, D, DEPTH)
        key = load_rows(qkv + width, columns, there, 3 * width, D, DEPTH)
        value = load_rows(qkv + 2 * width, columns, there, 3 * width, D, DEPTH)
        gradient = load_rows(grad + head * D, rows, here, width, D, DEPTH)
        total = tl.load(lse + rows * heads + head, mask=here, other=float("inf"))
        product = tl.load(delta + rows * heads + head, mask=here, other=0.0)
        query_factor, key_factor = factor / lengths(query), key_factors(lengths(key), there)
        scores = scores_of(query, key, query_factor[:, None], key_factor[None, :], bias_tile, PRECISION)
        _, grad_scores = gradient_of_scores(scores, gradient, value, total[:, None], product[:, None], PRECISION)
        bias_sum += grad_scores
    part = grad_bias + (tl.program_id(2) * heads + head) * slots * slots
    inside = (row < slots)[:, None] & (column < slots)
    tl.store(part + row[:, None] * slots + column, bias_sum, mask=inside)


@triton.jit
@no_type_check
def gradient_of_scores(scores, left_gradient, right_gradient, lse, delta, PRECISION: tl.constexpr):
    """A tile of scores after the softmax, and the gradient of those before it, with queries or with keys as rows."""
    scores = tl.exp2(scores - lse)
    grad_scores = tl.dot(left_gradient, tl.trans(right_gradient), input_precision=PRECISION)
    return scores, scores * (grad_scores - delta)
