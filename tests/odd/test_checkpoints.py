"""Checkpoints of a small classifier in any layout, wrapper, container and file, whole or damaged."""

import gzip
import io
import json
import logging
import random
import re
import struct
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from swinv2 import SwinTransformerV2, convert, load_weights
from swinv2.classifier import ImageClassifier
from tests.odd.made_checkpoints import HEADLESS, LAYOUTS, as_saved, contained, names, with_strangers, wrapped
from tests.odd.outcomes import try_all

DEPTHS = ((1, 1), (1, 2), (2, 1, 1), (1, 1, 1, 1))
FORMS = ("mapping", "torch", "torch", "torch", "legacy", "safetensors", "shards", "around", "broken", "deepspeed")
SUFFIXES = (".pth", ".pt", ".bin", ".ckpt", ".safetensors", "", ".model", ".pth.tar", ".weights", ".PTH")


class Messages(logging.Handler):
    """What is logged."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it."""
        self.records.append(record)

    def said(self, level: int) -> str:
        """All of a level and above."""
        return "\n".join(record.getMessage() for record in self.records if record.levelno >= level)


class Given:
    """A checkpoint and what is known of it.

    Attributes:
        wanted: the tensors that a model has after loading, by its own names.
        damage: what was done to it, nothing for a good one; a damaged one may be refused.
        many: whether there is a second model in it, which is not to be taken.
    """

    def __init__(self, rng: random.Random) -> None:
        self.rng, self.damage, self.many = rng, "", False
        self.depths = rng.choice(DEPTHS)
        self.windows, self.name = [rng.randint(2, 9) for _ in self.depths], "weights"
        if rng.random() < 0.3:  # the name of the file tells them
            window, side = rng.randint(4, 9), rng.choice([64, 96, 128, 160, 256])
            self.windows = [max(1, min(window, side // 4 // 2**i)) for i in range(len(self.depths))]
            self.name = rng.choice([f"swinv2_tiny_window{window}_{side}", f"w_window{window}-256_img{side}.last"])
        self.layout = rng.choice(LAYOUTS)
        self.classes = rng.randint(2, 5)
        model = self.model([(window, window) for window in self.windows])
        generator = torch.Generator().manual_seed(rng.randrange(2**31))
        own = {key: self.drawn(value, generator) for key, value in model.state_dict().items()}
        other = {key: self.drawn(value, generator) for key, value in model.state_dict().items()}
        dtype = rng.choice([torch.float32] * 6 + [torch.float16, torch.bfloat16, torch.float64])
        self.wanted = {key: value.to(dtype).float() for key, value in own.items() if "_extra_state" not in key}
        states = [names(state, self.layout, self.windows) for state in (own, other)]
        states = [{k: v.to(dtype) if v.is_floating_point() else v for k, v in state.items()} for state in states]
        seed = rng.randrange(2**31)
        self.state, self.other = (wrapped(as_saved(state, rng), random.Random(seed)) for state in states)
        self.strange = rng.random() < 0.2
        if self.strange:
            self.state = with_strangers(self.state, rng.choice(["", "model.", "net."]), rng)
        if rng.random() < 0.4:
            self.damage = rng.choice(list(DAMAGES))
            self.state = DAMAGES[self.damage](self.state, rng)
        self.content, self.many = contained(self.state, self.other, rng)
        self.form = rng.choice(
            ["mapping", "torch", "torch", "torch", "legacy", "safetensors", "shards", "around", "broken"]
        )

    def model(self, windows: int | list[tuple[int, int]] = 4) -> ImageClassifier:
        """A classifier that such weights fit."""
        stages = len(self.depths)
        sizes = {"embed_dim": 8, "depths": self.depths, "num_heads": (1, 2, 2, 4)[:stages], "window_size": 4}
        backbone = SwinTransformerV2(**sizes, pretrained_window_sizes=windows, out_indices=(stages - 1,))
        return ImageClassifier(backbone, self.classes)

    @staticmethod
    def drawn(value: Tensor, generator: torch.Generator) -> Tensor:
        """Random numbers in place of weights."""
        return torch.randn(value.shape, generator=generator) if value.is_floating_point() else value

    def __repr__(self) -> str:
        keys = [*self.content][:3] if isinstance(self.content, dict) else type(self.content).__name__
        return f"{self.layout} {self.form} damage={self.damage!r} windows={self.windows} in {keys}: {[*self.state][:3]}"


def one_of(state: dict[str, Tensor], rng: random.Random) -> str:
    """The key of a weight."""
    return rng.choice([key for key, value in state.items() if value.is_floating_point() and "table" not in key])


def changed(change: Any) -> Any:
    """A damage that replaces one tensor."""

    def damage(state: dict[str, Tensor], rng: random.Random) -> dict[str, Any]:
        key = one_of(state, rng)
        return state | {key: change(state[key].detach().clone(memory_format=torch.contiguous_format), rng)}

    return damage


def spoilt(number: float) -> Any:
    """A damage that puts a number into one tensor."""

    def change(value: Tensor, rng: random.Random) -> Tensor:
        value.view(-1)[rng.randrange(value.numel())] = number
        return value

    return changed(change)


def dropped(state: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """Without some of the tensors."""
    gone = set(rng.sample([*state], rng.choice([1, 1, 2, len(state) // 2])))
    return {key: value for key, value in state.items() if key not in gone}


def renamed(state: dict[str, Tensor], rng: random.Random) -> dict[str, Tensor]:
    """With one tensor under another name."""
    key = one_of(state, rng)
    stem, _, kind = key.rpartition(".")
    new = rng.choice([f"{key}_", f"{stem}.base.{kind}", f"{stem}_.{kind}", key.upper(), f"x{key}", kind])
    return {new if name == key else name: value for name, value in state.items()}


DAMAGES = {
    "drop": dropped,
    "rename": renamed,
    "flat": changed(lambda value, rng: value.reshape(-1)),
    "turned": changed(lambda value, rng: value.T if value.ndim == 2 and len(value) != len(value.T) else value[None]),
    "longer": changed(lambda value, rng: torch.cat([value, value])),
    "shorter": changed(lambda value, rng: value[: len(value) // 2]),
    "deeper": changed(lambda value, rng: value[..., None]),
    "scalar": changed(lambda value, rng: value.flatten()[0]),
    "empty": changed(lambda value, rng: value[:0]),
    "whole numbers": changed(lambda value, rng: (value * 100).to(rng.choice([torch.int8, torch.int32, torch.int64]))),
    "truth values": changed(lambda value, rng: value > 0),
    "complex": changed(lambda value, rng: value.to(torch.complex64)),
    "sparse": changed(lambda value, rng: value.float().to_sparse()),
    "quantised": changed(lambda value, rng: torch.quantize_per_tensor(value.float(), 0.1, 3, torch.qint8)),
    "bytes": changed(lambda value, rng: value.to(torch.float8_e4m3fn)),
    "nan": spoilt(float("nan")),
    "infinite": spoilt(float("-inf")),
    "list": changed(lambda value, rng: value.tolist()),
    "array": changed(lambda value, rng: value.float().numpy()),
    "none": changed(lambda value, rng: None),
}


def split(state: dict[str, Tensor], folder: Path, rng: random.Random) -> tuple[Path, str]:
    """Shards and their index; what is wrong with them."""
    count, kind = rng.randint(1, 4), rng.choice(["safetensors", "bin"])
    keys = rng.sample([*state], len(state))
    stem = "model" if kind == "safetensors" else "pytorch_model"
    files = {f"{stem}-{i + 1:05}-of-{count:05}.{kind}": keys[i::count] for i in range(count)}
    places = {key: name for name, part in files.items() for key in part}
    for name, part in files.items():
        save = save_file if kind == "safetensors" else torch.save
        save({key: state[key].contiguous() for key in part}, folder / name)
    one, key = rng.choice([*files]), rng.choice(keys)
    fault = rng.choice(
        [""] * 5 + ["gone", "misnamed", "outside", "absolute", "cut", "no text", "no map", "junk", "moved", "new"]
    )
    index: Any = {"metadata": {"total_size": 1}, "weight_map": places}
    if fault == "gone":
        (folder / one).unlink()
    elif fault == "misnamed":
        (folder / one).rename(folder / f"part_{one}")
    elif fault in ("outside", "absolute"):
        outside = "../x.bin" if fault == "outside" else str(folder / one)
        places[key] = rng.choice([outside, f"a/../../{one}", f"..\\{one}"]) if fault == "outside" else outside
    elif fault == "cut":
        (folder / one).write_bytes((folder / one).read_bytes()[: rng.choice([0, 7, 40, 400])])
    elif fault == "no text":
        places[key] = rng.choice([None, 3, ["x"], "", {}])
    elif fault == "no map":
        index = rng.choice([{}, [], {"weight_map": []}, {"weight_map": {}}, {"weight_map": "x"}, 7, {"window_size": 8}])
    elif fault == "moved":
        places[key] = rng.choice([name for name in files if name != places[key]] or ["model.bin"])
    elif fault == "new":
        places[f"{key}_new"] = one
    path = folder / f"{stem}.{kind}.index.json"
    path.write_text(json.dumps(index) if fault != "junk" else rng.choice(["", "{", "<html>", "[" * 10_000, "null"]))
    return rng.choice([folder, path]), fault


def around(path: Path, rng: random.Random) -> Path:
    """The file in an archive or compressed."""
    kind = rng.choice(["gz", "tar", "tar.gz", "zip"])
    new = path.with_name(rng.choice([f"{path.name}.{kind}", path.name]))
    data = path.read_bytes()
    path.unlink()
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("weights.pth", data)
    elif kind.startswith("tar"):
        with tarfile.open(fileobj=buffer, mode="w:gz" if kind == "tar.gz" else "w") as archive:
            member = tarfile.TarInfo("weights.pth")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    else:
        buffer.write(gzip.compress(data))
    new.write_bytes(buffer.getvalue())
    return new


def broken(path: Path, rng: random.Random) -> str:
    """Damage the bytes of a file; says how."""
    data, how = (
        bytearray(path.read_bytes()),
        rng.choice(["cut", "flip", "flip", "flip", "zeros", "front", "other", "hole"]),
    )
    size = struct.unpack("<Q", data[:8])[0] + 8 if data[8:9] == b"{" else len(data)  # of the header of safetensors
    if how == "cut":
        data = data[: rng.choice([0, 1, 8, 30, 200, len(data) // 2, len(data) - 1, len(data) - 30])]
    elif how == "flip":
        for place in rng.choices(range(size), k=rng.choice([1, 1, 3, 20])):
            data[place] ^= 1 << rng.randrange(8)
    elif how == "zeros":
        data[:] = bytes(len(data))
    elif how == "front":
        data[: rng.choice([1, 4, 60])] = b""
    elif how == "hole":
        place = rng.randrange(size)
        data[place : min(size, place + 200)] = bytes(min(size, place + 200) - place)
    else:
        html, lfs = b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\noid sha256:4d"
        texts = [
            html,
            lfs,
            b"\xef\xbb\xbf" + html,
            b"\x89HDF\r\n\x1a\n" + bytes(90),
            b"\x08\x07\x12\x07pytorch",
            b"epoch,loss\n",
        ]
        array = io.BytesIO()
        np.savez(array, a=np.zeros(3))
        data = bytearray(rng.choice([*texts, array.getvalue(), rng.randbytes(500), b"\x80\x04\x95\x00", b"PK\x03\x04"]))
    path.write_bytes(data)
    return how


def write(given: Given, folder: Path) -> tuple[Any, bool]:
    """The source that is loaded, and whether it must be."""
    rng, good = given.rng, not given.damage
    plain = all(isinstance(value, Tensor) and value.layout == torch.strided for value in given.state.values())
    plain = plain and not any(value.is_quantized for value in given.state.values() if isinstance(value, Tensor))
    if given.form == "deepspeed":
        return deepspeed(given, folder), good
    form = given.form if plain or given.form not in ("safetensors", "shards") else "torch"
    if given.damage == "sparse" and form == "legacy":
        form = "torch"  # what torch refuses of such a file, it refuses of the next one, too
    path = folder / f"{given.name}{rng.choice(SUFFIXES)}"
    if form == "mapping" and isinstance(given.content, dict):
        return given.content, good
    if form == "shards":
        given.many = False
        source, fault = split(given.state, folder, rng)
        given.damage = given.damage or fault
        return source, not given.damage
    if form == "safetensors" or (form == "broken" and plain and rng.random() < 0.3):
        given.many = False
        save_file({key: value.contiguous() for key, value in given.state.items()}, path)
    else:
        torch.save(given.content, path, _use_new_zipfile_serialization=form != "legacy")
    if form == "around":
        given.damage = "around"
        return around(path, rng), False
    if form == "broken":
        given.damage += f" {broken(path, rng)}"
        return path, False
    objects = form == "legacy" and {"args", "metrics"} & {*given.content} if isinstance(given.content, dict) else False
    return path, good and not objects


def deepspeed(given: Given, folder: Path) -> Path:
    """A folder of DeepSpeed."""
    inner = folder / given.rng.choice(["global_step9", "checkpoint"])
    inner.mkdir()
    (folder / "latest").write_text(inner.name)
    given.many = False
    torch.save({"module": given.state, "ds_version": "0.16"}, inner / "mp_rank_00_model_states.pt")
    return folder


def use(given: Given) -> str | None:
    """Load it; what is wrong, if anything is."""
    messages, logger = Messages(), logging.getLogger("swinv2")
    logger.addHandler(messages)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / rng_name(given.rng)
            folder.mkdir()
            source, good = write(given, folder)
            return check(given, source, good, folder, messages)
    finally:
        logger.removeHandler(messages)
        logger.setLevel(level)


def rng_name(rng: random.Random) -> str:
    """Name of a folder, which tells no window."""
    return rng.choice(["x", "windows", "模型", "a b", "run_256"])


def check(given: Given, source: Any, good: bool, folder: Path, messages: Messages) -> str | None:
    """What is wrong with what becomes of a source."""
    model = given.model()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    try:
        report = load_weights(model, source)
    except (ValueError, OSError) as error:
        named = not isinstance(source, Path) or source.name in str(error)
        if good or not named or "weights_only" in str(error) or "Traceback" in str(error):
            return f"refused: {error}"
        raise
    warned = messages.said(logging.WARNING)
    for key, value in model.state_dict().items():
        if "_extra_state" in key or torch.equal(value, given.wanted[key]):
            continue
        if key not in report.missing or not torch.equal(value, before[key]):
            return f"{key} is other"
        layout_lacks = given.layout in HEADLESS and (key.startswith("head.") or given.layout == "features")
        if good and not (layout_lacks and re.search(r"^head\.|\.norm\d+\.", key)):
            return f"{key} is lost: {warned}"
        if not re.search("lacks|stay as they were", warned):
            return f"{key} stays in silence: {report}"
    windows = [(window, window) for window in given.windows]
    if model.backbone.pretrained_window_sizes != windows and "does not say" not in warned:
        return f"windows are {model.backbone.pretrained_window_sizes}"
    if good and given.many and "holds 2 models" not in messages.said(logging.INFO):
        return "the choice is not told"
    told = given.name != "weights" and isinstance(source, Path) and given.name in source.name
    if good and told and model.backbone.pretrained_window_sizes != windows:
        return f"windows are not those of the name: {model.backbone.pretrained_window_sizes}"
    if good and given.layout in ("ours", "torchvision") and warned and not given.strange:
        return f"warned of nothing: {warned}"
    return convert_too(given, source, folder) if good and given.rng.random() < 0.3 else None


def convert_too(given: Given, source: Any, folder: Path) -> str | None:
    """What is wrong with the same in the names of another project."""
    target = given.rng.choice(["official", "timm", "hf", "mmpretrain", "torchvision"])
    if target == "torchvision" and given.layout not in ("ours", "torchvision"):
        return None
    convert(source, folder / "out.pth", target)
    written = torch.load(folder / "out.pth", weights_only=True)
    written = written["model"] if target == "official" else written
    lack = ("head.", f"backbone.norm{len(given.depths) - 1}.")[
        : (given.layout in HEADLESS) + (given.layout == "features")
    ]
    own = {key: value for key, value in given.wanted.items() if not key.startswith(lack or "-")}
    expected = names(own, target, given.windows)
    if written.keys() != expected.keys():
        return f"{target} has {sorted(written.keys() ^ expected.keys())[:4]}"
    model = given.model()
    load_weights(model, folder / "out.pth")
    other = [key for key, value in own.items() if not torch.equal(model.state_dict()[key], value)]
    return f"{target}: {other[:3]} come back otherwise" if other else None


@pytest.mark.filterwarnings("ignore:.*quantized tensor creation functions")
def test_checkpoints_are_loaded_or_refused() -> None:
    """Every tensor is the one that was saved, or it is said which is not, or the checkpoint is refused."""
    try_all(Given, use)
