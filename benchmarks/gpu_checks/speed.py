"""Times of kernels: beside the limits of the card, the plain model, other ways of attention, and other tiles."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu_checks.attention import LIMITS, TINY, WIDTH, Case, Given, by_kernels, forward, given, plain, plainly
from benchmarks.gpu_checks.figure import Figure, Place, error, peak, seconds
from swinv2.commands.doctor.rates import bandwidth, product_rate

HALF = torch.bfloat16
EXPONENTIALS = 16  # of a multiprocessor a clock
SPEED = {
    "T-w8 stage 1": Case(64, (64, 64), (8, 8), False, 3),
    "T-w8 stage 3": Case(64, (16, 16), (8, 8), False, 12),
    "T-w16 stage 1": Case(32, (64, 64), (16, 16), False, 3),
    "B-w24 stage 1": Case(32, (96, 96), (24, 24), False, 4),
    "B-w24 stage 3": Case(32, (24, 24), (24, 24), False, 16),
    "B-w24 stage 3, one image": Case(1, (24, 24), (24, 24), False, 16),
    "w32 at 1536": Case(1, (384, 384), (32, 32), True, 4),
    "video, 8 x 7 x 7": Case(8, (8, 56, 56), (8, 7, 7), True, 4),
}
SHARES = {"T-w8 stage 1": 0.5}  # of the limit, at least; others:
SHARE = 0.35
LARGE = {
    "40 x 40, 640 pixels": Case(2, (160, 160), (40, 40), True, 4),
    "8 x 16 x 16, video": Case(1, (8, 64, 64), (8, 16, 16), True, 4),
}
WINDOWS = {"w8": (4096, 3, 64), "w16": (512, 3, 256), "w24": (256, 4, 576)}  # windows, heads, slots
TILES: Mapping[str, Mapping[str, int]] = {
    "as it is": {},
    **{f"{n} warps": {"warps": n} for n in (4, 8)},
    **{f"{n} stages": {"stages": n} for n in (1, 2)},
    **{f"{rows} x {columns}": {"rows": rows, "columns": columns} for rows, columns in ((64, 64), (128, 32), (32, 32))},
}


def speed(place: Place) -> Iterator[Figure]:
    """Attention and the ends of branches beside the limits of the card and the plain model."""
    bytes_a_second, products = bandwidth(place.device), product_rate(place.device, HALF)
    yield Figure("copy, TB/s", f"{bytes_a_second / 1e12:.2f}", "4.3 on an H200")
    yield Figure("bfloat16 product, TFLOP/s", f"{products / 1e12:.0f}", "770 to 800 on an H200")
    for name, case in chosen(place, SPEED).items():
        numbers = given(place, case, HALF)
        ours = seconds(place, lambda given=numbers: forward(given))
        both = seconds(place, lambda given=numbers: by_kernels(given))
        with torch.no_grad():
            theirs = seconds(place, lambda given=numbers: plain(*given[:3], given.windows), 3, 3)
        theirs_both = seconds(place, lambda given=numbers: plainly(given), 3, 3)
        share = least(place, case, products, bytes_a_second) / ours
        expected = SHARES.get(name, SHARE)
        text = f"forward {1e6 * ours:.0f} us, {share:.2f} of the limit, plain {theirs / ours:.1f} x"
        text += f"; with backward {1e6 * both:.0f} us, plain {theirs_both / both:.1f} x"
        yield Figure(
            name, text, f"{expected} of the limit, plain slower", judged(place, share >= expected and theirs > ours)
        )
    for channels in (96, 384, 1024) if place.gpu else (24,):
        yield norm_speed(place, channels, bytes_a_second)


def chosen(place: Place, those: Mapping[str, Case]) -> Mapping[str, Case]:
    """Cases to be looked at."""
    return dict(zip(("one tile", "several tiles"), TINY, strict=True)) if place.tiny else those


def judged(place: Place, good: bool) -> bool | None:
    """Whether times are good; None where they mean nothing."""
    return good if place.gpu else None


def least(place: Place, case: Case, products: float, bytes_a_second: float) -> float:
    """Least seconds of a forward pass: of its products, its memory, or its exponentials."""
    slots, channels = math.prod(case.window), WIDTH * case.heads
    times = [4 * case.tokens * slots * channels / products, 4 * case.tokens * channels * HALF.itemsize / bytes_a_second]
    card: Any = torch.cuda.get_device_properties(place.device) if place.gpu else None
    if rate := getattr(card, "clock_rate", 0):  # kHz; not known to every PyTorch
        times.append(case.tokens * slots * case.heads / (card.multi_processor_count * EXPONENTIALS * rate * 1e3))
    return max(times)


def norm_speed(place: Place, channels: int, bytes_a_second: float) -> Figure:
    """The end of a branch: the share of the bandwidth of a copy."""
    from swinv2.engines.gpu.kernels.norm_launch import add_norm

    tokens = 25_000_000 // channels if place.gpu else 100
    x, branch = torch.randn(2, 1, tokens, channels, device=place.device)
    weight, bias = torch.randn(2, channels, device=place.device)
    given = x, branch.to(HALF), weight, bias, x.new_empty(0), 1e-5
    moved = x.numel() * (8 + HALF.itemsize)
    share = moved / bytes_a_second / seconds(place, lambda: add_norm(*given))
    return Figure(f"norm of {channels} channels, share of a copy", f"{share:.2f}", "0.7", judged(place, share >= 0.7))


def large_windows(place: Place) -> Iterator[Figure]:
    """Windows of more than 1024 slots: both passes beside the plain model, time and memory, and the numbers."""
    for name, case in chosen(place, LARGE).items():
        numbers = given(place, case, HALF)
        ways: dict[str, Callable[[], Any]] = {"ours": partial(by_kernels, numbers), "plain": partial(plainly, numbers)}
        times = {way: seconds(place, call, 3, 2) for way, call in ways.items()}
        taken = {way: f"{peak(place, call) >> 20}" if place.gpu else "-" for way, call in ways.items()}
        text = ", ".join(f"{way} {1e3 * times[way]:.1f} ms {taken[way]} MiB" for way in ways)
        yield Figure(name, text, "faster than plain", judged(place, times["ours"] < times["plain"]))
        found, wanted = by_kernels(numbers)[0], plainly(numbers, torch.float32)[0]
        yield Figure(
            f"{name}, error", f"{error(found, wanted):.1e}", "1.5e-02", error(found, wanted) <= LIMITS[HALF][0]
        )


def alternatives(place: Place) -> Iterator[Figure]:
    """PyTorch's ways of attention with a bias that is learnt: both passes, time and memory."""
    for name, (windows, heads, slots) in {"w4": (6, 2, 16)}.items() if place.tiny else WINDOWS.items():
        made = torch.randn(3, windows, heads, slots, WIDTH, device=place.device).to(HALF)
        inputs = [*made, torch.randn(heads, slots, slots, device=place.device).to(HALF)]
        inputs = [x.requires_grad_() for x in inputs]
        for way, call in ways_of_pytorch(inputs).items():
            run = partial(_both, call, inputs)
            try:
                text = f"{1e6 * seconds(place, run, 3, 3):.0f} us"
                text += f", {peak(place, run) >> 20} MiB" if place.gpu else ""
            except Exception as error:  # what a way does not take
                text = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            yield Figure(f"{name}, {windows} windows, {heads} heads: {way}", text)
        if way := second_way():
            side = math.isqrt(slots)
            numbers = given(place, Case(windows, (side, side), (side, side), False, heads), HALF)
            text = f"{1e6 * seconds(place, partial(_by_second_way, way, numbers), 3, 3):.0f} us"
            yield Figure(f"{name}, {windows} windows, {heads} heads: without kernels", text)
            text = f"{1e6 * seconds(place, partial(by_kernels, numbers), 3, 3):.0f} us"
            yield Figure(f"{name}, {windows} windows, {heads} heads: kernels", text)


