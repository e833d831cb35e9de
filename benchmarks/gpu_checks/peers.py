"""Forward passes and training steps of whole models beside timm, torchvision and transformers, where installed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

import swinv2
from benchmarks.gpu_checks.figure import Figure, Place, peak, seconds

PEERS = ("timm", "torchvision", "transformers")
TINY, BASE = "swinv2_tiny_window8_256", "swinv2_base_window12to24_192to384"
GOALS = {  # time in multiples of compiled timm's, of the forward pass and of a training step, and images of each
    TINY: (8, 256, 0.45, 0.60, (64, 64)),
    BASE: (24, 384, 0.33, 0.45, (32, 16)),
}
BATCHES = (1, 256)  # of further forward passes of the tiny model
GRAPH_MS = 1.0  # of one image by a CUDA graph


def missing(*packages: str) -> Iterator[Figure]:
    """A figure if packages are not installed."""
    if absent := [name for name in packages if find_spec(name) is None]:
        yield Figure("not measured", f"not installed: {', '.join(absent)}")


def end_to_end(place: Place) -> Iterator[Figure]:
    """The classifiers beside timm's, eager and compiled; what a step waits for; a CUDA graph."""
    if found := list(missing(*PEERS)):
        yield from found
        return
    if place.tiny:
        yield from rows_of(place, TINY, 8, 64, (1, 1), (None, None), compiling=False)
        return
    for name, (window, side, forward, training, images) in GOALS.items():
        yield from rows_of(place, name, window, side, images, (forward, training), compiling=True)
    yield from small_and_large(place)
    yield from step_of(place)
    yield from graph_of(place)


def rows_of(
    place: Place,
    name: str,
    window: int,
    side: int,
    images: tuple[int, int],
    goals: tuple[float | None, float | None],
    compiling: bool,
) -> Iterator[Figure]:
    """Forward pass and training step of one model.

    Args:
        place: where.
        name: of the model.
        window: in tokens.
        side: of the images.
        images: of a batch, in the forward pass and in training.
        goals: our time in multiples of compiled timm's.
        compiling: whether timm is compiled, too.
    """
    from benchmarks import peers
    from benchmarks.limits import limit

    work = peers.Work(name, window, images[0], side, side)
    models = {"ours": peers.our_model(work), "timm": peers.peer("timm", work)}
    models = {whose: model.to(place.device) for whose, model in models.items()}
    if compiling:
        models["timm, compiled"] = peers.compiled(models["timm"])
    x = torch.randn(images[0], 3, side, side, device=place.device)
    for model in models.values():
        model.eval()
    calls = {whose: partial(_infer, model, x) for whose, model in models.items()}
    least = limit(work, torch.bfloat16, place.device.type)["ms"] / 1e3 if place.gpu else 0.0
    yield compared(place, f"{name}, {images[0]} images, forward, autocast to bfloat16", calls, goals[0], least)
    for model in models.values():
        model.train()
    calls = {whose: partial(_step, model, x[: images[1]]) for whose, model in models.items()}
    yield compared(
        place, f"{name}, {images[1]} images, training step", calls, goals[1], 3 * least * images[1] / images[0]
    )


@torch.inference_mode()
def _infer(model: Any, x: Any) -> Any:
    with torch.autocast(x[0].device.type, torch.bfloat16):
        return model(x)


def _step(model: Any, x: Tensor) -> None:
    with torch.autocast(x.device.type, torch.bfloat16):
        loss = model(x).float().square().mean()
    loss.backward()
    model.zero_grad()


def compared(
    place: Place, what: str, calls: Mapping[str, Callable[[], object]], goal: float | None, least: float = 0.0
) -> Figure:
    """Times of calls, memory, and whether the first is as fast as it should be.

    Args:
        place: where.
        what: is timed.
        calls: ours first, by name.
        goal: our time in multiples of the last one's.
        least: seconds that the products take alone; 0 if not known.
    """
    times = {whose: seconds(place, call, 3, 3) for whose, call in calls.items()}
    taken = {whose: f", {peak(place, call) / 2**30:.1f} GiB" if place.gpu else "" for whose, call in calls.items()}
    ours, theirs = (times[whose] for whose in (next(iter(times)), list(times)[-1]))
    text = "; ".join(f"{whose} {1e3 * taken_s:.2f} ms{taken[whose]}" for whose, taken_s in times.items())
    text += f"; {ours / theirs:.2f} of the last, {least / ours:.2f} of the limit"
    good = None if goal is None or not place.gpu else ours <= goal * theirs
    return Figure(what, text, "" if goal is None else f"{goal} of the last", good)


def small_and_large(place: Place) -> Iterator[Figure]:
    """Forward passes of one image and of many."""
    import timm

    models = {"ours": swinv2.create_model(TINY), "timm": timm.create_model(TINY)}
    models = {whose: model.to(place.device).eval() for whose, model in models.items()}
    for batch in BATCHES:
        x = torch.randn(batch, 3, 256, 256, device=place.device)
        calls = {whose: partial(_infer, model, x) for whose, model in models.items()}
        yield compared(place, f"{TINY}, {batch} images, forward", calls, None)


