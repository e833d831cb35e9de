"""What a killed test leaves, and that the next one goes on with it."""

import json
import re
from pathlib import Path

import pytest
import torch
from lightning import Trainer
from lightning.pytorch.strategies import SingleDeviceStrategy
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

import video.data.clips
from swinv2 import BackboneConfig
from swinv2.classification.scores import ClassificationScores
from swinv2.cli import main
from swinv2.shapes import make_video
from video.classifier import VideoClassifier
from video.data.kinetics_data import KineticsData
from video.inference.resume import Finished, fingerprint
from video.task import VideoTask

TEST = {"weights": "3f", "views": 20}
VIDEOS = 40
RUN = Path("runs/video/small/validate")
ROW = torch.tensor([0.1, 1 / 3, 0.7])


def test_next_run_knows_what_is_finished(tmp_path):
    """Exactly the numbers that were written come back, of all processes."""
    for process in range(2):
        Finished(tmp_path, TEST, process).add({f"vidéo {process}": ROW, f"other {process}": ROW / 3})
    again = Finished(tmp_path, TEST).probabilities
    assert again.keys() == {"vidéo 0", "other 0", "vidéo 1", "other 1"}
    assert all(torch.equal(row, ROW / 3 if "other" in video else ROW) for video, row in again.items())


def test_numbers_are_short_and_exact(tmp_path):
    """A file has no more digits than float32 needs, and gives back what was put into it."""
    done = Finished(tmp_path, TEST)
    done.add({"video": ROW})
    assert done.path.read_text() == '\n{"video": [0.100000001, 0.333333343, 0.699999988]}'
    rows = {str(power): torch.rand(500) * 10.0**-power for power in (0, 3, 20, 40)}
    done.add(rows)
    again = Finished(tmp_path, TEST).probabilities
    assert all(torch.equal(again[video], row) for video, row in rows.items())


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_line_that_was_cut_off_is_done_again(tmp_path, cut):
    """A run that is killed while it writes loses at most that batch, and what the next ones write is whole."""
    done = Finished(tmp_path, TEST)
    done.add({"first": ROW})
    done.add({"second": ROW, "third": ROW})
    done.path.write_bytes(done.path.read_bytes()[:-cut])
    again = Finished(tmp_path, TEST)
    assert set(again.probabilities) == {"first"}
    again.add({"second": ROW})
    assert set(Finished(tmp_path, TEST).probabilities) == {"first", "second"}


def test_tests_do_not_get_in_each_other_s_way(tmp_path):
    """Another checkpoint starts anew; the test before it can still be taken up, until all of it is scored."""
    first, other = Finished(tmp_path, TEST), Finished(tmp_path, {**TEST, "weights": "a0"})
    first.add({"video": ROW})
    other.add({"clip": ROW})
    assert set(Finished(tmp_path, TEST).probabilities) == {"video"}
    other.forget()
    assert list(tmp_path.iterdir()) == [first.folder]


@pytest.mark.parametrize("value", [torch.zeros(2), torch.zeros(2, dtype=torch.bfloat16), torch.tensor(1)])
def test_fingerprint_tells_weights_apart(value):
    """Equal values have the same, whatever their memory; one changed bit, another name or type has not."""
    other = value.clone()
    other.view(-1)[-1] += 1
    states = [{"a": value}, {"a": other}, {"b": value}, {"a": value, "b": value}]
    assert len({fingerprint(state) for state in states}) == len(states)
    assert fingerprint({"a": value.clone()}) == fingerprint({"a": value})
    table = torch.arange(6.0).view(2, 3)
    assert fingerprint({"a": table.t().contiguous().t()}) == fingerprint({"a": table})


@pytest.fixture
def alone():
    """A group of this process only."""
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    distributed.destroy_process_group()


def test_fingerprint_of_sharded_weights(alone):
    """Tensors that are spread over processes have that of the whole."""
    table = torch.rand(4, 3)
    assert fingerprint({"a": distribute_tensor(table, alone, [Shard(0)])}) == fingerprint({"a": table})


