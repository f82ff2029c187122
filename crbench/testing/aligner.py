"""The rules of an aligner and its transform."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import attrs
import numpy as np
import torch

from crbench.api.capabilities import CountsParameters, GalleryByRate, MayLearnNothing, Restorable, Stateful
from crbench.api.context import RunContext
from crbench.api.interfaces import Aligner, Transform
from crbench.api.pairing import TrainFeatures
from crbench.errors import CrbenchError
from crbench.records import NEEDS, Features, TestFeatures, TestRows
from crbench.registry.contract import close, other_companions
from crbench.testing.fakes import train_features
from crbench.testing.require import (
    another_order,
    are_tensors,
    global_seeds,
    no_global_change,
    require,
    require_dims,
    same,
)


@attrs.frozen(slots=False, eq=False)
class Case:
    """An aligner on training features; every rule works on copies of them."""

    factory: Callable[[], Aligner]
    train: TrainFeatures = attrs.field(factory=train_features)

    @property
    def own_train(self) -> TrainFeatures:
        """A copy of the training features."""
        return TrainFeatures(source=_copied(self.train.source), target=_copied(self.train.target))

    def fit(self, train: TrainFeatures, *, global_seed: int = 1) -> Transform:
        """A fresh aligner, fitted by the run's seed 0 under other global random states."""
        made = self.factory()
        require(isinstance(made, Aligner), f"{made!r} has no method fit(train, *, run)")
        with global_seeds(global_seed):
            transform = made.fit(train, run=RunContext(seed=0))
        require(isinstance(transform, Transform), f"fit returned {transform!r}, which cannot be called")
        return transform

    @cached_property
    def transform(self) -> Transform:
        """Fitted once."""
        return self.fit(self.own_train)

    @property
    def source(self) -> TestFeatures:
        """The source features as test features, in memory of their own each time."""
        return _shown(self.train.source)

    def map(self, feats: TestFeatures) -> TestFeatures:
        """What the transform makes of the features."""
        result = self.transform(feats)
        require(isinstance(result, TestFeatures), f"the transform returned {type(result).__name__}, not TestFeatures")
        require(len(result) == len(feats), f"the transform returned {len(result)} rows for {len(feats)}")
        return result


def interface(case: Case) -> None:
    """An aligner has a method fit(train, *, run)."""
    made = case.factory()
    require(isinstance(made, Aligner), f"{made!r} has no method fit(train, *, run)")


def callable_transform(case: Case) -> None:
    """What fit returns can be called."""
    require(callable(case.transform), "fit returned something that cannot be called")


def returns_features(case: Case) -> None:
    """The transform returns TestFeatures of as many rows, and asks for no person and no key."""
    case.map(case.source)


def training_features_kept(case: Case) -> None:
    """A fit leaves the training features as they are."""
    train = case.own_train
    case.fit(train)
    kept = same(train.source.x, case.train.source.x) and same(train.target.x, case.train.target.x)
    require(kept, "fit changed the training features")


def repeatable_fit(case: Case) -> None:
    """Two fits with the same run.seed give the same, whatever the global random states are."""
    again = case.fit(case.own_train, global_seed=2)(case.source)
    message = "two fits with the same run.seed differ; draw from run.seed alone"
    require(same(case.map(case.source).x, again.x), message)


def input_kept(case: Case) -> None:
    """The transform leaves its input as it is."""
    given = case.source
    case.map(given)
    require(same(given.x, case.train.source.x), "the transform changed its input")


def dtype(case: Case) -> None:
    """Features stay float32 tensors on their device."""
    given, result = case.train.source.x, case.map(case.source).x
    require(result.dtype == torch.float32, f"features are {result.dtype}, not float32")
    require(result.device == given.device, f"features moved to {result.device}")


def no_gradient(case: Case) -> None:
    """Features carry no gradient."""
    require(not case.map(case.source).x.requires_grad, "features carry gradients; detach them")


def finite(case: Case) -> None:
    """Features of training rows are finite."""
    require(bool(torch.isfinite(case.map(case.source).x).all()), "features are not finite")


def dims(case: Case) -> None:
    """Where lengths are given, they are whole numbers from 1 to the number of columns."""
    result = case.map(case.source)
    require_dims(result.dims, len(result), result.x.shape[1])


def permutation(case: Case) -> None:
    """A row's feature does not depend on the place of the row."""
    order = another_order(len(case.train.source))
    permuted = case.map(case.source.take(order))
    expected = case.map(case.source).x[order]
    require(close(permuted.x, expected), "shuffled rows give other features; rows must keep their order")


def companions(case: Case) -> None:
    """A row's feature does not depend on the other rows."""
    others = other_companions(case.source.rows.rates)
    kept = np.flatnonzero(others == np.arange(len(others)))
    message = "the feature of a row depends on the other rows; say transductive=True in the entry if it is meant to"
    require(close(case.map(case.source.take(others)).x[kept], case.map(case.source).x[kept]), message)


def zero_features(case: Case) -> None:
    """Features that are all zero, as of a dead network, are mapped to finite ones, LR and HR."""
    for feats, which in ((case.source, "features"), (_shown(case.train.target), "HR features")):
        if bool(torch.isfinite(case.map(feats).x).all()):  # else `finite` or `target_rows` tells
            _require_sound(case, attrs.evolve(feats, x=torch.zeros_like(feats.x)), f"{which} that are all zero")


def zero_training(case: Case) -> None:
    """A fit on features that are all zero gives a transform, or a crbench.errors.DataError."""
    train = case.own_train
    train.source.x.zero_()
    train.target.x.zero_()
    _fitted_or_refused(case, train, "features that are all zero")