def step_of(place: Place) -> Iterator[Figure]:
    """Kernels of a training step, how long the GPU is busy, and whether the host waits for it."""
    model = swinv2.create_model(TINY).to(place.device).train()
    x = torch.randn(64, 3, 256, 256, device=place.device)
    taken = seconds(place, partial(_step, model, x), 3, 3)
    with torch.profiler.profile() as profile:
        _step(model, x)
        place.wait()
    kernels = [event for event in profile.events() if event.device_type == torch.autograd.DeviceType.CUDA]
    busy = sum(event.device_time for event in kernels) / 1e3
    yield Figure(
        "kernels of a step; GPU busy", f"{len(kernels)}; {busy:.1f} of {1e3 * taken:.1f} ms", "about 1100; near all"
    )
    torch.cuda.set_sync_debug_mode("error")
    try:
        _step(model, x)
        yield Figure("a step waits for nothing", "True", "True", True)
    except RuntimeError as error:
        yield Figure("a step waits for nothing", " ".join(str(error).split())[:200], "True", False)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def graph_of(place: Place) -> Iterator[Figure]:
    """One image by a CUDA graph: the same numbers, and the time."""
    model = swinv2.create_model(TINY).to(place.device).bfloat16().eval()
    x = torch.randn(1, 3, 256, 256, device=place.device, dtype=torch.bfloat16)
    with torch.inference_mode():
        eager = seconds(place, lambda: model(x), 3, 3)
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            model(x)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = model(x)
        graph.replay()
        same = torch.equal(out, model(x))
        taken = 1e3 * seconds(place, graph.replay)
    text = f"{taken:.2f} ms, eager {1e3 * eager:.2f} ms, same numbers {same}"
    yield Figure("one image, CUDA graph", text, f"{GRAPH_MS} ms, the same numbers", same and taken <= GRAPH_MS)


def detection(place: Place) -> Iterator[Figure]:
    """Mask R-CNN beside torchvision's on timm's features: one image, and a step with ten objects."""
    if found := list(missing("timm", "torchvision")):
        yield from found
        return
    from benchmarks import detection as bench

    ours = bench.our_model()
    theirs = bench.torchvision_model(ours, bench.SIZE)
    models = {"ours": ours.to(place.device), "torchvision": theirs.to(place.device)}
    image, target = torch.rand(3, *bench.SIZE, device=place.device), objects(place, *bench.SIZE)
    calls = {whose: partial(_infer, model, [image]) for whose, model in models.items()}
    size = " x ".join(map(str, bench.SIZE))
    yield compared(place, f"Mask R-CNN, window 16, {size}, forward, autocast to bfloat16", calls, None)
    targets = {"ours": [target], "torchvision": [target | {"labels": target["labels"] + 1}]}
    calls = {
        whose: partial(_losses, model.train(), lambda model, whose=whose: model([image], targets[whose]).values())
        for whose, model in models.items()
    }
    yield compared(place, f"Mask R-CNN, window 16, {size}, training step, float32", calls, None)


def objects(place: Place, height: int, width: int) -> dict[str, Tensor]:
    """Ten objects, each a filled box."""
    corners = torch.rand(10, 2, generator=torch.Generator().manual_seed(0)) * (min(height, width) - 200)
    boxes = torch.cat([corners, corners + 150], 1)
    masks = torch.zeros(10, height, width, dtype=torch.bool)
    for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
        mask[top:bottom, left:right] = True
    target = {"boxes": boxes, "labels": torch.arange(10), "masks": masks}
    return {name: x.to(place.device) for name, x in target.items()}


def _losses(model: nn.Module, losses: Callable[[nn.Module], Iterable[Tensor]]) -> None:
    torch.stack(list(losses(model))).sum().backward()
    model.zero_grad()


def segmentation(place: Place) -> Iterator[Figure]:
    """UPerNet beside transformers': one image, and a step with two."""
    if found := list(missing("transformers")):
        yield from found
        return
    from benchmarks import segmentation as bench
    from swinv2.imaging.normalize import normalize

    theirs = bench.their_model()
    models: dict[str, Any] = {"ours": bench.our_model(theirs).to(place.device), "transformers": theirs.to(place.device)}
    images = torch.randint(0, 256, (2, 3, bench.WHOLE, bench.WHOLE), dtype=torch.uint8, device=place.device)
    labels = torch.randint(0, bench.CLASSES, (2, bench.WHOLE, bench.WHOLE), device=place.device)
    pixels = normalize(images, torch.float32)
    calls = {"ours": partial(_infer, models["ours"], images[:1])}
    calls["transformers"] = partial(_infer, models["transformers"], pixels[:1])
    size = f"{bench.WHOLE} x {bench.WHOLE}"
    yield compared(place, f"UPerNet, {size}, forward, autocast to bfloat16", calls, None)
    steps = {
        "ours": partial(_losses, models["ours"].train(), lambda model: model(images, labels).values()),
        "transformers": partial(_losses, theirs.train(), lambda model: [model(pixels, labels=labels).loss]),
    }
    yield compared(place, f"UPerNet, 2 images of {size}, training step, float32", steps, None)


def video(place: Place) -> Iterator[Figure]:
    """The classifier of clips beside torchvision's swin3d_t."""
    if found := list(missing("timm", "torchvision", "transformers")):
        yield from found
        return
    from benchmarks import video as bench

    frames, side = bench.CLIPS[0]
    clips = torch.randint(0, 256, (8, 3, frames, side, side), dtype=torch.uint8, device=place.device)
    models = {"ours": bench.our_model(), "torchvision": bench.their_model()}
    for what, call in {"forward": _infer, "training step": _step}.items():
        calls = {
            whose: partial(call, model.to(place.device).train(call is _step), clips) for whose, model in models.items()
        }
        yield compared(place, f"8 clips of {frames} x {side} x {side}, {what}, autocast to bfloat16", calls, None)
