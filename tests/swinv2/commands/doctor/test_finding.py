import sys
from pathlib import Path

from swinv2.commands.doctor import finding
from swinv2.commands.doctor.finding import WIDTH, Finding, anonymous, first_line, line, summary


def test_lines_are_aligned_and_wrong_ones_are_repeated():
    """Whoever reads the end knows what to do."""
    found = [Finding("torch", "2.6"), Finding("C compiler", "none: install gcc", wrong=True)]
    assert {one.text: line(one).index(one.text) for one in found} == {one.text: WIDTH for one in found}
    assert summary(found) == "\n1 wrong:\n- C compiler: none: install gcc"
    assert summary(found[:1]) == "\nnothing wrong"


def test_no_name_of_machine_or_user(monkeypatch):
    """The text goes to a public place."""
    monkeypatch.setattr(finding.socket, "gethostname", lambda: "annas-box")
    monkeypatch.setattr(Path, "home", lambda: Path("/hidden/anna"))
    monkeypatch.setattr(Path, "cwd", lambda: Path("/hidden/anna/work"))
    monkeypatch.setattr(sys, "prefix", "/hidden/anna/venv")
    text = "annas-box: /hidden/anna/venv/lib/x.py, /hidden/anna/work/y, /hidden/anna/z"
    assert anonymous(text) == "HOST: PREFIX/lib/x.py, ./y, ~/z"


def test_error_in_a_line():
    """With its type, and without one if there is no message."""
    assert first_line(ValueError("one\ntwo")) == "ValueError: one"
    assert first_line(KeyError()) == "KeyError"
