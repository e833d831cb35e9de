"""What can be said of detectron2's side where detectron2 is not installed."""

import importlib
import re
import sys
from dataclasses import fields
from pathlib import Path
from types import ModuleType, SimpleNamespace

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


def bridge():
    """`detection.detectron2` on modules that stand for detectron2's; for a process of its own, which keeps them."""
    registry = SimpleNamespace(register=lambda: lambda cls: cls)
    names = re.findall(r"from (detectron2[\w.]*) import", SOURCE.read_text())
    sys.modules.update({name: StandIn(name) for name in (*names, "detectron2.engine")})
    sys.modules["detectron2"].engine = sys.modules["detectron2.engine"]
    sys.modules["detectron2.config"].CfgNode = Node
    sys.modules["detectron2.layers"].ShapeSpec = SimpleNamespace
    vars(sys.modules["detectron2.modeling"]).update(BACKBONE_REGISTRY=registry, ROI_HEADS_REGISTRY=registry)
    return importlib.import_module("detection.detectron2")


def test_every_key_is_an_option_of_the_backbone():
    """`MODEL.SWINV2` has no key that `create_backbone` would not take; OUT_FEATURES stands for `out_indices`."""
    text = SOURCE.read_text()
    options = {field.name: field.default for field in fields(swinv2.BackboneConfig)}
    keys = {key.lower() for key in re.findall(r"cfg\.MODEL\.SWINV2\.([A-Z_0-9]+) =", text)}
    assert "name" in keys
    assert keys - {"out_features"} <= set(options)
    for key in ("checkpointing", "engine"):
        assert f"cfg.MODEL.SWINV2.{key.upper()} = {options[key]!r}".replace("'", '"') in text


EMPTY_WEIGHTS = """
from types import SimpleNamespace
import swinv2
from tests.detection.test_detectron2_options import Node, bridge

module, given = bridge(), []

def create(**options):
    given.append(options.pop("weights"))
    return swinv2.create_backbone(**options)

module.create_backbone = create
for weights in ("", None, "imagenet1k"):
    cfg = Node(MODEL=Node(), SOLVER=Node())
    module.add_swinv2_config(cfg)
    cfg.MODEL.SWINV2 |= {"WEIGHTS": weights, "EMBED_DIM": 8, "DEPTHS": [1] * 4, "NUM_HEADS": [1] * 4}
    module.build_swinv2_backbone(cfg, SimpleNamespace(channels=3))
assert given == [None, None, "imagenet1k"], given
"""
NAMED = """
from types import SimpleNamespace
from tests.detection.test_detectron2_options import SOURCE, bridge

module, started = bridge(), []
module.engine.launch = lambda run, gpus, args, **machines: started.append(args[0].config_file)
names = ["detectron2/quickstart.py", "detectron2://COCO/some.yaml", ""]
for name in names:
    machines = {"num_gpus": 0, "num_machines": 1, "machine_rank": 0, "dist_url": ""}
    given = SimpleNamespace(config_file=name, **machines)
    module.engine.default_argument_parser = lambda: SimpleNamespace(parse_args=lambda args: given)
    module.main([])
assert started == [str(SOURCE.parents[1] / "configs/detectron2/quickstart.py"), *names[1:]], started
"""


def test_empty_weights_are_none(run_code):
    """As `MODEL.WEIGHTS` of detectron2, an empty text means that nothing is loaded."""
    assert run_code(EMPTY_WEIGHTS) == ([0], "")


def test_a_config_by_its_name(run_code):
    """`--config-file` takes names of recipes that come with swinv2; what detectron2 finds is left to it."""
    assert run_code(NAMED) == ([0], "")