@pytest.fixture
def long_list(recipe, tmp_path, monkeypatch):
    """A test of many videos in 4 x 3 views, as a command, and a checkpoint for it."""
    monkeypatch.chdir(tmp_path)
    make_video(tmp_path / "shapes", train=4, val=VIDEOS, size=32)
    data = {"frames": 8, "stride": 1, "size": 32, "short_edge": 48}
    path = recipe(tmp_path, tmp_path / "shapes", data=data, limit_val_batches=1)
    assert main(["video", "fit", "--config", path]) == 0
    views = ["--data.val_clips", "4", "--data.val_crops", "3"]
    return ["video", "validate", "--config", path, *views, "--trainer.limit_val_batches", "1.0"]


@pytest.fixture
def decoded(monkeypatch):
    """Names of the videos that are opened."""
    opened, open_video = [], video.data.clips.open_video
    monkeypatch.setattr(
        video.data.clips, "open_video", lambda path, backend: opened.append(path.name) or open_video(path, backend)
    )
    return opened


@pytest.fixture
def scored(monkeypatch):
    """Probabilities in the order in which they are scored."""
    rows, update = [], ClassificationScores.update
    monkeypatch.setattr(ClassificationScores, "update", lambda *given: rows.extend(given[1]) or update(*given))
    return rows


def finished():
    """Paths of the videos that a killed test has finished."""
    lines = [line for path in RUN.glob("finished-*/*.jsonl") for line in path.read_text().split("\n")[1:]]
    return [name for line in lines for name in json.loads(line)]


def report(said):
    """All that a test says and writes."""
    files = {path.name: path.read_bytes() for path in RUN.iterdir() if path.is_file()}
    assert set(files) == {"scores.json", "classes.csv", "confusion.png", "confused.csv"}
    table = re.findall(r"^(?:\w[\w ]* +\d+ +[01]\.\d{3}|top-1 .*)$", said, re.MULTILINE)
    assert len(table) == 5
    return files, table


def test_killed_test_goes_on_and_gives_the_same_report(long_list, killed_test, capsys, decoded, scored):
    """Started again, it opens no finished video, though these have become unreadable, and scores as if never killed."""
    assert main(long_list) == 0
    whole, rows = report(capsys.readouterr().out), [*scored]
    assert len(decoded) == len(rows) == VIDEOS
    for path in RUN.iterdir():
        path.unlink()
    killed_test(long_list, batches=4)
    done = finished()
    assert 4 <= len(done) == len({*done}) < VIDEOS
    for path in map(Path, done):
        path.write_bytes(b"")
    (file,) = RUN.glob("finished-*/*.jsonl")
    with file.open("a") as torn:
        torn.write(f'\n{{"{min(done)}": [0.25, 0.')
    decoded.clear()
    scored.clear()
    assert main(long_list) == 0
    said = capsys.readouterr().out
    assert f"Going on with a test that was stopped: {len(done)} videos are finished." in said
    assert len(decoded) == VIDEOS - len(done)
    assert {*decoded}.isdisjoint(Path(path).name for path in done)
    assert report(said) == whole
    torch.testing.assert_close(torch.stack(scored), torch.stack(rows), atol=1e-6, rtol=0)
    assert not list(RUN.glob("finished-*"))


@pytest.fixture
def kept(monkeypatch):
    """Tests that have come to their end are not forgotten."""
    monkeypatch.setattr(Finished, "forget", lambda _: None)


@pytest.fixture
def validate(shapes, dwarf, tmp_path):
    """Scores a classifier, the same one unless settings say otherwise."""

    def run(window=(2, 4, 4), change=0.0, at_once=8, precision="32-true", limit=1.0, **data):
        torch.manual_seed(0)
        model = VideoClassifier(BackboneConfig(**{**dwarf, "window_size": [*window]}), 4)
        model.head.bias.data[0] += change
        small = {"num_workers": 0, "frames": 4, "stride": 2, "size": 32, "short_edge": 32, **data}
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "logger": False, "accelerator": "cpu"}
        quiet |= {"enable_checkpointing": False, "limit_val_batches": limit}
        trainer = Trainer(default_root_dir=tmp_path, precision=precision, **quiet)
        trainer.validate(VideoTask(model, views_at_once=at_once), KineticsData(shapes, **small), verbose=False)

    return run


