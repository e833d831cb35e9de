"""What holds for every test, and code in processes of its own."""

import json
import os
import subprocess
import sys
from contextlib import chdir, redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path
from shutil import copytree

import pytest
import torch

from swinv2.cli import main
from tests.pretended_gpu import pretended_gpu

ROOT = Path(__file__).parents[1]
TIMEOUT = 120  # seconds

torch.set_num_threads(1)  # the cores are for the processes that run tests


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers whichever tests run before."""
    torch.manual_seed(0)


@pytest.fixture
def gpu():
    """A pretended GPU during the test: `cuda` works, and what it gives has the waits, copies and so on of the test."""
    with pretended_gpu() as record:
        yield record


@pytest.fixture(scope="session")
def trained_once(tmp_path_factory):
    """The name of a task and the text of a recipe to the folder of a finished run, and what the run said."""

    @cache
    def run(task, recipe):
        folder = tmp_path_factory.mktemp(task)
        (folder / "small.yaml").write_text(recipe)
        with chdir(folder), redirect_stdout(StringIO()) as said:
            assert main([task, "fit", "--config", "small.yaml"]) == 0
        return folder, said.getvalue()

    return run


@pytest.fixture
def finished_run(trained_once, tmp_path):
    """Puts the finished run of a recipe small.yaml into the folder of the test, and gives what the run said.

    Tests that want the same run have copies of one.
    """

    def copy(task, recipe):
        folder, said = trained_once(task, recipe.read_text())
        copytree(folder / "runs", tmp_path / "runs")
        return said

    return copy


@pytest.fixture(scope="session")
def copied():
    """The process that `run_code` runs copies of; it takes a line for each and answers with one."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    start = [sys.executable, str(ROOT / "tests/processes.py")]
    with subprocess.Popen(start, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.terminate()  # processes that load data, which a test has left behind, may keep its input open


@pytest.fixture
def run_code(copied, tmp_path):
    """Runs code in processes of its own, in the folder of the test; their exit codes, and what they said.

    Codes are below zero where a signal was the end.
    """

    def run(code, processes=1):
        said = tmp_path / "said.txt"
        said.write_text("")
        run = {"code": code, "folder": str(tmp_path), "said": str(said), "processes": processes, "timeout": TIMEOUT}
        print(json.dumps(run), file=copied.stdin, flush=True)
        return json.loads(copied.stdout.readline()), said.read_text()

    return run


@pytest.fixture
def on_two_processes(run_code):
    """Runs a command as on two GPUs and gives what it said; both processes end with the same code, 0 for success."""

    def run(*args, code=0):
        args = [*args, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
        codes, said = run_code(f"from swinv2.cli import main; raise SystemExit(main({args}))", processes=2)
        assert codes == [code, code], said
        return said

    return run
