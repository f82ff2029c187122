"""The VPFA aligner: its hyper-parameters, and from training features to a fitted transform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, get_args

import attrs
import torch
from attrs import validators as v
from torch import Tensor

from crbench.api import Flattened, RunContext, Scope, TrainFeatures, by_scope, check_alignable
from crbench.errors import DataError
from crbench_vpfa import weights as weight_files
from crbench_vpfa.module import Gate, Init, VectorPanning
from crbench_vpfa.pairs import PairRule, draw, paired
from crbench_vpfa.resume import Resume
from crbench_vpfa.train import Recipe, train_module
from crbench_vpfa.transform import PanningTransform, Precision, from_state

_AT_LEAST_1 = [v.instance_of(int), v.ge(1)]


@attrs.frozen
class VPFA:
    """Vector panning feature alignment (arXiv:2510.00936v1); the defaults are the paper's.

    Attributes:
        pairs: ``id_mean``: HR mean of each identity (Eq. 2) and LR mean at each rate; ``id_mean_pooled``: LR mean over
            all rates together; ``image``: each LR image with its HR version, as in the official code; ``bootstrap``:
            means of a random half of the identity's images, anew for each draw.
        min_count: images that an identity needs on either side for a mean.
        draws: training pairs drawn, by cycling through shuffled identities; 0 takes every pair once.
        scope: one module for all rates (``shared``), or one for each (``per_rate``).
        hidden: width of the blocks.
        blocks: number of Linear, LayerNorm, ReLU blocks.
        gate: ``tanh`` or ``none``.
        residual: the output is z + f(z), not f(z).
        init: ``normal`` with `init_std`, or the ``framework`` default.
        init_std: standard deviation of the linear weights.
        recipe: how modules are trained.
        weights: a ``.safetensors`` file, or a folder with the official ``mlp_model_{2,3,4}x.pth``; `fit` then takes
            these weights and trains nothing, so all settings above but `gate` and `residual` are without effect.
        precision: of the fitted network when it is applied: ``float32`` or ``bf16``; training is in float32.
        compile: let ``torch.compile`` fuse the fitted network; worth its seconds for many features on a GPU.
    """

    pairs: PairRule = attrs.field(default="id_mean", validator=v.in_(get_args(PairRule)))
    min_count: int = attrs.field(default=2, validator=_AT_LEAST_1)
    draws: int = attrs.field(default=5000, validator=[v.instance_of(int), v.ge(0)])
    scope: Scope = attrs.field(default="shared", validator=v.in_(("shared", "per_rate")))
    hidden: int = attrs.field(default=2048, validator=_AT_LEAST_1)
    blocks: int = attrs.field(default=3, validator=_AT_LEAST_1)
    gate: Gate = attrs.field(default="tanh", validator=v.in_(("tanh", "none")))
    residual: bool = attrs.field(default=True, validator=v.instance_of(bool))
    init: Init = attrs.field(default="normal", validator=v.in_(("normal", "framework")))
    init_std: float = attrs.field(default=1e-3, converter=float, validator=v.gt(0))
    recipe: Annotated[Recipe, Flattened()] = attrs.field(factory=Recipe)
    weights: Path | None = attrs.field(default=None, converter=attrs.converters.optional(Path))
    precision: Precision = attrs.field(default="float32", validator=v.in_(("float32", "bf16")))
    compile: bool = attrs.field(default=False, validator=v.instance_of(bool))

    def __attrs_post_init__(self) -> None:
        if self.pairs == "id_mean_pooled" and self.scope == "per_rate":
            raise ValueError("pairs: id_mean_pooled joins the rates, so no rate has pairs of its own; use scope=shared")

    def fit(self, train: TrainFeatures, *, run: RunContext) -> PanningTransform:
        """Train on pairs of LR and HR features, or load `weights`.

        Raises:
            DataError: NaN or infinite values, LR and HR features of different length, no pairs, a loss that is not
                finite, or weights that are damaged or do not fit.
        """
        check_alignable(train)
        dim = int(train.source.x.shape[1])
        if self.weights is not None:
            return self._load(self.weights, dim)
        generator = torch.Generator().manual_seed(run.seed)
        parts = list(by_scope(paired(train, self.pairs, self.min_count, run.logger), self.scope))
        if self.pairs == "id_mean_pooled":
            parts = [(tuple(domain for domain, _ in train.source.rows.domains()), pairs) for _, pairs in parts]
        drawn = [draw(pairs, train, self.pairs, self.draws, generator) for _, pairs in parts]
        modules, resume = {}, Resume.of(run.session.fit)
        with run.progress(sum(self.recipe.steps(len(part.order)) for part in drawn), "vpfa fit", "step") as tracker:
            for (domains, _), part in zip(parts, drawn, strict=True):
                module = VectorPanning(
                    dim, hidden=self.hidden, blocks=self.blocks, gate=self.gate, residual=self.residual
                )
                module.initialise(self.init, self.init_std, generator)
                module.to(part.source.device)
                if resume.finished(module):
                    tracker.advance(self.recipe.steps(len(part.order)))
                else:
                    train_module(module, part, self.recipe, generator=generator, tracker=tracker, resume=resume)
                resume.done.append(module)
                modules[domains] = module.eval().requires_grad_(False)
        return PanningTransform(modules, self.precision, self.compile)

    def restore(self, state: Mapping[str, Tensor]) -> PanningTransform:
        """The transform that had this state.

        Raises:
            DataError: it is not the state of such a transform.
        """
        transform = from_state(state, gate=self.gate, residual=self.residual)
        return attrs.evolve(transform, precision=self.precision, compile=self.compile)

    def _load(self, path: Path, dim: int) -> PanningTransform:
        transform = weight_files.load(path, gate=self.gate, residual=self.residual)
        sizes = {module.dim for module in transform.modules.values()}
        if sizes != {dim}:
            raise DataError(
                f"vpfa weights {path}: made for features of {', '.join(map(str, sorted(sizes)))} columns, but the "
                f"backbone gives {dim}"
            )
        return attrs.evolve(transform, precision=self.precision, compile=self.compile)
