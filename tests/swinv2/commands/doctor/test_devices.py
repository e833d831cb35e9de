import torch

from swinv2.commands.doctor import devices as module
from swinv2.commands.doctor.devices import check_device, devices, main
from swinv2.commands.doctor.finding import Finding


def test_devices_that_are_here(monkeypatch):
    """The CPU, and all cards."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert devices() == ["cpu"]
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 2)
    assert devices() == ["cpu", "cuda:0", "cuda:1"]


def test_jobs_of_each_device(monkeypatch):
    """A GPU is checked with kernels, without them, and as it is chosen; its rates once."""
    jobs = []
    monkeypatch.setattr(module, "findings_of", lambda *job: iter(jobs.append(job[1:]) or []))
    for device in ("cpu", "xpu:0", "cuda:1"):
        assert list(check_device(device)) == []
    assert [arguments[:2] + arguments[3:] for arguments, *_ in jobs] == [
        ["cpu", "cpu", "rates"],
        ["xpu:0", "auto", "rates"],
        ["cuda:1", "gpu", "rates"],
        ["cuda:1", "gpu", ""],
        ["cuda:1", "gpu", ""],
    ]
    assert [environment.get("SWINV2_KERNELS") for *_, environment in jobs] == [None, None, "on", "off", "auto"]


def test_a_job_tells_rates_and_engine(monkeypatch, capsys):
    """In this order, so that rates are known where an engine ends the process."""
    monkeypatch.setattr(module, "check_rates", lambda device, label: [Finding(f"{label}, memory", "1 GB/s")])
    monkeypatch.setattr(module, "check_engine", lambda device, engine, label: [Finding(label, engine)])
    main("cpu", "cpu", "cpu, engine", "rates")
    assert [line.partition('"')[2].partition('"')[0] for line in capsys.readouterr().out.splitlines()] == [
        "cpu, memory",
        "cpu, engine",
    ]
