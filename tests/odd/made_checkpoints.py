"""Checkpoints as projects write them: the names of each layout, wrappers and containers, made without our own code."""

import argparse
import random
import re
from collections import OrderedDict
from typing import Any

import numpy as np
import torch
from torch import Tensor

State = dict[str, Tensor]
LAYOUTS = ("ours", "official", "timm", "features", "torchvision", "hf", "mmpretrain", "simmim")
HEADLESS = ("features", "simmim")
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module")
PREFIXES = (
    *("model.", "net.", "module.", "module.module.", "_orig_mod.", "module._orig_mod.", "ema_model.", "ema.module."),
    *("teacher.", "encoder.model.", "model.model.", "backbone.body.", "my.very.deep.0.", "classifier.net.", "heads."),
    *("_forward_module.model.", "lightning.model.module.", "features.", "layers.0.", "swin_v2.", "norm.", "params."),
)


def _moved(template: str, step: int = 0, factor: int = 1) -> Any:
    return lambda match: template.format(factor * int(match[1]) + step, *match.groups()[1:])


_MERGING = (r"layers\.(\d+)\.downsample", _moved("layers.{}.downsample", 1))
_NAMES: dict[str, list[tuple[str, Any]]] = {
    "official": [],
    "timm": [_MERGING, (r"^head\.", "head.fc.")],
    "features": [_MERGING, (r"^layers\.", "layers_")],
    "torchvision": [
        *((r"patch_embed\.proj", "features.0.0"), (r"patch_embed\.norm", "features.0.2")),
        (r"layers\.(\d+)\.blocks\.(\d+)", _moved("features.{}.{}", 1, 2)),
        (r"layers\.(\d+)\.downsample", _moved("features.{}", 2, 2)),
        *((r"mlp\.fc1", "mlp.0"), (r"mlp\.fc2", "mlp.3")),
    ],
    "hf": [
        (r"^patch_embed\.proj", "swinv2.embeddings.patch_embeddings.projection"),
        *((r"^patch_embed\.norm", "swinv2.embeddings.norm"), (r"^layers", "swinv2.encoder.layers")),
        *((r"^norm\.", "swinv2.layernorm."), (r"^head\.", "classifier."), (r"mlp\.fc1", "intermediate.dense")),
        *((r"mlp\.fc2", "output.dense"), (r"attn\.proj", "attention.output.dense")),
        *((r"(blocks\.\d+)\.norm1", r"\1.layernorm_before"), (r"(blocks\.\d+)\.norm2", r"\1.layernorm_after")),
        *((r"attn\.q_bias", "attn.query.bias"), (r"attn\.v_bias", "attn.value.bias")),
        *((r"cpb_mlp", "continuous_position_bias_mlp"), (r"attn\.", "attention.self.")),
    ],
    "mmpretrain": [
        (r"layers\.(\d+)\.downsample", _moved("backbone.stages.{}.downsample", 1)),
        *((r"^layers", "backbone.stages"), (r"^patch_embed\.proj", "backbone.patch_embed.projection")),
        *((r"^patch_embed\.norm", "backbone.patch_embed.norm"), (r"^head\.", "head.fc."), (r"attn\.", "attn.w_msa.")),
        *((r"mlp\.fc1", "ffn.layers.0.0"), (r"mlp\.fc2", "ffn.layers.1")),
    ],
    "simmim": [(r"^", "encoder."), ("cpb_mlp", "rpe_mlp")],
}


def names(own: State, layout: str, windows: list[int]) -> State:
    """The tensors of a classifier of ours as another project has them.

    Args:
        own: state dict of an `ImageClassifier` whose backbone gives its last features only.
        layout: one of `LAYOUTS`.
        windows: of the training, by stage.
    """
    if layout == "ours":
        return dict(own)
    norm = f"norm{len(windows) - 1}"
    plain = {key.removeprefix("backbone."): value for key, value in own.items() if "_extra_state" not in key}
    plain = {re.sub(rf"^{norm}\.", "norm.", key): value for key, value in plain.items()}
    if layout in HEADLESS:
        plain = {key: value for key, value in plain.items() if not key.startswith("head.")}
    if layout == "features":
        plain = {key: value for key, value in plain.items() if not key.startswith("norm.")}
    state: State = {}
    for key, value in plain.items():
        for name, part in _divided(key, value, layout):
            for pattern, new in _NAMES[layout]:
                name = re.sub(pattern, new, name)
            state[re.sub(r"^norm\.", f"backbone.{norm}.", name) if layout == "mmpretrain" else name] = part
    if layout == "torchvision":
        state |= _joined_biases(plain) | _tables(state, windows)
    return state


