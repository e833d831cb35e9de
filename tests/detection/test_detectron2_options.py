"""What can be said of detectron2's side where detectron2 is not installed."""

import importlib
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from torch import nn

import swinv2

SOURCE = Path(__file__).parents[2] / "detection" / "detectron2.py"


class Node(dict):
    """A configuration of attributes, as yacs has them."""

    __getattr__, __setattr__ = dict.__getitem__, dict.__setitem__


class StandIn(ModuleType):
    """A module that has any class."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (nn.Module,), {"padding_constraints": {}})


@pytest.fixture
def bridge(monkeypatch):
    """`detection.detectron2` on modules that stand for detectron2's."""
    registry = SimpleNamespace(register=lambda: lambda cls: cls)
    names = re.findall(r"from (detectron2[\w.]*) import", SOURCE.read_text())
    for name in (*names, "detectron2.engine"):
        monkeypatch.setitem(sys.modules, name, StandIn(name))
    sys.modules["detectron2"].engine = sys.modules["detectron2.engine"]
    sys.modules["detectron2.config"].CfgNode = Node
    sys.modules["detectron2.layers"].ShapeSpec = SimpleNamespace
    vars(sys.modules["detectron2.modeling"]).update(BACKBONE_REGISTRY=registry, ROI_HEADS_REGISTRY=registry)
    monkeypatch.delitem(sys.modules, "detection.detectron2", raising=False)
    yield importlib.import_module("detection.detectron2")
    del sys.modules["detection.detectron2"]


def test_every_key_is_an_option_of_the_backbone():
    """`MODEL.SWINV2` has no key that `create_backbone` would not take; OUT_FEATURES stands for `out_indices`."""
    text = SOURCE.read_text()
    options = inspect.signature(swinv2.create_backbone).parameters
    keys = {key.lower() for key in re.findall(r"cfg\.MODEL\.SWINV2\.([A-Z_0-9]+) =", text)}
    assert "name" in keys
    assert keys - {"out_features"} <= set(options)
    for key in ("checkpointing", "engine"):
        assert f"cfg.MODEL.SWINV2.{key.upper()} = {options[key].default!r}".replace("'", '"') in text


@pytest.mark.parametrize(("weights", "passed"), [("", None), (None, None), ("imagenet1k", "imagenet1k")])
def test_empty_weights_are_none(bridge, monkeypatch, weights, passed):
    """As `MODEL.WEIGHTS` of detectron2, an empty text means that nothing is loaded."""
    cfg = Node(MODEL=Node(), SOLVER=Node())
    bridge.add_swinv2_config(cfg)
    cfg.MODEL.SWINV2 |= {"WEIGHTS": weights, "EMBED_DIM": 8, "DEPTHS": [1] * 4, "NUM_HEADS": [1] * 4}
    given = []

    def create(**options):
        given.append(options.pop("weights"))
        return swinv2.create_backbone(**options)

    monkeypatch.setattr(bridge, "create_backbone", create)
    bridge.build_swinv2_backbone(cfg, SimpleNamespace(channels=3))
    assert given == [passed]


def test_a_config_by_its_name(bridge, monkeypatch, tmp_path):
    """`--config-file` takes names of recipes that come with swinv2; what detectron2 finds is left to it."""
    monkeypatch.chdir(tmp_path)
    started = []
    bridge.engine.launch = lambda run, gpus, args, **machines: started.append(args[0].config_file)
    for name in ("detectron2/quickstart.py", "detectron2://COCO/some.yaml", ""):
        machines = {"num_gpus": 0, "num_machines": 1, "machine_rank": 0, "dist_url": ""}
        given = SimpleNamespace(config_file=name, **machines)
        parser = SimpleNamespace(parse_args=lambda args, given=given: given)
        bridge.engine.default_argument_parser = lambda parser=parser: parser
        bridge.main([])
    assert started == [str(SOURCE.parents[1] / "configs/detectron2/quickstart.py"), "detectron2://COCO/some.yaml", ""]
