"""What holds for every test, and the command run as on two GPUs."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[1]
TIMEOUT = 120  # seconds; with two processes one may wait for the other for ever


@pytest.fixture(autouse=True)
def seeded():
    """The same random numbers whichever tests run before."""
    torch.manual_seed(0)


@pytest.fixture
def on_two_processes(tmp_path):
    """Runs a command on two processes, in the folder of the test, and gives what it said; both end with it.

    It is to end with a code, 0 for success.
    """
    script = tmp_path / "swinv2_command.py"
    script.write_text("import sys\nfrom swinv2.cli import main\nsys.exit(main())\n")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}

    def run(*args, code=0):
        command = [sys.executable, str(script), *args, "--trainer.devices", "2", "--trainer.strategy", "ddp"]
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            start_new_session=True,
        ) as process:  # fmt: skip
            try:
                said, _ = process.communicate(timeout=TIMEOUT)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                said, _ = process.communicate()
                pytest.fail(f"{args[:2]} on two processes hangs:\n{said}")
        assert process.returncode == code, said
        return said

    return run
