"""Optional capabilities are found by the members of their Protocols, on the shipped plugins as on any other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from crbench_baselines.none import Identity
from crbench_baselines.ridge import Ridge
from crbench_lrar.aligner import LRAR
from crbench_lrar.backbone import LrarBackbone
from crbench_mlr import market1501
from crbench_osnet.backbone import OSNetBackbone
from crbench_synthetic.dataset import SyntheticPedestrians
from crbench_timm.backbone import TimmBackbone

from crbench.api import capabilities, data_capabilities
from crbench.api.context import RunContext
from crbench.harness.cell import parameter_count
from crbench.registry.guard import UNKNOWN
from crbench.testing import RandomBackbone, train_features

OWN = {
    name: value
    for module in (capabilities, data_capabilities)
    for name, value in vars(module).items()
    if value.__class__.__name__ == "_ProtocolMeta" and value.__module__ == module.__name__
}


@pytest.mark.parametrize(
    ("thing", "expected"),
    [
        (TimmBackbone(), {"Trainable", "Stateful", "StartsFromFile", "HoldsNetwork", "HasInferenceForm"}),
        (LRAR(), {"MayLearnNothing", "TakesAnyLength"}),
        (Identity(), {"MayLearnNothing", "TakesAnyLength", "Restorable"}),
        (Ridge(), {"Restorable"}),
        (Ridge().fit(train_features(), run=RunContext()), {"Stateful", "CountsParameters"}),
        (market1501.mlr(), {"CountsImages", "LocatesFolder", "VerifiesFiles"}),
        (SyntheticPedestrians(), {"BringsWeights", "VerifiesFiles"}),
        (RandomBackbone(), set()),
        (lambda feats: feats, set()),
    ],
)
def test_capabilities_of_what_is_shipped(thing: object, expected: set[str]) -> None:
    assert {name for name, capability in OWN.items() if isinstance(thing, capability)} == expected


@pytest.mark.parametrize(
    ("target", "name", "has"),
    [
        (LrarBackbone, "VariesInLength", True),
        (TimmBackbone, "VariesInLength", False),
        (LrarBackbone, "StartsFromFile", True),
        (OSNetBackbone, "StartsFromFile", False),
        (LRAR, "TakesAnyLength", True),
        (Ridge, "TakesAnyLength", False),
    ],
)
def test_what_is_asked_before_anything_is_built_is_seen_on_the_class(target: type, name: str, has: bool) -> None:
    assert isinstance(target, OWN[name]) == has


@pytest.mark.parametrize("name", sorted(OWN))
def test_every_capability_says_what_it_changes_and_what_happens_without_it(name: str) -> None:
    doc = OWN[name].__doc__ or ""
    assert "The user " in doc
    assert "Without it" in doc


class Plain:
    def __call__(self, feats: Any) -> Any:
        return feats


class Kept(Plain):
    def state(self) -> dict[str, torch.Tensor]:
        return {"a": torch.zeros(2, 3), "b": torch.zeros(4)}


class Counted(Kept):
    parameter_count = 7


def test_parameters_are_those_it_counts_else_those_of_its_state_else_unknown() -> None:
    assert [parameter_count(transform, UNKNOWN) for transform in (Counted(), Kept(), Plain())] == [7, 10, None]
