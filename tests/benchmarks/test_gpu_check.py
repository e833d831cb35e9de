"""The checks of a GPU, run dry: what they find where something is wrong, and what they leave where they are ended."""

import json
import sys
from importlib.util import find_spec

import pytest
import torch

from benchmarks import gpu_check
from benchmarks.gpu_checks import model, numbers, peers, speed, surroundings
from benchmarks.gpu_checks.attention import DTYPES, LIMITS, TINY, given, plainly
from benchmarks.gpu_checks.figure import Figure, Place, row_error, same_bits
from benchmarks.gpu_checks.worker import CHECKS, found

DRY = Place(torch.device("cpu"), True)
needs_triton = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")
FAKE = """
import json, os, sys, time
for line in sys.stdin:
    name = line.strip()
    print("noise of a library")
    print("gpu-check " + json.dumps(["what", name, "", name == "parity" or None]), flush=True)
    if name == "guards":
        os.kill(os.getpid(), 11)
    if name == "speed":
        time.sleep(60)
    print("gpu-check " + json.dumps("done"), flush=True)
"""
WRONG = """
from benchmarks.gpu_checks import attention, worker
right = attention.forward
def wrong(*given):
    context, lse = right(*given)
    context[-1, ..., -1, :] *= 1.5  # one row of tokens
    return context, lse
attention.forward = wrong
worker.main("cpu", "tiny")
"""


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command; its exit status, and the figures that it wrote."""

    def command(*words, worker=None):
        if worker:
            monkeypatch.setattr(gpu_check, "WORKER", ("-c", worker))
        monkeypatch.setattr(sys, "argv", ["gpu_check", "--device", "cpu", "--tiny", "--out", str(tmp_path), *words])
        with pytest.raises(SystemExit) as end:
            gpu_check.main()
        return end.value.code, json.loads((tmp_path / "gpu_check.json").read_text())

    return command


def test_figures_are_written_as_they_come(command, tmp_path):
    """As JSON and as a table."""
    code, rows = command("--only", "parity", "fp32", worker=FAKE)
    assert code == 0
    assert [(row["check"], row["good"]) for row in rows] == [("parity", True), ("fp32", None)]
    assert "| parity | what | parity |  | ok |" in (tmp_path / "gpu_check.md").read_text()
    assert list(tmp_path.glob(".*")) == []


def test_a_check_that_ends_the_process(command):
    """It is bad, and the next one goes on in another process."""
    code, rows = command("--only", "guards", "parity", worker=FAKE)
    assert code == 1
    assert [(row["what"], row["value"], row["good"]) for row in rows[1:]] == [
        ("ended", "SIGSEGV", False),
        ("what", "parity", True),
    ]


def test_a_check_that_does_not_end(command, monkeypatch):
    """It is ended, and the next one goes on."""
    monkeypatch.setattr(gpu_check, "SLOWER", 0.0)
    monkeypatch.setattr(gpu_check, "START", 1.0)
    code, rows = command("--only", "speed", "parity", worker=FAKE)
    assert code == 1
    assert (rows[1]["value"], rows[2]["good"]) == ("not done after 1 seconds", True)


def test_no_time(command):
    """What does not fit is left out, and said."""
    code, rows = command("--seconds", "11", "--only", "parity", "memory", worker=FAKE)
    assert code == 0
    assert [(row["check"], row["what"]) for row in rows] == [("parity", "left out"), ("memory", "what")]


@needs_triton
def test_one_wrong_row_is_found(command):
    """Kernels are interpreted, and one of them spoils the last row of the last image."""
    code, rows = command("--only", "parity", worker=WRONG)
    assert code == 1
    attention = [row for row in rows if "windows" in row["what"]]
    assert [row["good"] for row in attention] == [False] * len(DTYPES) * len(TINY)
    assert all(row["good"] for row in rows if "norm" in row["what"])


def test_a_check_that_raises(monkeypatch):
    """It is a bad figure; one that needs a GPU, or more memory than there is, is left out."""

    def kernels(*_):
        raise next(errors)

    errors = iter([RuntimeError("no kernel\nimage"), torch.OutOfMemoryError("x")])
    monkeypatch.setattr(numbers, "by_kernels", kernels)
    assert list(found("guards", DRY)) == [Figure("raised", "RuntimeError: no kernel image", "nothing", False)]
    assert [(figure.what, figure.good) for figure in found("guards", DRY)] == [("left out", None)]
    assert list(found("memory", DRY)) == [Figure("left out", "it needs a GPU")]


def test_no_gpu(monkeypatch):
    """It says what can be run."""
    monkeypatch.setattr(sys, "argv", ["gpu_check"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match="needs a GPU; found none"):
        gpu_check.main()


def test_every_check_is_there():
    """By its name in its module."""
    modules = {"model": model, "numbers": numbers, "peers": peers, "speed": speed, "surroundings": surroundings}
    assert [name for name, check in CHECKS.items() if not callable(getattr(modules[check.module], name))] == []


@pytest.mark.parametrize(
    ("fault", "said"), [("outside", "outside True"), ("unwritten", "unwritten True"), ("", "False")]
)
def test_guards(fault, said, monkeypatch):
    """A kernel that writes beside its array, or not all of it."""

    def kernel(given, empty):
        array = empty((2, 3), dtype=torch.float32, device=given.qkv.device)
        array[:, : 2 if fault == "unwritten" else 3] = 0
        if fault == "outside":
            array.as_strided((1,), (1,), array.storage_offset() + 6).zero_()

    monkeypatch.setattr(numbers, "by_kernels", kernel)
    figures = list(numbers.guards(DRY))
    assert all(said in figure.value and figure.good == (not fault) for figure in figures) and figures


@pytest.mark.parametrize("dtype", DTYPES)
def test_limits_of_numbers(dtype, monkeypatch):
    """The plain model in a type is within its limits; with one spoilt row, NaN or other bits it is not."""
    monkeypatch.setattr(numbers, "by_kernels", lambda given: plainly(given, torch.float32))
    assert numbers.attention_parity(DRY, TINY[0], dtype).good
    for fault in (1 + 5 * LIMITS[dtype][0] * ROWS, torch.nan):

        def spoilt(given, fault=fault):
            found = plainly(given, torch.float32)
            found[0][0, -1, -1] *= fault
            return found

        monkeypatch.setattr(numbers, "by_kernels", spoilt)
        assert not numbers.attention_parity(DRY, TINY[0], dtype).good
    again = iter(range(2))
    monkeypatch.setattr(numbers, "by_kernels", lambda given: [x + 1e-9 * next(again, 0) for x in plainly(given)])
    assert "OTHER BITS" in numbers.attention_parity(DRY, TINY[0]._replace(heads=1), torch.float32).value


ROWS = 4  # times the limit of the whole that a row may be


def test_whole_model(monkeypatch):
    """Gradients of a model on this device; a wrong one is found."""
    assert all(figure.good for figure in model.whole_model(DRY))
    right = model.gradients
    calls = iter(range(100))

    def wrong(*given, **options):
        grads = right(*given, **options)
        if next(calls) == 1:
            grads["patch_embed.proj.weight"] *= 1.01
        return grads

    monkeypatch.setattr(model, "gradients", wrong)
    assert [figure.what for figure in model.whole_model(DRY) if not figure.good] == [
        "window 8: worst gradient",
        "window 8: same bits twice",
    ]


def test_goals():
    """Ours as the first, in multiples of the last; without a GPU times mean nothing."""
    calls = dict.fromkeys(("ours", "timm"), lambda: None)
    assert peers.compared(DRY, "forward", calls, 0.5).good is None
    assert peers.compared(DRY, "forward", calls, 0.5).expected == "0.5 of the last"


def test_peers_that_are_not_installed(monkeypatch):
    """The figure says so."""
    monkeypatch.setattr(peers, "find_spec", lambda name: None if name == "timm" else True)
    for check in (peers.end_to_end, peers.detection, peers.video):
        assert list(check(DRY)) == [Figure("not measured", "not installed: timm")]


def test_sanitizer_that_is_not_installed(monkeypatch):
    """The figure says so."""
    monkeypatch.setattr(surroundings.shutil, "which", lambda name: "/nowhere/compute-sanitizer")
    assert list(surroundings.sanitizer(DRY)) == [Figure("not measured", "not installed: compute-sanitizer")]


def test_rows_and_bits():
    """One row of many counts as much as it is wrong; NaN is no number, but the same bits."""
    wanted = torch.ones(100, 4)
    spoilt = wanted.clone()
    spoilt[7] = 2
    assert row_error(spoilt, wanted) == pytest.approx(1)
    assert same_bits([torch.tensor([torch.nan])], [torch.tensor([torch.nan])])
    assert not same_bits([torch.tensor([1.0])], [torch.tensor([2.0])])


def test_numbers_are_the_same_each_time():
    """So that runs can be compared."""
    one, other = (given(DRY, TINY[0], torch.float32) for _ in range(2))
    assert torch.equal(one.qkv, other.qkv) and torch.equal(one.bias, other.bias)
