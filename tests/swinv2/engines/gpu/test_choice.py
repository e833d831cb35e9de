"""Who decides by which way a block is computed, with a GPU that is only pretended."""

import logging
from types import SimpleNamespace

import pytest
import torch

from swinv2.engines.gpu import choice, remembered
from swinv2.engines.gpu.choice import refusal, uses_kernel
from swinv2.engines.gpu.kernel import attention_kernel

GPU, SECOND = torch.device("cuda", 0), torch.device("cuda", 1)
KERNEL, OTHER = (attention_kernel(torch.bfloat16, 32, window) for window in ((8, 8), (7, 7)))


@pytest.fixture(autouse=True)
def card(monkeypatch, tmp_path):
    """A GPU whose kernels are right; what was asked of it."""
    asked = SimpleNamespace(checks=[], capturing=False, found=None)

    def fault(kernel, device):
        asked.checks.append((kernel, device))
        if isinstance(asked.found, BaseException):
            raise asked.found
        return asked.found

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("SWINV2_KERNELS", raising=False)
    monkeypatch.setattr(choice, "unfit", lambda device: None)
    monkeypatch.setattr(choice, "identity", lambda device: {"card": f"card {device.index}"})
    monkeypatch.setattr(choice, "fault", fault)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: asked.capturing)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(name="Some GPU"))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    choice.forget()
    yield asked
    choice.forget()


def times(monkeypatch, kernel, pytorch):
    """Trials take such times; the ways that were tried."""
    tried, clock = [], [0.0]

    def trial(by_kernel):
        tried.append(by_kernel)
        clock[0] += kernel if by_kernel else pytorch

    monkeypatch.setattr(choice.time, "perf_counter", lambda: clock[0])
    return trial, tried


def test_a_kernel_is_checked_once(card):
    """On each device, in a process; and not again in the next."""
    assert [refusal(KERNEL, device) for device in (GPU, GPU, SECOND, GPU)] == [None] * 4
    assert card.checks == [(KERNEL, GPU), (KERNEL, SECOND)]
    choice.forget()
    assert refusal(KERNEL, GPU) is None
    assert len(card.checks) == 2


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ("a gradient is wrong: relative error 1.0e+00, allowed is 3.0e-02", "a gradient is wrong"),
        (RuntimeError("Failed to find C compiler. Please specify via CC"), "RuntimeError: Failed to find C compiler"),
        (OSError(30, "Read-only file system"), "OSError: [Errno 30] Read-only file system"),
        (ImportError("no module named triton"), "ImportError: no module named triton"),
    ],
    ids=["wrong", "no compiler", "read-only", "no triton"],
)
def test_a_kernel_that_fails_is_not_used(card, caplog, found, reason):
    """One warning names the card, the kernel and the reason; other kernels are checked by themselves."""
    card.found = found
    with caplog.at_level(logging.WARNING):
        assert [uses_kernel(kernel, GPU, "work", pytest.fail) for kernel in (KERNEL, KERNEL, OTHER)] == [False] * 3
    assert refusal(KERNEL, GPU).startswith(reason)
    (said,) = caplog.messages
    assert f"Some GPU computes without GPU kernels: {KERNEL} failed its check ({reason}" in said
    assert "slower" in said and "swinv2 doctor" in said
    card.found = None
    assert len(card.checks) == 2


def test_what_may_be_mended_is_checked_again_by_the_next_process(card):
    """A missing compiler is; wrong numbers stay wrong."""
    card.found = RuntimeError("Failed to find C compiler")
    assert not uses_kernel(KERNEL, GPU, "work")
    choice.forget()
    card.found = "its result is wrong"
    assert not uses_kernel(KERNEL, GPU, "work")
    choice.forget()
    card.found = None
    assert not uses_kernel(KERNEL, GPU, "work")
    assert len(card.checks) == 2


def test_too_little_memory_for_a_check_is_no_fault(card):
    """It is told as everywhere."""
    card.found = torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(torch.OutOfMemoryError):
        refusal(KERNEL, GPU)
    card.found = None
    assert refusal(KERNEL, GPU) is None


@pytest.mark.parametrize(
    ("kernel", "pytorch", "expected"), [(1, 3, True), (1, 1, True), (1.05, 1, True), (1.2, 1, False)]
)
def test_the_faster_way_is_taken(monkeypatch, kernel, pytorch, expected):
    """Timed once for each work, in all processes; the kernel where there is little between them."""
    trial, tried = times(monkeypatch, kernel, pytorch)
    assert [uses_kernel(KERNEL, GPU, "work", trial) for _ in range(3)] == [expected] * 3
    assert tried == [True] * 4 + [False] * 4
    choice.forget()
    assert uses_kernel(KERNEL, GPU, "work", pytest.fail) == expected
    uses_kernel(KERNEL, GPU, "other work", trial)
    assert len(tried) == 16


