"""Processes that end well, fail, are killed, or do not end."""

import os
import time

import pytest

from swinv2.commands.doctor.finding import Finding
from swinv2.commands.doctor.processes import findings_of

HERE = "doctor_children:"
SOURCE = """
import os, signal, sys, time
from swinv2.commands.doctor.finding import Finding
from swinv2.commands.doctor.processes import tell

def well(word):
    print("noise")
    tell([Finding(word, os.environ.get("SWINV2_KERNELS", ""), True)])

def fail():
    raise RuntimeError("no kernel image")

def killed():
    tell([Finding("before", "")])
    os.kill(os.getpid(), signal.SIGSEGV)

def hang():
    tell([Finding("begun", str(os.getpid()))])
    time.sleep(60)
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Findings of a function in a process of its own."""
    (tmp_path / "doctor_children.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    return lambda name, *arguments, **options: list(findings_of(HERE + name, arguments, "job", **options))


def test_findings_arrive(run):
    """Arguments and variables go there, and what libraries print is left out."""
    assert run("well", "a", environment={"SWINV2_KERNELS": "off"}) == [Finding("a", "off", True)]


def test_function_that_fails(run):
    """The last line of its error is told."""
    (finding,) = run("fail")
    assert finding.wrong and "exit code 1" in finding.text and finding.text.endswith("RuntimeError: no kernel image")


def test_function_that_is_killed(run):
    """What was found before is kept, and the signal is named."""
    before, end = run("killed")
    assert before == Finding("before", "") and end.wrong and "SIGSEGV" in end.text


def test_function_that_does_not_end(run):
    """It is ended."""
    start = time.monotonic()
    *_, finding = run("hang", seconds=0.5)
    assert finding.wrong and "not done after" in finding.text
    assert time.monotonic() - start < 30


def test_nobody_hears_more(run):
    """As where the reader of the report has ended: the process ends at once."""
    findings = findings_of(HERE + "hang", [], "job")
    pid = int(next(findings).text)
    findings.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
