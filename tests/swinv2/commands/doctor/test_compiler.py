"""Tools that kernels need, each missing once."""

import shutil
import stat
import sysconfig

import pytest

from swinv2.commands.doctor import compiler
from swinv2.commands.doctor.compiler import cache_problem, compiler_problem, kernel_tools


@pytest.fixture
def fake_compiler(tmp_path, monkeypatch):
    """Makes a program that stands in for the compiler, and headers that it does not read."""

    def make(script):
        program = tmp_path / "cc"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
        (tmp_path / "Python.h").touch()
        monkeypatch.setenv("CC", str(program))
        monkeypatch.setattr(sysconfig, "get_path", lambda name: str(tmp_path))

    return make


def test_compiler_that_works(fake_compiler):
    """It is called with the headers of Python."""
    fake_compiler('case "$*" in *-I*) exit 0;; esac; exit 1')
    assert compiler_problem() is None


@pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
def test_a_real_compiler(monkeypatch):
    """What gcc says of a program that is none is passed on."""
    monkeypatch.setenv("CC", "gcc")
    monkeypatch.setattr(compiler, "PROGRAM", "no program")
    problem = compiler_problem()
    assert "gcc fails" in problem or "Python.h is missing" in problem


def test_no_compiler(monkeypatch):
    """It says what to install."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    assert compiler_problem().startswith("none: install gcc or clang")


def test_no_headers(tmp_path, monkeypatch, fake_compiler):
    """The package that has them is named."""
    fake_compiler("exit 0")
    (tmp_path / "Python.h").unlink()
    assert "apt-get install python3." in compiler_problem()


def test_compiler_that_fails(fake_compiler, monkeypatch, tmp_path):
    """What it says, or that it does not run at all."""
    fake_compiler("echo fatal: no library >&2; exit 2")
    assert compiler_problem().startswith("cc fails (fatal: no library)")
    monkeypatch.setenv("CC", str(tmp_path / "none"))
    assert compiler_problem().startswith("none does not run")


def test_cache_that_cannot_be_written(monkeypatch):
    """As on a disk that is read only; /proc is one."""
    monkeypatch.setenv("TRITON_CACHE_DIR", "/proc/triton/cache")
    assert "set TRITON_CACHE_DIR" in cache_problem()


def test_cache_that_can_be_written(monkeypatch, tmp_path):
    """Also where the folder is yet to be made."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path / "a/b"))
    assert cache_problem() is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("needed", [True, False])
def test_what_is_missing_is_wrong_where_there_is_a_gpu(needed, monkeypatch):
    """No Triton, no compiler, no cache."""
    monkeypatch.setattr(compiler, "version", lambda package: "")
    monkeypatch.setattr(shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("TRITON_CACHE_DIR", "/proc/triton/cache")
    found = list(kernel_tools(needed))
    assert [finding.wrong for finding in found] == [needed] * 3
    assert found[0].text.startswith("not installed")
