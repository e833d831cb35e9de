"""Training, scoring and prediction on two processes, as on two GPUs."""

import re

import yaml

from swinv2.cli import main
from swinv2.shapes import make_segmentation

IMAGES = 5  # odd: the two processes have different numbers


def recipe(folder):
    """A segmenter of the least size on made data, as a file."""
    make_segmentation(folder / "shapes", train=8, val=IMAGES, size=64)
    backbone = {"name": "swinv2_tiny_window8_256", "embed_dim": 8, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]}
    sizes = dict.fromkeys(("short_edge", "long_edge", "crop_size", "val_short_edge", "val_long_edge"), 64)
    init_args = {"backbone": backbone, "channels": 8, "auxiliary_channels": 8}
    content = {
        "model": {
            "model": {"class_path": "UPerNet", "init_args": init_args}, "optimizer": {"lr": 3.0e-3}, "pictures": 3,
        },
        "data": {
            "root": str(folder / "shapes"), "classes": "objectInfo.txt", "batch_size": 2, "num_workers": 0, **sizes,
        },
        "trainer": {
            "max_epochs": 2, "accelerator": "cpu", "enable_progress_bar": False,
        },
    }  # fmt: skip
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return str(path)


def figures(said):
    """The lines with the scores, once each."""
    lines = re.findall(r"^(?:mIoU|pixel accuracy) .*$", said, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["mIoU", "pixel"]
    return lines


def test_two_processes(on_two_processes, tmp_path, monkeypatch, capsys):
    """Training on two processes ends with a score; they then score as one process does, and predict each image once.

    If none can be read both fail, but if one process has some the other does not.
    """
    path = recipe(tmp_path)
    figures(on_two_processes("segmentation", "fit", "--config", path))
    (run,) = (tmp_path / "runs/segmentation/small").glob("version_*")
    assert len(list((run / "pictures").iterdir())) == 3
    checkpoint = tmp_path / "runs/segmentation/small/checkpoints/last.ckpt"
    scored = ["segmentation", "validate", "--config", path, "--ckpt_path", str(checkpoint), "--model.output"]
    both = figures(on_two_processes(*scored, "two"))
    monkeypatch.chdir(tmp_path)
    assert main([*scored, "one"]) == 0
    assert both == figures(capsys.readouterr().out)
    images = ["--data.images", str(tmp_path / "shapes/images/validation"), "--ckpt_path", str(checkpoint)]
    on_two_processes("segmentation", "predict", "--config", path, *images, "--model.output", "found")
    for folder in ("one", "two", "found"):
        if folder != "found":  # of all processes together the same number as of one
            pictures = sorted(one.name for one in (tmp_path / folder / "pictures").iterdir())
            assert pictures == [f"0000000{number}.png" for number in (1, 2, 3)]
        maps = {one.name: one.read_bytes() for one in (tmp_path / folder / "results").iterdir()}
        assert len(maps) == IMAGES
        assert maps == {one.name: one.read_bytes() for one in (tmp_path / "one/results").iterdir()}
    (tmp_path / "broken").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "broken" / name).write_bytes(b"no picture")
    broken = ["--ckpt_path", str(checkpoint), "--data.images", "broken"]
    said = on_two_processes("segmentation", "predict", "--config", path, *broken, code=1)
    assert said.count("None of the images could be read") == 2
    (tmp_path / "broken/c.png").write_bytes(next((tmp_path / "shapes/images/validation").iterdir()).read_bytes())
    on_two_processes("segmentation", "predict", "--config", path, *broken, "--model.output", "some")
    assert [one.name for one in (tmp_path / "some/results").iterdir()] == ["c.png"]
