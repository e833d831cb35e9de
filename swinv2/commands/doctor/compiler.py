"""What the kernels of a GPU need beside it: Triton, a C compiler, Python's headers, and a folder for what they become.

Triton builds a small launcher in C when it is first used, and keeps it and the compiled kernels in its cache.
"""

import os
import shutil
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .finding import Finding
from .packages import version

PROGRAM = "#include <Python.h>\nint swinv2_doctor(void) { return PY_MAJOR_VERSION; }\n"
WITHOUT = "without it blocks are computed more slowly on a GPU, and torch.compile fails"
SECONDS = 60  # for a small program


def kernel_tools(needed: bool) -> Iterator[Finding]:
    """Triton, compiler and cache.

    Args:
        needed: whether there is a GPU, so that what is missing is wrong.
    """
    found = version("triton") or version("pytorch-triton") or version("pytorch-triton-rocm")
    install = f"not installed; it comes with PyTorch for a GPU on Linux, else pip install triton; {WITHOUT}"
    yield Finding("Triton", found or install, wrong=needed and not found)
    problem = compiler_problem()
    yield Finding("C compiler", problem or f"{Path(compiler()).name} compiles with Python.h", bool(needed and problem))
    problem = cache_problem()
    yield Finding("Triton's cache", problem or "can be written", bool(needed and problem))


def compiler() -> str:
    """The C compiler that Triton would take; empty if there is none."""
    return os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang") or ""


def compiler_problem() -> str | None:
    """Why no launcher can be compiled, and what to install; None if it can."""
    if not compiler():
        return f"none: install gcc or clang (e.g. apt-get install gcc), or set CC; {WITHOUT}"
    include = sysconfig.get_path("include")
    if not Path(include, "Python.h").exists():
        release = sysconfig.get_python_version()
        return f"Python.h is missing: install Python's headers (e.g. apt-get install python{release}-dev); {WITHOUT}"
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "doctor.c"), Path(folder, "doctor.so")
        source.write_text(PROGRAM)
        command = [compiler(), str(source), "-shared", "-fPIC", f"-I{include}", "-o", str(library)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"{Path(compiler()).name} does not run ({error}): install gcc or clang, or set CC; {WITHOUT}"
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[0]
        return f"{Path(compiler()).name} fails ({said}): install gcc or clang, or set CC; {WITHOUT}"
    return None


def cache_problem() -> str | None:
    """Why compiled kernels cannot be kept, and what to set; None if they can."""
    home = os.environ.get("TRITON_HOME", str(Path.home()))
    folder = Path(os.environ.get("TRITON_CACHE_DIR", Path(home, ".triton", "cache")))
    there = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    try:
        with tempfile.TemporaryFile(dir=there):
            return None
    except OSError as error:
        reason = error.strerror or error
        return f"cannot be written ({reason}): set TRITON_CACHE_DIR to a folder that can; kernels need it"