def _divided(key: str, value: Tensor, layout: str) -> list[tuple[str, Tensor]]:
    if layout == "hf" and key.endswith("qkv.weight"):
        rows = len(value) // 3
        parts = [
            (key.replace("qkv", part), value[i * rows :][:rows]) for i, part in enumerate(("query", "key", "value"))
        ]
        return parts
    if layout == "mmpretrain" and key.endswith("reduction.weight"):  # pixels by column and row, to channels first
        rows, columns = value.shape
        return [(key, value.reshape(rows, 2, 2, columns // 4).permute(0, 3, 2, 1).reshape(rows, columns))]
    if layout == "torchvision" and key.endswith(("q_bias", "v_bias")):
        return []
    return [(key, value)]


def _joined_biases(plain: State) -> State:
    found = {}
    for key, value in plain.items():
        if match := re.match(r"layers\.(\d+)\.blocks\.(\d+)\.attn\.q_bias", key):
            both = [value, torch.randn(len(value)), plain[key.replace("q_bias", "v_bias")]]  # the middle has no effect
            found[f"features.{2 * int(match[1]) + 1}.{match[2]}.attn.qkv.bias"] = torch.cat(both)
    return found


def _tables(state: State, windows: list[int]) -> State:
    """Of torchvision, whose windows are those of the training here."""
    found = {}
    for key in state:
        if match := re.match(r"features\.(\d+)\.\d+\.attn\.(?=logit_scale)", key):
            window = windows[int(match[1]) // 2]
            steps = torch.arange(1 - window, window, dtype=torch.float32) * 8 / max(window - 1, 1)
            steps = steps.sign() * torch.log2(1 + steps.abs()) / 3
            found[f"{match[0]}relative_coords_table"] = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)[
                None
            ]
            found[f"{match[0]}relative_position_index"] = torch.zeros(window**4, dtype=torch.int64)
    return found


def wrapped(state: State, rng: random.Random) -> State:
    """Behind a prefix, and with wrappers about some of the modules."""
    prefix = rng.choice(["", "", *PREFIXES])
    state = {prefix + key: value for key, value in state.items()}
    for place in rng.sample(
        [r"(\.blocks\.\d+|features\.\d+\.\d+)\.", r"(\.attn|\.attention)\.", r"(^[^.]+)\."], rng.randint(0, 2)
    ):
        wrapper = rng.choice(WRAPPERS)
        state = {re.sub(place, rf"\1.{wrapper}.", key, count=1): value for key, value in state.items()}
    return state


def as_saved(state: State, rng: random.Random) -> State:
    """The same tensors in another form: parameters, views of larger ones, in another order."""
    keys = rng.sample([*state], len(state)) if rng.random() < 0.5 else [*state]
    form = rng.choice(["plain", "plain", "parameters", "views", "transposed"])
    if form == "parameters":
        return {key: torch.nn.Parameter(state[key], state[key].is_floating_point()) for key in keys}
    if form == "views":
        return {key: torch.stack([state[key], state[key] * 0])[0] for key in keys}
    if form == "transposed":
        return {
            key: state[key].transpose(0, -1).contiguous().transpose(0, -1) if state[key].ndim else state[key]
            for key in keys
        }
    return {key: state[key] for key in keys}


def with_strangers(state: State, prefix: str, rng: random.Random) -> State:
    """With tensors of other parts of a training."""
    strangers = {
        f"{prefix}loss.weight": torch.ones(3),
        f"{prefix}n_averaged": torch.tensor(3),
        f"{prefix}decoder.bn.num_batches_tracked": torch.tensor(7),
        f"{prefix}projector.fc1.weight": torch.full((3, 5), float("nan")),
        "teacher_temperature": torch.tensor(0.1),
        "pixel_mean": torch.zeros(3, 1, 1),
        "text.patch_embed.proj.weight": torch.ones(2, 3, 16, 16),
        "text.layers.0.attn.qkv.weight": torch.ones(6, 2),
        "resnet.layer1.0.conv1.weight": torch.ones(2, 2, 3, 3),
        "aside.norm.weight": torch.ones(5),
    }
    chosen = rng.sample([*strangers], rng.randint(1, 4))
    return {key: strangers[key] for key in chosen if key not in state} | state


def contained(state: State, other: State, rng: random.Random) -> tuple[Any, bool]:
    """A checkpoint of a training with these weights, maybe beside others; whether others are there.

    Args:
        state: weights that are to be taken.
        other: weights of the same model that are not.
        rng: source of random numbers.
    """
    both = {
        "timm": {"state_dict": other, "state_dict_ema": state},
        "dino": {"student": other, "teacher": state, "dino_loss": {"center": torch.zeros(1, 8)}},
        "basicsr": {"params": other, "params_ema": state},
        "averages": {"model": other, "ema_state_dict": state},
        "official": {"model": other, "model_ema": state, "max_accuracy": 81.8},
        "nested": {"ema": {"model": {"state_dict": state}}, "net": other},
        "lightning": {
            "state_dict": state,
            "current_model_state": other,
            "averaging_state": {"n_averaged": torch.tensor(3)},
        },
        "mmengine": {
            "meta": {"mmengine_version": "0.10"},
            "message_hub": {"runtime_info": {}},
            "state_dict": state,
            "ema_state_dict": {"steps": torch.tensor(9)} | {f"module.{key}": value for key, value in other.items()},
        },
        "one dictionary": {f"student.{key}": value for key, value in other.items()}
        | {f"teacher.{key}": value for key, value in state.items()},
        "one module": {f"model.{key}": value for key, value in other.items()}
        | {f"model_ema.module.{key}": value for key, value in state.items()},
    }
    single = [
        *({name: state} for name in ("model", "state_dict", "model_state_dict", "net", "weights", "params", "module")),
        *({name: state} for name in ("model_state", "network", "generator", "模型", "0", "")),
        *(state, {"state_dict": {"state_dict": state}}, {"a": {"b": {"c": state}}}, [state, 3], (state, {"lr": 1})),
        OrderedDict(state),
        {3: torch.ones(2), None: 1, b"bytes": torch.ones(1), "state_dict": state},
        {"module": state, "ds_config": {}, "ds_version": "0.16", "param_shapes": [{"a": torch.Size([3])}]},
    ]
    many = rng.random() < 0.3
    content = rng.choice([*both.values()]) if many else rng.choice(single)
    return _with_more(content, state, rng) if isinstance(content, dict) else content, many


def _with_more(content: dict[str, Any], state: State, rng: random.Random) -> dict[str, Any]:
    """What trainings save beside the weights."""
    value = next(iter(state.values()))
    more = {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0), "exp_avg": value}}, "param_groups": [{"lr": 0.1}]},
        "optimizer_states": [{"state": {"by name": {key: torch.zeros(2) for key in state}}}],
        "optimizer_momentum": {key: torch.zeros(2) for key in state},
        "lr_schedulers": [{"last_epoch": 3}],
        "epoch": 7,
        "args": argparse.Namespace(lr=1, model="resnet50"),
        "metrics": {"top1": np.float64(81.0), "loss": torch.tensor(0.3)},
        "rng_state": torch.zeros(16, dtype=torch.uint8),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5), "best_model_path": "x"}},
        "hyper_parameters": {"backbone": "swinv2", "nothing": None},
        "loops": {"fit_loop": {"state_dict": {}}},
        "scaler": {"scale": 65536.0},
    }
    flat = any(isinstance(one, Tensor) for one in content.values())
    chosen = {key: more[key] for key in rng.sample([*more], rng.randint(0, 4))}
    return content | {key: one for key, one in chosen.items() if not flat or not isinstance(one, Tensor)}
