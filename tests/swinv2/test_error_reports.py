"""What is said of an exception: what the user can do, or that it looks like a fault of swinv2."""

from runpy import run_path

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from swinv2 import error_reports
from swinv2.error_reports import FAULT, describe


def said_of(function, *args, **options):
    """What is said of the exception that a call raises."""
    with pytest.raises(Exception) as raised:
        function(*args, **options)
    return describe(raised.value)


def fail(error):
    """Raises an exception, as a library does."""
    raise error


@pytest.mark.parametrize("error", [ValueError("box 3\n  is empty"), OSError("disk full"), ImportError("no module x")])
def test_what_was_given_is_wrong(error):
    """The message is as it was raised."""
    assert said_of(fail, error) == str(error)


def test_missing_file():
    """What Python itself says of a file has its name."""
    assert said_of(open, "none.txt") == "[Errno 2] No such file or directory: 'none.txt'"


@pytest.mark.parametrize("error", [AttributeError("x"), KeyError("x"), AssertionError(), NotImplementedError("x")])
def test_fault_of_swinv2(error):
    """What nobody raises for a user's sake asks for a report."""
    said = said_of(fail, error)
    assert said.startswith(type(error).__name__)
    assert said.endswith(FAULT)


@pytest.fixture
def ours(tmp_path, monkeypatch):
    """Makes functions of code that counts as ours."""

    def make(body):
        path = tmp_path / "swinv2/made.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"def made(given):\n    {body}\n")
        return run_path(str(path))["made"]

    monkeypatch.setattr(error_reports, "ROOT", tmp_path)
    return make


def test_place_in_our_code(ours):
    """The last line of ours is named."""
    said = said_of(ours("return given.nothing"), 1)
    assert said.startswith("AttributeError: 'int' object has no attribute 'nothing', at swinv2/made.py:2\n")


def test_value_that_python_finds_wrong_in_our_code(ours):
    """Where no line of ours raises a message for the user, the fault is ours, also if the error is passed on."""
    unpack = ours("first, second = given")
    said = said_of(unpack, "a")
    assert said.startswith("ValueError: not enough values to unpack (expected 2, got 1), at swinv2/made.py:2\n")

    def pass_on():
        try:
            unpack("a")
        except ValueError as error:
            raise ValueError(str(error)) from error

    assert said_of(pass_on) == said
    assert said_of(ours("raise ValueError(given)"), "give two names: out of memory is one") == (
        "give two names: out of memory is one"
    )


class Broken(Dataset):
    """Each item raises."""

    def __init__(self, error):
        self.error = error

    def __len__(self):
        return 1

    def __getitem__(self, index):
        try:
            raise RuntimeError("before")
        except RuntimeError:
            raise self.error from None


def load(error):
    """An exception in a process that loads data."""
    list(DataLoader(Broken(error), num_workers=1))


def test_error_in_a_process_that_loads():
    """It arrives with its traceback as text; the message is the same as if it were raised here."""
    assert said_of(load, ValueError("bad: box\n  of image 3")) == "bad: box\n  of image 3"
    said = said_of(load, KeyError("x"))
    assert said.startswith("KeyError: 'x'") and said.endswith(FAULT)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (MemoryError(), "smaller data.batch_size"),
        (
            RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
            "smaller data.batch_size",
        ),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), "smaller data.batch_size"),
        (RuntimeError("DataLoader worker (pid 17) is killed by signal: Killed. "), "fewer data.num_workers"),
        (RuntimeError("DataLoader worker (pid(s) 17, 18) exited unexpectedly"), "--ckpt_path last"),
        (RuntimeError("unable to open shared memory object </torch_1> in read-write mode"), "--shm-size 8g"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"), "Another process of this run"),
        (
            TypeError("When using X, you are required to override the `configure_model()` hook in"),
            "--trainer.strategy ddp",
        ),
        (RuntimeError("The server socket has failed to bind: EADDRINUSE"), "MASTER_PORT"),
    ],
)
def test_cause_outside_of_the_program(error, remedy):
    """What libraries say in their own words comes with what to do."""
    said = said_of(fail, error)
    assert remedy in said and FAULT not in said
    assert len(said.splitlines()) == 2
