"""Objectives other than the usual one, phases, and the usual one against a plain loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import attrs
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from crbench.api.context import RunContext
from crbench.records import Samples
from crbench.training import (
    Embedder,
    IdTriplet,
    Objective,
    ParameterGroup,
    Phase,
    PKSampler,
    Recipe,
    TrainBatch,
    identity_classifier,
    seeded,
    train,
    train_objective,
)
from crbench.training.augment import augment
from crbench.training.losses import batch_hard_triplet
from crbench.training.objective import Loss, optimizer_for
from crbench.training.recipe import learning_rate

MakeModel = Callable[..., Embedder]


class Masked(Objective):
    """Two masks beside a network, and a record of the batches."""

    def __init__(self, model: Embedder, persons: int) -> None:
        super().__init__()
        self.model = model
        self.classifier = identity_classifier(model.dim, persons)
        self.masks = nn.ParameterList([torch.zeros(model.dim), torch.zeros(model.dim)])
        self.seen: list[TrainBatch] = []

    def forward(self, batch: TrainBatch) -> Loss:
        self.seen.append(batch)
        before, _ = self.model(batch.inputs)
        masks = torch.stack(list(self.masks))[(batch.rates > 1).long()]
        logits = self.classifier(before * masks.sigmoid())
        return functional.cross_entropy(logits, batch.labels), {"lr_share": (batch.rates > 1).float().mean()}

    def groups(self, recipe: Recipe) -> list[ParameterGroup]:
        masks = [mask for mask in self.masks if mask.requires_grad]
        others = [*self.model.parameters(), *self.classifier.parameters()]
        return [
            ParameterGroup([p for p in others if p.requires_grad]),
            ParameterGroup(masks, lr_factor=10, weight_decay=0.0),
        ]


class HalfLow:
    """Every batch: row i and its LR copy."""

    batch_size = 8
    steps = 3

    def __init__(self, count: int) -> None:
        self._count = count
        self.asked: list[int] = []

    def epoch(self, number: int) -> Sequence[np.ndarray]:
        self.asked.append(number)
        drawn = np.random.default_rng(number).choice(self._count, (self.steps, 4), replace=False)
        return [np.concatenate([rows, rows + self._count]) for rows in drawn]


def plain_loop(problem: Any, model: Embedder, seed: int) -> None:
    """The usual objective, written down in the plainest way."""
    recipe = problem.recipe
    persons, labels = np.unique(problem.rows.pids, return_inverse=True)
    images = torch.stack(
        [torch.from_numpy(np.array(problem.read(problem.rows.row(i)))) for i in range(len(problem.rows))]
    )
    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        classifier = identity_classifier(model.dim, len(persons))
        parameters = [p for module in (model, classifier) for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(parameters, weight_decay=recipe.weight_decay, fused=True)
        model.to(memory_format=torch.channels_last).train()
        for epoch in range(recipe.epochs):
            order = PKSampler(labels, identities=recipe.identities, images=recipe.images, seed=seed).epoch(epoch)
            for step, indices in enumerate(order):
                optimizer.param_groups[0]["lr"] = learning_rate(recipe, epoch + step / len(order))
                targets = torch.from_numpy(labels[indices])
                before, after = model(augment(images[indices], recipe, problem.preprocess, generator))
                smoothing = recipe.label_smoothing
                loss = functional.cross_entropy(classifier(after), targets, label_smoothing=smoothing)
                loss = loss + recipe.triplet_weight * batch_hard_triplet(before, targets)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()


def test_the_engine_gives_the_weights_of_a_plain_loop_bit_for_bit(problem: Any, make_model: MakeModel) -> None:
    engines, plain = make_model(), make_model()
    plain_loop(problem, plain, seed=3)
    train(
        engines,
        problem.rows,
        problem.read,
        recipe=problem.recipe,
        preprocess=problem.preprocess,
        run=RunContext(seed=3),
    )
    expected = plain.state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in engines.state_dict().items())


def test_biases_have_their_own_rate_and_decay(make_model: MakeModel) -> None:
    recipe = Recipe(optimizer="sgd", bias_lr_factor=2, bias_weight_decay=0.25, weight_decay=0.5)
    objective = IdTriplet(make_model(), 5, recipe)
    weights, biases = optimizer_for(objective, recipe).param_groups
    assert (weights["lr_factor"], weights["weight_decay"], len(weights["params"])) == (1, 0.5, 5)
    assert (biases["lr_factor"], biases["weight_decay"], len(biases["params"])) == (2, 0.25, 3)


def test_batches_carry_rates_and_cameras_and_phases_freeze_what_they_will(problem: Any, make_model: MakeModel) -> None:
    model = make_model()
    hr = attrs.evolve(problem.rows, camids=np.arange(len(problem.rows)))
    rows = Samples.concat([hr, hr.at_rate(3)])
    sampler = HalfLow(len(hr))
    kept: dict[str, Any] = {}

    def build(persons: int) -> Objective:
        kept["objective"] = Masked(model, persons)
        return kept["objective"]

    def freeze(objective: Masked) -> None:
        objective.masks[0].requires_grad_(False)
        kept["frozen"] = objective.masks[0].detach().clone()
        kept["free"] = objective.masks[1].detach().clone()

    recipe = attrs.evolve(problem.recipe, epochs=2, warmup_epochs=0)
    history = train_objective(
        build,
        rows,
        problem.read,
        phases=[Phase("all", recipe, sampler=sampler), Phase("one", recipe, begin=freeze, sampler=sampler)],
        preprocess=problem.preprocess,
        run=RunContext(),
    )
    objective = kept["objective"]
    assert [epoch.phase for epoch in history] == ["all", "all", "one", "one"]
    assert history[0].figures == {"lr_share": pytest.approx(0.5)}
    assert sampler.asked == [0, 1, 2, 3]
    assert torch.equal(objective.masks[0], kept["frozen"])
    assert not torch.equal(objective.masks[1], kept["free"])
    batch, drawn = objective.seen[0], HalfLow(len(hr)).epoch(0)[0]
    assert batch.rates.tolist() == [1] * 4 + [3] * 4
    assert batch.camids.tolist() == rows.camids[drawn].tolist()
    assert batch.labels.tolist() == (rows.pids[drawn] - 1).tolist()
    assert not objective.training