def ways_of_pytorch(inputs: list[Tensor]) -> dict[str, Callable[[], Tensor]]:
    """Calls by name; arguments are queries, keys, values and bias."""
    q, k, v, bias = inputs

    def by(backend: SDPBackend) -> Tensor:
        with sdpa_kernel(backend):
            return F.scaled_dot_product_attention(q, k, v, attn_mask=bias[None], scale=1.0)

    backends = {
        "efficient": SDPBackend.EFFICIENT_ATTENTION,
        "cudnn": SDPBackend.CUDNN_ATTENTION,
        "math": SDPBackend.MATH,
    }
    ways: dict[str, Callable[[], Tensor]] = {f"SDPA {name}": partial(by, one) for name, one in backends.items()}
    return ways | ({"FlexAttention": flexible(*inputs)} if q.device.type == "cuda" else {})


def flexible(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Callable[[], Tensor]:
    """A call of FlexAttention, which is compiled once."""
    from torch.nn.attention.flex_attention import flex_attention

    def add_bias(score: Tensor, batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return score + bias[head, query, key]

    return partial(torch.compile(flex_attention, dynamic=False), q, k, v, score_mod=add_bias, scale=1.0)


def _both(call: Callable[[], Tensor], inputs: list[Tensor]) -> None:
    result = call()
    torch.autograd.grad(result, inputs, torch.ones_like(result))


def second_way() -> Any:
    """The attention that is computed where kernels are not, if this checkout has one."""
    name = "swinv2.engines.gpu.pytorch_attention"
    return import_module(name) if find_spec(name) else None


def _by_second_way(way: Any, numbers: Given) -> None:
    qkv, scale, bias, grad, windows = numbers
    way.forward(qkv, scale, bias, windows)
    way.backward(grad, qkv, scale, bias, windows, True)


def tiles(place: Place) -> Iterator[Figure]:
    """Both passes with other tiles of scores than are chosen."""
    from swinv2.engines.gpu.kernels import launch

    for name, case in chosen(place, {key: SPEED[key] for key in ("T-w8 stage 1", "B-w24 stage 3")}).items():
        numbers = given(place, case, HALF)
        for label, changes in TILES.items():
            if "rows" in changes and math.prod(case.window) <= 64:
                continue  # a window in one tile
            with changed(launch, "tile", lambda tile, changes=changes: replace(tile, **changes)):
                try:
                    first, both = (seconds(place, partial(call, numbers), 5) for call in (forward, by_kernels))
                    text = f"forward {1e6 * first:.0f} us, with backward {1e6 * both:.0f} us"
                except Exception as error:  # too large for the card
                    text = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            yield Figure(f"{name}, {label}", text)


@contextmanager
def changed(module: Any, name: str, change: Callable[[Any], Any]) -> Iterator[None]:
    """Within, what a function of a module gives is changed."""
    before = getattr(module, name)
    setattr(module, name, lambda *args, **options: change(before(*args, **options)))
    try:
        yield
    finally:
        setattr(module, name, before)


def fp32(place: Place) -> Iterator[Figure]:
    """Float32: kernels and the plain model, with products in full and in lower precision."""
    names = ("T-w8 stage 1", "T-w16 stage 1")
    for name, case in chosen(place, {key: SPEED[key]._replace(batch=8) for key in names}).items():
        numbers = given(place, case, torch.float32)
        before = torch.get_float32_matmul_precision()
        times: dict[str, float] = {}
        try:
            for precision in ("highest", "high"):
                torch.set_float32_matmul_precision(precision)
                times[f"kernels, {precision}"] = seconds(place, partial(by_kernels, numbers), 3, 3)
                times[f"plain, {precision}"] = seconds(place, partial(plainly, numbers), 3, 3)
        finally:
            torch.set_float32_matmul_precision(before)
        text = ", ".join(f"{way} {1e3 * taken:.2f} ms" for way, taken in times.items())
        good = times["kernels, highest"] <= times["plain, highest"]
        yield Figure(name, text, "kernels no slower than plain", judged(place, good))
