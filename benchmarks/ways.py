"""Networks extracting in several ways: as they are trained, folded, and in bf16; each way's pace and scores."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import torch

from crbench import evaluate
from crbench.api.capabilities import HasInferenceForm
from crbench.api.context import RunContext
from crbench.api.interfaces import Backbone, Reader
from crbench.bench.synthetic import noise_images
from crbench.config.amp import Amp
from crbench.config.run_spec import RunSpec
from crbench.harness.backbone import job_weights, provide_backbone
from crbench.harness.extract.extractor import Extractor
from crbench.harness.extract.forward import Forward
from crbench.harness.extract.pipeline import Pipeline
from crbench.harness.extract.sample import ImageSample
from crbench.harness.fidelity import Fidelity
from crbench.harness.plan import make_plan
from crbench.harness.timing import Clock
from crbench.harness.trial import load_trials, make_reader
from crbench.protocol.presets import OWN_FEATURES
from crbench.records import Batch, Encoded, Features, Samples
from crbench.registry.guard import UNKNOWN
from crbench.results import Extraction
from crbench.store.features import FeatureTable

BATCH = 16


class AsTrained:
    """A backbone without its form for inference."""

    def __init__(self, backbone: Backbone) -> None:
        self._backbone = backbone
        self.dim, self.preprocess = backbone.dim, backbone.preprocess

    def extract(self, batch: Batch) -> Encoded:
        """As the backbone itself does."""
        return self._backbone.extract(batch)


@attrs.frozen(kw_only=True)
class Network:
    """A backbone to be measured.

    Attributes:
        name: NAME[/PRESET].
        settings: of the backbone; random weights where it would need a file.
        weights: what weights it has, in words.
        persons: of mlr-synthetic, trial 0, whose queries and gallery are scored.
        batches: of 16 images from JPEG, whose extraction is timed.
        rounds: turns of all ways, of which the fastest counts, after one that does not.
    """

    name: str
    weights: str
    persons: int
    batches: int
    rounds: int = 3
    settings: dict[str, Any] = attrs.field(factory=dict)


NETWORKS = (
    Network(name="resnet-tiny", weights="as shipped", persons=150, batches=16, rounds=7),
    Network(name="resnet50", weights="random", persons=20, batches=2, settings={"pretrained": "none"}),
    Network(
        name="transreid/market-vit-transreid-stride",
        weights="random",
        persons=6,
        batches=1,
        rounds=2,
        settings={"pretrained": "none"},
    ),
)
"""A small network of ours, and the two that papers on cross-resolution re-identification take most."""


def ways(networks: tuple[Network, ...] = NETWORKS) -> dict[str, dict[str, Any]]:
    """By network and way: seconds per image of the network alone and of an extraction from JPEG, and scores."""
    return {network.name: _of_one(network) for network in networks}


def _of_one(network: Network) -> dict[str, Any]:
    spec = RunSpec(
        dataset="mlr-synthetic",
        backbone=network.name,
        trial=0,
        set={f"backbone.{name}": value for name, value in network.settings.items()},
    )
    job = make_plan(spec).jobs[0]
    trials = load_trials(job, spec, RunContext())
    read = make_reader(job, trials[0].digest_of, Path())
    if network.settings:
        torch.manual_seed(0)
        backbone = job.backbone.build(weights=None, device="cpu")
    else:
        weights = job_weights(job, trials, spec, RunContext())
        backbone = provide_backbone(job, trials, weights, read=read, run=RunContext()).backbone
    split = trials[0].split
    persons = np.unique(split.query.pids)[: network.persons]
    sides = [side.take(np.isin(side.pids, persons)) for side in (split.query, split.gallery)]
    rows = Samples.concat(sides)
    methods: dict[str, tuple[Backbone, Amp]] = {"float32": (backbone, "off"), "bf16": (backbone, "bf16")}
    if isinstance(backbone, HasInferenceForm):
        methods = {"float32, not folded": (AsTrained(backbone), "off"), **methods}
    sample = ImageSample.of(rows, len(rows), backbone, read, size=BATCH, device="cpu", owner=UNKNOWN)
    made = sample.timed([(one, Extraction(batch_size=BATCH, amp=amp)) for one, amp in methods.values()], rounds=1)
    queries = len(sides[0])
    paces = _paces(methods, *noise_images(BATCH * network.batches), network.rounds)
    found = {}
    for name, timed in zip(methods, made, strict=True):
        x = Features(timed.x[:queries], sides[0]), Features(timed.x[queries:], sides[1])
        scores, beside = evaluate(*x, OWN_FEATURES).scores, Fidelity.of(made[0].x, timed.x)
        found[name] = {
            **paces[name],
            "R1": scores.rank(1),
            "mAP": scores["mAP"],
            "least_cosine": float(beside.cosines.min()),
            "flips": beside.flips,
        }
    return {"weights": network.weights, "images": len(rows), "batch": BATCH, "ways": found}


def _paces(
    methods: Mapping[str, tuple[Backbone, Amp]], rows: Samples, decode: Reader, rounds: int
) -> dict[str, dict[str, float]]:
    """Seconds per image of the network alone, and the share of this pace that an extraction from JPEG keeps.

    The fastest of rounds in which all take turns, as others use the machine, too. An extraction folds the network and
    looks at its first batch twice; what it is held against does so, too.
    """
    preprocess = next(iter(methods.values()))[0].preprocess
    loaded = list(Pipeline(decode, preprocess, batch_size=BATCH, device="cpu", workers=2).batches(rows))
    ids = np.arange(2 * len(rows), dtype=np.uint64).view("V16")  # any ids that differ
    seconds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}
    for _ in range(1 + rounds):
        for name, (backbone, amp) in methods.items():
            how = Extraction(batch_size=BATCH, amp=amp)
            extractor = Extractor(backbone, decode, how, flip=False, workers=2)
            with Clock("cpu") as first:
                forward = Forward(backbone, how, flip=False, device="cpu")
                forward(loaded[0], rows)
            with Clock("cpu") as alone:
                for batch in loaded:
                    forward(batch, rows)
            with Clock("cpu") as whole:
                extractor.fill(FeatureTable(None), rows, ids, RunContext())
            seconds[name].append((first.seconds, alone.seconds, whole.seconds))
    found = {}
    for name, times in seconds.items():
        first, alone, whole = (float(fastest) for fastest in np.min(times[1:], axis=0))
        share = (first + alone * (len(loaded) - 1) / len(loaded)) / whole
        found[name] = {"forward": alone / len(rows), "share": share}
    return found
