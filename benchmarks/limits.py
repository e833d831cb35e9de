"""The least time of a forward pass: its matrix products, and on a GPU its tensors, at the rates of this machine."""

import math
from collections import Counter
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.peers import Work
from benchmarks.timing import medians
from swinv2.engines.cpu.packing import pack, packed_product
from swinv2.variants import VARIANTS

PATCH = 48  # numbers of a patch of 4 x 4 pixels
ROWS = 1024  # of a product timed on a CPU: what comes out of more of them leaves the cache, and takes longer
ROUNDS = 5
COPIED = 2**30  # bytes of a copy that measures the memory of a GPU

Product = tuple[int, int, int]  # rows, channels in, channels out

NOTE = """\
The limit is the multiply-adds of the matrix products (linear layers and attention; without padding, position biases
and all that is elementwise) over the rate of the linear layers' products by themselves, in the same run, in the fastest
way that this PyTorch has: on a CPU that of oneDNN with packed weights, 1024 rows at a time."""


def limit(work: Work, dtype: torch.dtype, device: str, passes: int = 1) -> dict[str, float]:
    """Least milliseconds on this machine, and the rate in GFLOP/s, measured now; on a GPU also those of memory.

    Args:
        work: model and images.
        dtype: of the products.
        device: cpu or cuda.
        passes: how many times the work of a forward pass is done; 3 in training, where the backward pass has two
            products for each one.
    """
    linear = products(work)
    seconds = sum(count * fastest(product, dtype, device) for product, count in linear.items())
    multiplied = sum(count * math.prod(product) for product, count in linear.items())
    rate = multiplied / seconds
    least = passes * (multiplied + attention_products(work)) / rate
    found = {"ms": 1e3 * least, "GFLOP/s": 2e-9 * rate}
    if device == "cuda":
        found["traffic ms"] = 1e3 * passes * dtype.itemsize * numbers_moved(work) / bandwidth()
    return found


def products(work: Work) -> Counter[Product]:
    """Products of the linear layers, and how often each occurs."""
    variant = VARIANTS[work.name]
    rows = [work.batch * math.prod(grid) for grid in work.grids]
    found: Counter[Product] = Counter({(rows[0], PATCH, variant.embed_dim): 1})
    for i, depth in enumerate(variant.depths):
        c = variant.embed_dim * 2**i
        found.update({(rows[i], *shape): depth for shape in ((c, 3 * c), (c, c), (c, 4 * c), (4 * c, c))})
        if i > 0:
            found[rows[i], 2 * c, c] += 1  # merging, 4 tokens of half the width
    if not work.features:
        found[work.batch, c, variant.num_classes] += 1
    return found


def attention_products(work: Work) -> int:
    """Multiply-adds of queries by keys and of weights by values."""
    variant = VARIANTS[work.name]
    total = 0
    for i, (depth, grid) in enumerate(zip(variant.depths, work.grids, strict=True)):
        for j in range(depth):
            pairs = math.prod(sum(n**2 for n in segments(size, work.window, j % 2 == 1)) for size in grid)
            total += 2 * work.batch * pairs * variant.embed_dim * 2**i
    return total


def segments(size: int, window: int, shifted: bool) -> list[int]:
    """Lengths of the windows along an axis: 20 in windows of 8 -> 8 8 4, shifted -> 4 8 8."""
    if size <= window:
        return [size]
    head = window // 2 if shifted else 0
    whole, rest = divmod(size - head, window)
    return [length for length in [head, *[window] * whole, rest] if length]


def fastest(product: Product, dtype: torch.dtype, device: str) -> float:
    """Seconds of a linear layer's product in the fastest way."""
    rows, inner, outer = product
    chunk = rows if device == "cuda" else min(rows, ROWS)
    with torch.device(device):
        x = torch.randn(chunk, inner, dtype=dtype)
        layer = nn.Linear(inner, outer).to(dtype)
    with torch.inference_mode():
        ways = {"plain": lambda: F.linear(x, layer.weight, layer.bias)}
        if device == "cpu" and (packed := pack(layer.weight)) is not None:
            ways["packed"] = partial(packed_product(packed, layer.bias), x)
        return min(medians(ways, ROUNDS, repeats=10 if device == "cuda" else 1).values()) * rows / chunk


def numbers_moved(work: Work) -> int:
    """Numbers read and written if each linear layer, each attention and each norm with its sum goes over them once."""
    variant = VARIANTS[work.name]
    linear = sum(n * (rows * (inner + outer) + inner * outer) for (rows, inner, outer), n in products(work).items())
    tokens = [work.batch * math.prod(grid) * variant.embed_dim * 2**i for i, grid in enumerate(work.grids)]
    others = (3 + 1) + 2 * (2 + 1)  # attention: qkv in, context out; twice in a block: branch and sum in, sum out
    return linear + sum(others * depth * x for depth, x in zip(variant.depths, tokens, strict=True))


def bandwidth() -> float:
    """Bytes a second that the GPU reads and writes in a copy."""
    source = torch.empty(COPIED, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    return 2 * COPIED / medians({"copy": lambda: target.copy_(source)}, ROUNDS, repeats=10)["copy"]
