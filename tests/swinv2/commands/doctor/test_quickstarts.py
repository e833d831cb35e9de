import math

import pytest

from swinv2.commands.doctor import quickstarts
from swinv2.commands.doctor.quickstarts import TASKS, train_quickstarts, verdict


def test_verdict():
    """The mean of the first tenth of the steps against that of the last."""
    falling = verdict("cpu", [2.0 - 0.05 * i for i in range(20)], 9.5)
    assert falling.text == "20 steps, 2.0 a second, loss 1.975 to 1.075" and not falling.wrong
    assert verdict("cpu", [1.0, 1.0], 1.0).wrong
    assert verdict("cpu", [1.0, math.nan], 1.0).wrong
    assert verdict("cpu", [1.0], 0.0).wrong


def test_all_tasks_are_trained(monkeypatch):
    """Each in a folder of its own, and with time around its steps."""
    jobs = []
    monkeypatch.setattr(quickstarts, "findings_of", lambda *job: iter(jobs.append(job) or []))
    assert list(train_quickstarts("cuda:1", 60.0)) == []
    assert [job[1][:3] for job in jobs] == [[task, "cuda:1", "60.0"] for task in TASKS]
    assert all(job[4] > 60 and not job[5].exists() for job in jobs)


def test_one_quickstart(monkeypatch):
    """It draws its data, trains for seconds, and is judged; so few steps may or may not lower the loss."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(quickstarts, "TASKS", ("classification",))
    (finding,) = train_quickstarts("cpu", 2.0)
    assert finding.name == "cpu, classification" and " a second, loss " in finding.text


@pytest.mark.parametrize(
    ("device", "accelerator", "devices"), [("cpu", "cpu", "1"), ("cuda:1", "gpu", "1,"), ("mps:0", "mps", "1")]
)
def test_device_of_a_training(device, accelerator, devices, monkeypatch):
    """Lightning has names of its own."""
    said = []
    monkeypatch.setattr("swinv2.cli.main", lambda words: said.extend(words) or 1)
    with pytest.raises(SystemExit):
        quickstarts.train("video", device, "90", "label")
    options = dict(zip(said[4::2], said[5::2], strict=True))
    assert options["--trainer.accelerator"] == accelerator
    assert options["--trainer.devices"] == devices
    assert options["--trainer.max_time"] == "00:00:01:30"