@pytest.mark.parametrize(
    ("settings", "opened"),
    [
        ({}, 0),
        ({"at_once": 1}, 0),
        ({"batch_size": 1}, 0),
        ({"val_clips": 2}, 6),
        ({"val_crops": 3}, 6),
        ({"short_edge": 40}, 6),
        ({"stride": 1}, 6),
        ({"sampling": "segments"}, 6),
        ({"shuffle_frames": True}, 6),
        ({"window": (1, 4, 4)}, 6),
        ({"precision": "bf16-mixed"}, 6),
        ({"change": 1e-6}, 6),
    ],
)
def test_only_the_same_test_is_gone_on_with(kept, validate, decoded, settings, opened):
    """Videos that are finished count as long as weights, views and precision are the same; otherwise all are opened."""
    validate()
    assert len(decoded) == 6
    decoded.clear()
    validate(**settings)
    assert len(decoded) == opened


def test_another_list_is_another_test(kept, validate, decoded, shapes, tmp_path):
    """The same videos with other classes are scored anew, and so are some of them alone."""
    first, second, *others = (shapes / "val.txt").read_text().split("\n")
    (tmp_path / "swapped.txt").write_text("\n".join([first[:-1] + second[-1], second[:-1] + first[-1], *others]))
    (tmp_path / "two.txt").write_text(f"{first}\n{second}\n")
    for listed, opened in (("val.txt", 6), (tmp_path / "swapped.txt", 6), (tmp_path / "two.txt", 2), ("val.txt", 0)):
        decoded.clear()
        validate(val=str(listed))
        assert len(decoded) == opened


def test_part_of_a_test_is_not_forgotten(validate, decoded, shapes, tmp_path):
    """Videos that are scored under a limit stay finished until all are, though one of them cannot be read."""
    (tmp_path / "broken.mp4").touch()
    listed = tmp_path / "val.txt"
    listed.write_text(f"{tmp_path / 'broken.mp4'} 0\n{(shapes / 'val.txt').read_text()}")
    for limit, opened in ((3, 2), (5, 2), (1.0, 2)):  # the broken one is known from the start
        assert limit == 3 or list(tmp_path.glob("validate/finished-*/0.jsonl"))
        decoded.clear()
        validate(limit=limit, batch_size=1, val=str(listed))
        assert len(decoded) == opened
    assert not list(tmp_path.glob("validate/finished-*"))


def test_the_first_process_tells_the_weights_apart(kept, validate, decoded, monkeypatch):
    """Where it alone has all weights, what the others make of theirs does not count."""
    told, broadcast = [], SingleDeviceStrategy.broadcast
    monkeypatch.setattr(
        SingleDeviceStrategy,
        "broadcast",
        lambda self, given, src=0: (
            told.append(given) or told[0] if re.fullmatch("[0-9a-f]{12}", str(given)) else broadcast(self, given, src)
        ),
    )
    validate()
    decoded.clear()
    validate(change=1e-6)
    assert len(set(told)) == 2
    assert decoded == []


def test_checkpoint_and_loggers_of_a_killed_test(kept, trained, decoded):
    """It is the weights in the checkpoint that count; loggers that number their runs do not hide what is finished."""
    checkpoint = torch.load("runs/video/small/checkpoints/best.ckpt", weights_only=True)
    torch.save(checkpoint, "same.ckpt")
    checkpoint["state_dict"]["model.head.bias"][0] += 1e-6
    torch.save(checkpoint, "other.ckpt")
    validate = ["video", "validate", "--config", trained[0], "--trainer.logger", "CSVLogger"]
    validate += ["--trainer.logger.save_dir", "logs", "--ckpt_path"]
    for which, opened in (("best", 6), ("same.ckpt", 0), ("other.ckpt", 6), ("best", 0)):
        decoded.clear()
        assert main([*validate, which]) == 0
        assert len(decoded) == opened
