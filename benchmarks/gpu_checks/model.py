"""Whole models: gradients beside the CPU's, without kernels, compiled; and what memory they keep."""

import copy
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import swinv2
from benchmarks.gpu_checks.figure import Figure, Place, error, same_bits, seconds
from swinv2 import SwinTransformerV2

SMALL = {"embed_dim": 32, "depths": (2,), "num_heads": (1,), "window_size": 4, "out_indices": (0,)}
USUAL = {"embed_dim": 96, "depths": (2, 2, 2, 2), "num_heads": (3, 6, 12, 24), "window_size": 8}
KEPT = 32  # MiB that may be left after train()

Grads = dict[str, Tensor]


def backbone(place: Place, **options: Any) -> nn.Module:
    """A backbone whose weights all matter, in training, on the CPU."""
    torch.manual_seed(0)
    model = SwinTransformerV2(**((SMALL if place.tiny else USUAL) | options))
    for weight in model.parameters():
        nn.init.normal_(weight, *((0.0, 0.05) if weight.ndim > 1 else (0.5, 0.2)))
    return swinv2.use_engine(model, "auto").train()


def images(place: Place, batch: int = 2, height: int = 224, width: int = 288) -> Tensor:
    """Images, the same each time, on the CPU."""
    size = (36, 28) if place.tiny else (height, width)
    return torch.randn(batch, 3, *size, generator=torch.Generator().manual_seed(1))


def gradients(model: nn.Module, x: Tensor, half: bool = False, call: Any = None) -> Grads:
    """Gradient of each parameter, with the same stochastic depth each time.

    Args:
        model: has the parameters.
        x: images.
        half: whether under autocast to bfloat16.
        call: the model in another form; itself if None.
    """
    torch.manual_seed(3)
    model.zero_grad()
    with torch.autocast(x.device.type, torch.bfloat16, enabled=half):
        features = (call or model)(x)
    torch.stack([one.float().square().mean() for one in features]).sum().backward()
    return {name: weight.grad.detach().clone() for name, weight in model.named_parameters() if weight.grad is not None}


def worst(found: Grads, wanted: Grads) -> tuple[float, float]:
    """Largest and median error; without the small sum of large numbers that is the gradient of the scale."""
    errors = [error(found[name].cpu(), grad.cpu()) for name, grad in wanted.items() if "logit_scale" not in name]
    return float(torch.tensor(errors).max()), statistics.median(errors)


def whole_model(place: Place) -> Iterator[Figure]:
    """Gradients on the device beside those on the CPU by the plain model; bits, half precision, empty batches."""
    larger = {} if place.tiny else {"window_size": 16}
    model, x = backbone(place), images(place)
    wanted = gradients(swinv2.use_engine(copy.deepcopy(model), "plain"), x)
    yield from beside(place, "window 8", model, x, wanted)
    model = backbone(place, **larger, drop_path_rate=0.3, checkpointing=True)
    again = backbone(place, **larger, drop_path_rate=0.3)
    yield from beside(
        place, "drop path, checkpointing", model, x, gradients(again.to(place.device), x.to(place.device))
    )
    model = backbone(place, drop_path_rate=0.3).to(place.device)
    features = model(images(place)[:0].to(place.device))
    torch.stack([one.sum() for one in features]).sum().backward()
    yield Figure("an empty batch", "gives features and gradients", "no error", True)


def beside(place: Place, name: str, model: nn.Module, x: Tensor, wanted: Grads) -> Iterator[Figure]:
    """Gradients of a model beside others."""
    x = x.to(place.device)
    found, again = (gradients(copy.deepcopy(model).to(place.device), x) for _ in range(2))
    largest, _ = worst(found, wanted)
    yield Figure(f"{name}: worst gradient", f"{largest:.1e}", "1e-3", largest <= 1e-3)
    same = same_bits(list(found.values()), list(again.values()))
    yield Figure(f"{name}: same bits twice", str(same), "True", same)
    _, middle = worst(gradients(copy.deepcopy(model).to(place.device), x, half=True), wanted)
    yield Figure(f"{name}: bfloat16, median gradient", f"{middle:.1e}", "3e-2", middle <= 3e-2)


def fallback(place: Place) -> Iterator[Figure]:
    """Gradients and seconds of a step with kernels and without, each in a process of its own."""
    found: dict[str, tuple[Grads, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for way in ("on", "off"):
            path = Path(folder, way)
            command = [sys.executable, "-m", __name__, str(path), place.device.type, "tiny" * place.tiny]
            subprocess.run(command, env=os.environ | {"SWINV2_KERNELS": way}, check=True, timeout=120)
            found[way] = torch.load(path, weights_only=True)
    largest, _ = worst(found["off"][0], found["on"][0])
    yield Figure("worst gradient without kernels", f"{largest:.1e}", "1e-3", largest <= 1e-3)
    times = {way: 1e3 * taken for way, (_, taken) in found.items()}
    ratio = times["off"] / times["on"]
    yield Figure(
        "step, ms with and without kernels", f"{times['on']:.1f} {times['off']:.1f}, {ratio:.2f} x", "slower without"
    )


def step(path: str, device: str, tiny: str) -> None:
    """Save gradients and seconds of a step to a file; what `fallback` runs."""
    from benchmarks.gpu_checks.interpreted import interpret

    if device == "cpu":
        interpret()
    place = Place(torch.device(device), bool(tiny))
    model, x = backbone(place).to(place.device), images(place).to(place.device)
    torch.save((gradients(model, x), seconds(place, lambda: gradients(model, x), 3, 2)), path)


def memory(place: Place) -> Iterator[Figure]:
    """MiB that a model keeps after an evaluation, and after `train()`."""
    model = swinv2.create_backbone("swinv2_base_window12to24_192to384").to(place.device).eval()
    x = torch.randn(1, 3, 384, 384, device=place.device)
    taken = [torch.cuda.memory_allocated(place.device)]
    with torch.inference_mode():
        model(x)
    taken.append(torch.cuda.memory_allocated(place.device))
    model.train()
    taken.append(torch.cuda.memory_allocated(place.device))
    kept, left = ((one - taken[0]) / 2**20 for one in taken[1:])
    yield Figure("MiB kept after an evaluation", f"{kept:.0f}")
    yield Figure("MiB left after train()", f"{left:.0f}", f"{KEPT} at most", left <= KEPT)


def compiled(place: Place) -> Iterator[Figure]:
    """A model compiled as one graph, for any size, beside itself."""
    model = backbone(place).to(place.device)
    graph: Any = torch.compile(model, fullgraph=True, dynamic=True)
    for height, width in ((224, 256), (160, 192)):
        x = images(place, 4, height, width).to(place.device)
        largest, _ = worst(gradients(model, x, call=graph), gradients(model, x))
        yield Figure(f"{height} x {width}: worst gradient", f"{largest:.1e}", "1e-4", largest <= 1e-4)


if __name__ == "__main__":
    step(*sys.argv[1:])
