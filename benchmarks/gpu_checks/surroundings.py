"""What is around kernels: versions and tools, memory checkers, trainings, and the time of compiling."""

import math
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.gpu_checks.figure import Figure, Place
from swinv2.commands.doctor.cards import cards
from swinv2.commands.doctor.compiler import kernel_tools
from swinv2.commands.doctor.finding import Finding
from swinv2.commands.doctor.packages import packages
from swinv2.commands.doctor.processes import findings_of, tell
from swinv2.commands.doctor.quickstarts import LossRecord

NAMED = ("Python", "torch", "triton", "torchvision", "timm", "transformers")
SANITIZERS = ("memcheck", "racecheck")
STEPS = 20
SECONDS = 100.0  # that a process may take
TRAININGS = (
    *(("classification", precision) for precision in ("32-true", "bf16-mixed", "16-mixed")),
    *((task, "bf16-mixed") for task in ("detection", "segmentation", "video", "simmim")),
)
WARM = 1.0  # seconds of the first call in a process whose kernels were compiled before


def environment(place: Place) -> Iterator[Figure]:
    """Versions, the card, and what kernels need beside it."""
    for finding in packages():
        if finding.name in NAMED:
            yield Figure(finding.name, finding.text)
    for finding in [*cards(), *kernel_tools(needed=place.gpu)]:
        yield Figure(finding.name, finding.text, "", False if finding.wrong else None)


def sanitizer(place: Place) -> Iterator[Figure]:
    """NVIDIA's checkers of memory and races on the kernels."""
    program = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    if not Path(program).exists():
        yield Figure("not measured", "not installed: compute-sanitizer")
        return
    worker = [sys.executable, "-m", "benchmarks.gpu_checks.worker", "cuda", "tiny"]
    for tool in SANITIZERS:
        command = [program, "--tool", tool, "--error-exitcode", "9", *worker]
        done = subprocess.run(command, input="guards\n", capture_output=True, text=True, timeout=SECONDS)
        lines = [line.strip("= ") for line in f"{done.stdout}\n{done.stderr}".splitlines() if "SUMMARY" in line]
        yield Figure(tool, lines[-1] if lines else f"exit code {done.returncode}", "0 errors", done.returncode == 0)


def tasks(place: Place) -> Iterator[Figure]:
    """Some steps of each quickstart: finite losses, and where the host waits for the GPU."""
    for task, precision in TRAININGS:
        with tempfile.TemporaryDirectory() as folder:
            label = f"{task}, {precision}"
            given = [task, precision, label, place.device.type]
            for finding in findings_of(f"{__name__}:train", given, label, {}, SECONDS, Path(folder)):
                yield Figure(finding.name, finding.text, "finite", not finding.wrong)


def train(task: str, precision: str, label: str, device: str) -> None:
    """Train a quickstart for some steps in this folder, tell its losses and its waits; what `tasks` runs.

    Raises:
        SystemExit: the training fails.
    """
    from swinv2.cli import main

    options = {
        **{"accelerator": "gpu" if device == "cuda" else device, "devices": "1"},
        **{"precision": precision, "max_steps": str(STEPS)},
        **{"limit_val_batches": "0", "enable_checkpointing": "false", "logger": "false"},
        **{"callbacks+": f"{__name__}.Losses", "callbacks.label": label},
    }
    words = [word for name, value in options.items() for word in (f"--trainer.{name}", value)]
    allowed = ["--allow", "benchmarks"]
    with warnings.catch_warnings(record=True) as said:
        warnings.filterwarnings("always", ".*synchronizing CUDA operation")
        if device == "cuda":
            torch.cuda.set_sync_debug_mode("warn")
        failed = main([task, "fit", "--config", f"{task}/quickstart", *words, *allowed])
    waits = Counter(f"{Path(one.filename).name}:{one.lineno}" for one in said if "synchronizing" in str(one.message))
    places = ", ".join(f"{where} {number / STEPS:.1f}" for where, number in waits.most_common(4))
    tell([Finding(f"{label}, waits a step", f"{waits.total() / STEPS:.1f}: {places}")])
    if failed:
        raise SystemExit(1)


class Losses(LossRecord):
    """Tells the first and the last loss; arguments are those of LossRecord."""

    def on_train_end(self, *_: object) -> None:
        """Tell."""
        losses = torch.stack(self._losses).tolist()
        text = f"{len(losses)} steps, loss {losses[0]:.3f} to {losses[-1]:.3f}"
        tell([Finding(self.label, text, not all(map(math.isfinite, losses)))])


def jit(place: Place) -> Iterator[Figure]:
    """Seconds of a first call in a process, with nothing compiled before and with everything."""
    code = (
        "import time, torch; from benchmarks.gpu_checks.attention import CASES, by_kernels, given; "
        "from benchmarks.gpu_checks.figure import Place; place = Place(torch.device('cuda'), False)\n"
        "for case in (CASES[0], CASES[3]):\n"
        "    numbers = given(place, case, torch.bfloat16); place.wait(); start = time.perf_counter()\n"
        "    by_kernels(numbers); place.wait(); print(time.perf_counter() - start)"
    )
    with tempfile.TemporaryDirectory() as folder:
        for name in ("cold", "warm"):
            environment = os.environ | {"TRITON_CACHE_DIR": folder}
            done = subprocess.run(
                [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
            )
            times = [float(line) for line in done.stdout.split()]
            good = None if name == "cold" else max(times) <= WARM
            text = ", ".join(f"{taken:.2f}" for taken in times)
            yield Figure(
                f"{name}: first call, s, window 8 and 24", text, "" if good is None else f"{WARM} at most", good
            )
