"""The whole report, with a device that is checked by stand-ins."""

import pytest

from swinv2.cli import main
from swinv2.commands.doctor import report as module
from swinv2.commands.doctor.finding import Finding


@pytest.fixture
def checked(monkeypatch):
    """Devices that are said to be checked, one of which is wrong if so named."""
    found = []

    def check(device):
        found.append(device)
        yield Finding(device, "looks ill" if device == "cuda:0" else "well", wrong=device == "cuda:0")

    monkeypatch.setattr(module, "devices", lambda: ["cpu", "cuda:0"])
    monkeypatch.setattr(module, "check_device", check)
    monkeypatch.setattr(module, "kernel_tools", lambda needed: [Finding("kernels", "needed" if needed else "")])
    return found


def test_everything_is_in_it(checked, capsys):
    """All devices are checked, and the exit status says that one is wrong."""
    assert main(["doctor"]) == 1
    text = capsys.readouterr().out
    assert checked == ["cpu", "cuda:0"]
    for name in ("torch ", "processor ", "cards ", "kernels ", "images read ", "cpu "):
        assert f"\n{name}" in text
    assert text.endswith("\n1 wrong:\n- cuda:0: looks ill\n")


def test_one_device(checked, capsys):
    """Others are left out; nothing is wrong with this one."""
    assert main(["doctor", "--device", "cpu"]) == 0
    assert checked == ["cpu"]
    assert capsys.readouterr().out.endswith("\nnothing wrong\n")


def test_device_that_is_not_here(checked, capsys):
    """Those that are are named."""
    assert main(["doctor", "--device", "cuda:3"]) == 1
    assert "--device cuda:3 is not here; PyTorch can use cpu, cuda:0" in capsys.readouterr().err


def test_training_on_demand(checked, monkeypatch):
    """On the last device unless one is given, for two minutes unless told otherwise."""
    trained = []
    monkeypatch.setattr(
        "swinv2.commands.doctor.quickstarts.train_quickstarts", lambda *given: trained.append(given) or []
    )
    main(["doctor", "--train"])
    main(["doctor", "--train", "5", "--device", "cpu"])
    assert trained == [("cuda:0", 120.0), ("cpu", 5.0)]


def test_the_cpu_is_well(monkeypatch):
    """The real check of this machine, in a process of its own; the cores are for other tests, too."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    findings = list(module.check_device("cpu"))
    assert not any(finding.wrong for finding in findings), findings
    assert [finding.name for finding in findings] == [
        *("cpu, memory", "cpu, products"),
        *("cpu, engine, float32", "cpu, engine, bfloat16"),
    ]