def test_a_way_without_memory_is_the_slower(monkeypatch):
    """Scores of PyTorch's operators may not fit."""

    def trial(by_kernel):
        if not by_kernel:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert uses_kernel(KERNEL, GPU, "work", trial)


def test_what_memory_was_too_little_for_is_timed_again_by_the_next_process(monkeypatch):
    """Others may have taken it."""

    def without_memory(by_kernel):
        if by_kernel:
            raise torch.OutOfMemoryError("CUDA out of memory")

    assert not uses_kernel(KERNEL, GPU, "work", without_memory)
    choice.forget()
    assert uses_kernel(KERNEL, GPU, "work", times(monkeypatch, 1, 2)[0])


def test_a_kernel_that_fails_where_it_is_timed_is_not_used(card, caplog):
    """It was checked on other sizes, for which it may be compiled otherwise; the next process asks again."""

    def trial(by_kernel):
        raise RuntimeError("out of resource: shared memory")

    assert [uses_kernel(KERNEL, GPU, "work", given) for given in (trial, pytest.fail, None)] == [False] * 3
    assert refusal(KERNEL, GPU) == "RuntimeError: out of resource: shared memory"
    assert "failed its trial (RuntimeError: out of resource: shared memory)" in caplog.text
    choice.forget()
    assert refusal(KERNEL, GPU) is None


@pytest.mark.parametrize("found", [3, {}, {"kernel": 1.0}, {"kernel": "fast", "pytorch": 1.0}])
def test_times_that_cannot_be_read_are_taken_again(monkeypatch, found):
    """Of a file that somebody changed."""
    remembered.add({"card": "card 0"}, {f"{KERNEL}, work": found})
    trial, tried = times(monkeypatch, 2, 1)
    assert not uses_kernel(KERNEL, GPU, "work", trial)
    assert tried


def test_the_backward_pass_goes_the_way_of_the_forward_pass(monkeypatch):
    """It has no trial of its own."""
    trial, _ = times(monkeypatch, 2, 1)
    assert not uses_kernel(KERNEL, GPU, "work", trial)
    assert not uses_kernel(KERNEL, GPU, "work")


def test_while_a_graph_is_captured_nothing_is_tried(card, monkeypatch):
    """Only what is known counts, and what is not is found out later."""
    card.capturing = True
    trial, tried = times(monkeypatch, 2, 1)
    assert "CUDA graph" in refusal(KERNEL, GPU)
    assert not uses_kernel(KERNEL, GPU, "work", trial)
    card.capturing = False
    assert refusal(KERNEL, GPU) is None
    card.capturing = True
    assert uses_kernel(KERNEL, GPU, "work", trial)
    assert tried == []


def test_deterministic_algorithms_are_not_chosen_by_time(monkeypatch):
    """Whoever asks for the same bits gets them on a busy card, too."""
    trial, tried = times(monkeypatch, 2, 1)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: True)
    assert uses_kernel(KERNEL, GPU, "work", trial)
    assert tried == []


@pytest.mark.parametrize(
    ("mode", "used", "checked"),
    [("off", False, 0), ("on", True, 0), ("check", True, 1), ("auto", True, 1), ("", True, 1)],
)
def test_the_variable(card, monkeypatch, mode, used, checked):
    """Says whether kernels are used, and whether they are checked."""
    monkeypatch.setenv("SWINV2_KERNELS", mode)
    choice.forget()
    assert uses_kernel(KERNEL, GPU, "work") == used
    assert len(card.checks) == checked
    if mode == "off":
        assert refusal(KERNEL, GPU) == "SWINV2_KERNELS is off"


def test_a_variable_that_says_something_else(monkeypatch):
    """Is an error that says what it may be."""
    monkeypatch.setenv("SWINV2_KERNELS", "fast")
    choice.forget()
    with pytest.raises(ValueError, match="SWINV2_KERNELS is one of auto, off, on, check, got 'fast'"):
        choice.mode()


def test_what_is_no_kernel_is_not_used(card, monkeypatch):
    """With the words that say why."""
    assert refusal("the kernels take at most 3 axes, got 4", GPU) == "the kernels take at most 3 axes, got 4"
    monkeypatch.setattr(choice, "unfit", lambda device: "Triton is not installed")
    assert refusal(KERNEL, GPU) == "Triton is not installed"
    assert card.checks == []


def test_what_another_process_found_counts(monkeypatch):
    """Two processes of a training go the same way."""
    trial, _ = times(monkeypatch, 2, 1)

    def tried(by_kernel):
        trial(by_kernel)
        remembered.add({"card": "card 0"}, {f"{KERNEL}, work": {"kernel": 1.0, "pytorch": 2.0}})

    assert uses_kernel(KERNEL, GPU, "work", tried)


def test_amounts():
    """Work is timed again when there is four times as much of it."""
    assert [choice.amount(number) for number in (0, 1, 3, 4, 15, 16, 4**10)] == [
        *("4^0", "4^0", "4^0", "4^1", "4^1", "4^2", "4^10")
    ]
