"""Released checkpoints: what they say of the network they belong to, and a strict way into it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import attrs
import torch
from torch import Tensor

from crbench.api import read_tensors
from crbench.errors import DataError
from crbench_transreid.network import TransReID
from crbench_transreid.vit import ARCHITECTURES

LOGGER = logging.getLogger("crbench")
SIDE = "base.sie_embed"
HEAD = "classifier"
_COMMON = ("base.cls_token", "base.pos_embed")
"""Names that every such network has."""


@attrs.frozen(eq=False)
class Checkpoint:
    """The tensors of a file.

    Attributes:
        classes: training identities of its classifier; 0 where it has none.
        side: its side information embeddings; 0 where it has none.
    """

    path: Path
    tensors: Mapping[str, Tensor]
    classes: int
    side: int


@attrs.frozen
class Report:
    """How a checkpoint and a network went together, by key.

    Attributes:
        matched: what features are computed with.
        ignored: in the file, but without effect on features: classifiers, the ImageNet classifier and, with the jigsaw
            patch module, the last block and norm that its two branches replace. Loaded where the shape fits.
        missing: in the network only, without effect on features; left at initial values.
        unexpected: in the file only; never filled in a report of `load`, which refuses such a file.
    """

    matched: tuple[str, ...]
    ignored: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]

    def __str__(self) -> str:
        """One line with the number of keys of each kind."""
        return ", ".join(f"{len(keys)} {kind}" for kind, keys in attrs.asdict(self).items())


def read_checkpoint(path: Path) -> Checkpoint:
    """The tensors of a file, see `crbench.api.read_tensors` for what may be around them.

    Raises:
        DataError: the file is missing, damaged, holds code, or its classifier or side information is misshapen.
    """
    tensors = read_tensors(path, _COMMON)
    head, side = tensors.get(f"{HEAD}.weight"), tensors.get(SIDE)
    if head is not None and head.ndim != 2:
        raise DataError(f"weights {path}: {HEAD}.weight has shape {tuple(head.shape)}, expected (identities, width)")
    if side is not None and (side.ndim != 3 or side.shape[1] != 1):
        raise DataError(f"weights {path}: {SIDE} has shape {tuple(side.shape)}, expected (number, 1, width)")
    return Checkpoint(
        path=path,
        tensors=tensors,
        classes=0 if head is None else len(head),
        side=0 if side is None else len(side),
    )


def load(model: TransReID, checkpoint: Checkpoint) -> Report:
    """Fill a network; nothing is broadcast, resized or passed over in silence.

    Raises:
        DataError: a tensor that features need is missing, of another shape or not finite, or one is unexpected. The
            network is then unchanged.
    """
    report = _compare(model, checkpoint)
    wanted = model.state_dict()
    _refuse(checkpoint.path, "lacks", _needed(model) - set(report.matched))
    _refuse(checkpoint.path, "holds unexpected", set(report.unexpected))
    for key in report.matched:
        _check(checkpoint, key, wanted[key])
    fitting = {
        key: tensor
        for key, tensor in checkpoint.tensors.items()
        if key in wanted and tensor.shape == wanted[key].shape and torch.isfinite(tensor).all()
    }
    model.load_state_dict(fitting, strict=False)
    LOGGER.info("weights %s: %s", checkpoint.path.name, report)
    return report


def _compare(model: TransReID, checkpoint: Checkpoint) -> Report:
    wanted, found, needed = set(model.state_dict()), set(checkpoint.tensors), _needed(model)
    idle = {key for key in found if is_idle(key, model)}
    return Report(
        matched=tuple(sorted(found & needed)),
        ignored=tuple(sorted(idle)),
        missing=tuple(sorted(wanted - found - needed)),
        unexpected=tuple(sorted(found - needed - idle)),
    )


def _needed(model: TransReID) -> set[str]:
    return {key for key in model.state_dict() if not is_idle(key, model)}


def is_idle(key: str, model: TransReID) -> bool:
    """Whether features do not depend on the tensor of this key."""
    replaced = (f"base.blocks.{len(model.base.blocks) - 1}.", "base.norm.") if model.jpm else ()
    return key.startswith((HEAD, "base.fc.", *replaced)) or key.endswith(".num_batches_tracked")


def _refuse(path: Path, fault: str, keys: set[str]) -> None:
    if not keys:
        return
    listed = sorted(keys)
    more = f" and {len(listed) - 3} more" if len(listed) > 3 else ""
    raise DataError(
        f"weights {path}: the file {fault} {len(listed)} tensors ({', '.join(listed[:3])}{more}); "
        f"{_advice(listed, fault == 'lacks')}"
    )


def _advice(keys: list[str], lacking: bool) -> str:
    """What most likely does not fit; keys of an own group tell it."""
    groups = [
        (("b1.", "b2.", "bottleneck_"), "jpm", "the jigsaw patch module"),
        ((SIDE,), "sie", "side information"),
        (("bottleneck.",), "", "a BN neck"),
    ]
    for beginnings, parameter, name in groups:
        if all(key.startswith(beginnings) for key in keys):
            trained = f"it was trained {'without' if lacking else 'with'} {name}"
            return f"{trained}; choose a preset whose {parameter} fits" if parameter else trained
    return f"it belongs to another network; choose the preset it was trained with (architectures: {_names()})"


def _names() -> str:
    return ", ".join(ARCHITECTURES)


def _check(checkpoint: Checkpoint, key: str, wanted: Tensor) -> None:
    tensor = checkpoint.tensors[key]
    if tensor.shape != wanted.shape:
        advice = "choose the preset with its architecture"
        if key == "base.pos_embed" and tensor.shape[-1] == wanted.shape[-1]:
            advice = "it was trained with another size or stride; choose the preset with these"
        raise DataError(
            f"weights {checkpoint.path}: {key} has shape {tuple(tensor.shape)}, expected {tuple(wanted.shape)}; "
            f"{advice}"
        )
    if not torch.isfinite(tensor).all():
        raise DataError(f"weights {checkpoint.path}: {key} holds NaN or infinite values")