def widths(case: Case) -> None:
    """A fit on LR and HR features of unequal length gives a transform, or a crbench.errors.DataError."""
    train = case.own_train
    wider = attrs.evolve(train.target, x=torch.cat([train.target.x, train.target.x[:, :3]], dim=1))
    _fitted_or_refused(case, attrs.evolve(train, target=wider), "LR and HR features of unequal length")


def global_state(case: Case) -> None:
    """A fit and a transform leave seeds, threads and other settings of the process as they are."""
    made = case.factory()
    with no_global_change("the fit"):
        transform = made.fit(case.own_train, run=RunContext(seed=0))
    given = case.source
    with no_global_change("the transform"):
        transform(given)


def no_rows(case: Case) -> None:
    """No rows at all are no error."""
    source = case.source
    _require_sound(case, TestFeatures(x=source.x[:0], rows=source.rows.take(slice(0, 0))), "no rows at all")


def one_row(case: Case) -> None:
    """A single row is enough."""
    _require_sound(case, case.source.take(np.array([0])), "one row")


def target_rows(case: Case) -> None:
    """Rows of the target domain (HR) are accepted."""
    _require_sound(case, _shown(case.train.target), "HR rows only")


def unseen_rate(case: Case) -> None:
    """Rows at a rate that was not trained are accepted."""
    source = case.train.source
    known = Features(x=source.x, rows=source.rows.at_rate(2.5))
    _require_sound(case, _shown(known), "a rate that was not trained")


def unseen_modality(case: Case) -> None:
    """Rows of a modality that was not trained are accepted."""
    source = case.source
    rows = attrs.evolve(source.rows, modality="unseen")
    _require_sound(case, TestFeatures(x=source.x, rows=rows), "a modality that was not trained")


def gallery_views(case: Case) -> None:
    """A transform that asks for the gallery by rate takes what it asked for, and gives what compares with queries."""
    if not isinstance(case.transform, GalleryByRate):
        return
    gallery = _shown(case.train.target)
    for domain, mask in case.source.rows.domains():
        wanted: object = case.transform.gallery_for(gallery.rows, domain.rate)
        asked = wanted if isinstance(wanted, tuple) else (wanted,)
        views = [attrs.evolve(gallery, rows=rows) for rows in asked if isinstance(rows, TestRows)]
        require(0 < len(views) == len(asked), f"gallery_for gave {wanted!r}, not TestRows or a tuple of them")
        found = case.map(attrs.evolve(views[0], views=tuple(views[1:]))).x
        query = case.map(case.source.take(np.flatnonzero(mask))).x
        lengths = f"gallery features have {found.shape[1]} columns, those of queries {query.shape[1]}"
        require(found.shape[1] == query.shape[1], lengths)


def restored(case: Case) -> None:
    """A transform that has a state gives the same features when its aligner restores it."""
    if not isinstance(case.transform, Stateful):
        return
    state = case.transform.state()
    require(are_tensors(state), "state() must map names to tensors")
    made = case.factory()
    if not isinstance(made, Restorable):
        raise AssertionError("the transform has state(), but its aligner has no restore(state)")
    again = made.restore({name: tensor.clone() for name, tensor in state.items()})
    expected = case.map(case.source).x
    require(same(again(case.source).x, expected), "the restored transform gives other features")


def parameter_count(case: Case) -> None:
    """A transform that counts its parameters gives a whole number."""
    if isinstance(case.transform, CountsParameters):
        count: object = case.transform.parameter_count
        require(type(count) is int and count >= 0, f"parameter_count is {count!r}, not a whole number from 0")


def learning(case: Case) -> None:
    """An aligner that says to learn nothing gives the same features when it is fitted on no row."""
    made = case.factory()
    if not isinstance(made, MayLearnNothing):
        return
    require(isinstance(made.learns, bool), f"learns is {made.learns!r}, not True or False")
    if not made.learns:
        nobody = np.arange(0)
        transform = case.fit(TrainFeatures(case.train.source.take(nobody), case.train.target.take(nobody)))
        expected = case.map(case.source).x
        require(same(transform(case.source).x, expected), "fitted on no row, it gives other features, so it learns")


def _shown(feats: Features) -> TestFeatures:
    """A copy of the features as a transform sees them that needs all that it can ask for."""
    return TestFeatures.of(_copied(feats), NEEDS)


def _copied(feats: Features) -> Features:
    return attrs.evolve(feats, x=feats.x.clone(), dims=None if feats.dims is None else feats.dims.clone())


def _fitted_or_refused(case: Case, train: TrainFeatures, which: str) -> None:
    try:
        case.fit(train)
    except CrbenchError:
        return
    except Exception as error:
        hint = "refuse what cannot be fitted, as crbench.api.check_alignable does"
        raise AssertionError(f"{which}: fit raised {type(error).__name__}: {error}; {hint}") from error


def _require_sound(case: Case, feats: TestFeatures, which: str) -> None:
    """The transform accepts these rows and returns them with finite features."""
    require(bool(torch.isfinite(case.map(feats).x).all()), f"{which}: features are not finite")


RULES: Sequence[Callable[[Case], None]] = (
    interface,
    callable_transform,
    returns_features,
    training_features_kept,
    repeatable_fit,
    input_kept,
    dtype,
    no_gradient,
    finite,
    dims,
    permutation,
    companions,
    global_state,
    zero_features,
    zero_training,
    widths,
    no_rows,
    one_row,
    target_rows,
    unseen_rate,
    unseen_modality,
    gallery_views,
    restored,
    parameter_count,
    learning,
)
