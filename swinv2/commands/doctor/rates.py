"""What a device does a second at most: bytes of a copy, and operations of a large matrix product."""

import time
from collections.abc import Callable, Iterator

import torch

from .finding import Finding, first_line

COPIED = {"cpu": 1 << 27}  # bytes, more than a cache holds
SIDES = {"cpu": 1024}  # of the matrices
LARGE_COPY, LARGE_SIDE = 1 << 28, 8192  # of a graphics card
SECONDS = 0.4  # that each is measured for


def check_rates(device: torch.device, label: str) -> Iterator[Finding]:
    """Rates of a device.

    Args:
        device: what is measured.
        label: name of the findings.
    """
    try:
        yield Finding(f"{label}, memory", f"{bandwidth(device) / 1e9:.0f} GB/s read and written by a copy")
        rates = {str(dtype)[6:]: product_rate(device, dtype) for dtype in (torch.float32, torch.bfloat16)}
    except Exception as error:  # whatever a driver raises
        yield Finding(f"{label}, rates", f"fails: {first_line(error)}", wrong=True)
        return
    text = ", ".join(f"{name} {rate / 1e9:.0f} GFLOP/s" for name, rate in rates.items())
    precision = torch.get_float32_matmul_precision()
    yield Finding(f"{label}, products", f"{text} (float32 matrix products: {precision})")


def bandwidth(device: torch.device) -> float:
    """Bytes a second that a copy reads and writes."""
    source = torch.zeros(COPIED.get(device.type, LARGE_COPY), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * calls_per_second(lambda: target.copy_(source), device)


def product_rate(device: torch.device, dtype: torch.dtype) -> float:
    """Operations a second of a matrix product, two for each multiply-add."""
    side = SIDES.get(device.type, LARGE_SIDE)
    a, b = torch.randn(2, side, side, device=device).to(dtype)
    return 2 * side**3 * calls_per_second(lambda: a @ b, device)


def calls_per_second(call: Callable[[], object], device: torch.device) -> float:
    """How often a call ends in a second, after a first one that does not count."""
    number, start = -1, 0.0
    while number < 1 or time.perf_counter() - start < SECONDS:
        call()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        number += 1
        start = start or time.perf_counter()
    return number / (time.perf_counter() - start)
