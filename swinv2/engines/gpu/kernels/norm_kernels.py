"""The end of a residual branch as kernels: rows are read once and written once, in float32 in between."""

from typing import no_type_check

import triton
import triton.language as tl


@triton.jit(do_not_specialize=("rows", "tokens"))
@no_type_check
def forward(
    x, branch, weight, bias, drop_path_scale, out, rows, tokens, eps,
    KEEP: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """The sum x + drop_path_scale · LayerNorm(branch). Programs: (tiles of ROWS rows,)."""
    row, column, place, inside = tile_of(tl.program_id(0), rows, C, WIDTH, ROWS)
    direction, _ = standardised(tl.load(branch + place, mask=inside, other=0.0), column, eps, C)
    gain = tl.load(weight + column, mask=column < C, other=0.0).to(tl.float32)
    offset = tl.load(bias + column, mask=column < C, other=0.0).to(tl.float32)
    normed = direction * gain + offset
    if KEEP:
        normed = normed * tl.load(drop_path_scale + row // tokens, mask=row < rows, other=0.0)[:, None]
    total = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) + normed
    tl.store(out + place, total.to(out.dtype.element_ty), mask=inside)


@triton.jit(do_not_specialize=("rows", "tokens"))
@no_type_check
def backward(
    grad, branch, weight, drop_path_scale, grad_branch, grad_weight, grad_bias, rows, tokens, eps,
    KEEP: tl.constexpr, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr,
):  # fmt: skip
    """Gradients of the branch, and sums over rows for weight and bias. Programs: (any number,); sums (programs, C)."""
    weight_sum = tl.full((ROWS, WIDTH), 0.0, tl.float32)
    bias_sum = weight_sum
    for tile in range(tl.program_id(0), (rows + ROWS - 1) // ROWS, tl.num_programs(0)):
        row, column, place, inside = tile_of(tile, rows, C, WIDTH, ROWS)
        direction, deviation = standardised(tl.load(branch + place, mask=inside, other=0.0), column, eps, C)
        grad_normed = tl.load(grad + place, mask=inside, other=0.0).to(tl.float32)
        if KEEP:
            grad_normed = grad_normed * tl.load(drop_path_scale + row // tokens, mask=row < rows, other=0.0)[:, None]
        weight_sum += grad_normed * direction
        bias_sum += grad_normed
        grad_direction = grad_normed * tl.load(weight + column, mask=column < C, other=0.0).to(tl.float32)
        along = direction * (tl.sum(grad_direction * direction, 1) / C)[:, None]
        result = (grad_direction - along - (tl.sum(grad_direction, 1) / C)[:, None]) / deviation[:, None]
        tl.store(grad_branch + place, result.to(grad_branch.dtype.element_ty), mask=inside)
    column = tl.arange(0, WIDTH)
    tl.store(grad_weight + tl.program_id(0) * C + column, tl.sum(weight_sum, 0), mask=column < C)
    tl.store(grad_bias + tl.program_id(0) * C + column, tl.sum(bias_sum, 0), mask=column < C)


@triton.jit
@no_type_check
def tile_of(number, rows, C: tl.constexpr, WIDTH: tl.constexpr, ROWS: tl.constexpr):
    """Row and column numbers of a tile, offsets of its elements, and the mask of those within the array."""
    row = (number * ROWS + tl.arange(0, ROWS)).to(tl.int64)
    column = tl.arange(0, WIDTH)
    return row, column, row[:, None] * C + column, (row < rows)[:, None] & (column < C)


@triton.jit
@no_type_check
def standardised(tile, column, eps, C: tl.constexpr):
    """Rows of mean zero and variance one, and their standard deviations."""
    tile = tile.to(tl.float32)
    tile = tl.where(column < C, tile - (tl.sum(tile, 1) / C)[:, None], 0.0)
    deviation = tl.sqrt(tl.sum(tile * tile, 1) / C + eps)
    return tile / deviation[:, None], deviation
