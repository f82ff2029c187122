"""The rules of a backbone that is ready to extract."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import attrs
import numpy as np
import torch
from torch import Tensor

from crbench.api.capabilities import CountsParameters, HasInferenceForm, Trainable
from crbench.api.interfaces import Backbone
from crbench.data.preprocess import Preprocess
from crbench.records import Batch, Encoded
from crbench.registry.contract import close
from crbench.testing.require import another_order, are_tensors, no_global_change, require, require_dims, same

COUNT = 4
"""Images in the batch of a case: rates 1 to 4, cameras 1 to 3 and an unknown one."""


@attrs.frozen(slots=False, eq=False)
class Case:
    """A backbone and a batch of random inputs of its own size."""

    factory: Callable[[], Backbone]

    @cached_property
    def backbone(self) -> Backbone:
        """Built once."""
        made = self.factory()
        require(isinstance(made, Backbone), f"{made!r} lacks dim, preprocess or extract(batch)")
        return made

    @property
    def batch(self) -> Batch:
        """The same batch each time, in memory of its own."""
        inputs = torch.randn(COUNT, 3, *self.backbone.preprocess.size, generator=torch.Generator().manual_seed(0))
        return Batch(inputs, np.array([1, 2, 3, 4], dtype=np.float32), np.array([1, 2, 3, -1]))

    def extract(self, batch: Batch) -> Encoded:
        """What the backbone makes of a batch."""
        encoded = self.backbone.extract(batch)
        require(isinstance(encoded, Encoded), f"extract returned {type(encoded).__name__}, not Encoded")
        return encoded

    @cached_property
    def x(self) -> Tensor:
        """Features of `batch`."""
        x: Tensor = self.extract(self.batch).x
        return x


def interface(case: Case) -> None:
    """A backbone has dim, preprocess and extract(batch)."""
    require(isinstance(case.factory(), Backbone), f"{case.factory()!r} lacks dim, preprocess or extract(batch)")


def preprocess(case: Case) -> None:
    """The attribute preprocess is a crbench.api.Preprocess."""
    require(isinstance(case.backbone.preprocess, Preprocess), "preprocess is not a crbench.api.Preprocess")


def returns_encoded(case: Case) -> None:
    """The method extract returns Encoded."""
    case.extract(case.batch)


def shape(case: Case) -> None:
    """Features have one row for each image and dim columns."""
    expected = (COUNT, case.backbone.dim)
    require(tuple(case.x.shape) == expected, f"features have shape {tuple(case.x.shape)}, expected {expected}")


def dtype(case: Case) -> None:
    """Features are float32."""
    require(case.x.dtype == torch.float32, f"features are {case.x.dtype}, not float32")


def no_gradient(case: Case) -> None:
    """Features carry no gradient."""
    require(not case.x.requires_grad, "features carry gradients; extract under torch.no_grad()")


def finite(case: Case) -> None:
    """Features are finite."""
    require(bool(torch.isfinite(case.x).all()), "features are not finite")


def dims(case: Case) -> None:
    """Where lengths are given, they are whole numbers from 1 to dim."""
    require_dims(case.extract(case.batch).dims, COUNT, case.backbone.dim)


def input_kept(case: Case) -> None:
    """An extraction leaves its input as it is."""
    batch = case.batch
    case.extract(batch)
    require(same(batch.inputs, case.batch.inputs), "extract changed its input")


def repeatable(case: Case) -> None:
    """Two extractions of the same batch are equal bit for bit."""
    first, again = (case.extract(case.batch).x for _ in range(2))
    require(same(first, again), "two extractions differ")


def permutation(case: Case) -> None:
    """An image's feature does not depend on its place in the batch."""
    batch = case.batch
    order = another_order(COUNT)
    moved = case.extract(Batch(batch.inputs[order], batch.rates[order], batch.camids[order]))
    require(close(moved.x, case.x[order]), "shuffled rows give other features; rows must keep their order")


def batch_independence(case: Case) -> None:
    """An image's feature does not depend on the others of its batch."""
    batch = case.batch
    single = case.extract(Batch(batch.inputs[:1], batch.rates[:1], batch.camids[:1]))
    require(close(single.x, case.x[:1]), "an image's feature depends on the others of its batch")


def flat_images(case: Case) -> None:
    """Images of one colour have finite features."""
    batch = case.batch
    flat = case.extract(Batch(torch.zeros_like(batch.inputs), batch.rates, batch.camids))
    wanted = bool(torch.isfinite(case.x).all())  # else `finite` tells
    require(not wanted or bool(torch.isfinite(flat.x).all()), "images of one colour: features are not finite")


def global_state(case: Case) -> None:
    """An extraction leaves seeds, threads and other settings of the process as they are."""
    backbone, batch = case.backbone, case.batch
    with no_global_change("extract"):
        backbone.extract(batch)


def state(case: Case) -> None:
    """The state of a trainable backbone holds named tensors."""
    if isinstance(case.backbone, Trainable):
        found = case.backbone.state()
        require(len(found) > 0 and are_tensors(found), "state() of a trainable backbone must hold named tensors")


def inference_form(case: Case) -> None:
    """The form for inference gives the same features but for roundings, and leaves the backbone as it is."""
    if isinstance(case.backbone, HasInferenceForm):
        found = case.backbone.for_inference()
        require(isinstance(found, Backbone), f"for_inference gave {type(found).__name__}, not a backbone")
        before, after = case.x, Case(lambda: found)
        require(after.backbone.dim == case.backbone.dim, "the form for inference has another dim")
        require(after.backbone.preprocess == case.backbone.preprocess, "the form for inference has another preprocess")
        require(close(after.x, before), "the form for inference gives other features")
        require(same(case.extract(case.batch).x, before), "for_inference changed the backbone")


def parameter_count(case: Case) -> None:
    """A backbone that counts its parameters gives a whole number."""
    if isinstance(case.backbone, CountsParameters):
        count: object = case.backbone.parameter_count
        require(type(count) is int and count >= 0, f"parameter_count is {count!r}, not a whole number from 0")


RULES: Sequence[Callable[[Case], None]] = (
    interface,
    preprocess,
    returns_encoded,
    shape,
    dtype,
    no_gradient,
    finite,
    dims,
    input_kept,
    repeatable,
    permutation,
    batch_independence,
    flat_images,
    global_state,
    state,
    inference_form,
    parameter_count,
)
