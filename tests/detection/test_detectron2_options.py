"""What can be said of detectron2's side where detectron2 is not installed."""

import inspect
import re
from pathlib import Path

import swinv2

SOURCE = Path(__file__).parents[2] / "detection" / "detectron2.py"


def test_every_key_is_an_option_of_the_backbone():
    """`MODEL.SWINV2` has no key that `create_backbone` would not take; OUT_FEATURES stands for `out_indices`."""
    text = SOURCE.read_text()
    options = inspect.signature(swinv2.create_backbone).parameters
    keys = {key.lower() for key in re.findall(r"cfg\.MODEL\.SWINV2\.([A-Z_0-9]+) =", text)}
    assert "name" in keys
    assert keys - {"out_features"} <= set(options)
    for key in ("checkpointing", "engine"):
        assert f"cfg.MODEL.SWINV2.{key.upper()} = {options[key].default!r}".replace("'", '"') in text
