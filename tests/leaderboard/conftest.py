"""Results made by hand, and the board that the golden tables show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import pytest
from result_facts import facts_of

from crbench.protocol import EvalProtocol
from crbench.results import (
    Component,
    Method,
    MetricFacts,
    ProtocolFacts,
    RateScores,
    Result,
    Timing,
    TrialScores,
    from_json,
    summarise,
    summarise_rates,
)

GOLDEN = Path(__file__).parents[1] / "golden"
Make = Callable[..., Result]


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of golden files."""
    return GOLDEN


FACTS = {
    name: MetricFacts(higher_is_better=True, unit="fraction", summary="", distribution="crbench", version="0.1.0")
    for name in ("mAP", "mINP")
}


def trial(index: int, rank1: float, *, multi_shot: bool, rates: Mapping[str, float]) -> TrialScores:
    """A trial whose curve rises from `rank1` to 1 at rank 10."""
    cmc = tuple(rank1 + (1 - rank1) * min(k, 9) / 9 for k in range(20))
    means = {"mAP": rank1 * 0.8, "mINP": rank1 * 0.4} if multi_shot else {}
    by_rate = {
        rate: RateScores(cmc=tuple(min(1, rank + shift) for rank in cmc), scores=means, n_query=20, n_valid=20)
        for rate, shift in rates.items()
    }
    asked = 20 * len(rates)
    split = f"{index + 1:064x}"
    return TrialScores(index=index, split=split, cmc=cmc, scores=means, n_query=asked, n_valid=asked, by_rate=by_rate)


def make_result(
    aligner: str = "vpfa/light",
    rank1: Sequence[float] = (0.5, 0.52, 0.51),
    *,
    cell: int = 1,
    backbone: str = "resnet-tiny",
    shot: str = "single:exact",
    count: int | None = 0,
    fit_s: float = 0.0,
    rates: Mapping[str, float] | None = None,
    parameters: Mapping[str, object] | None = None,
    rate_source: str = "oracle",
    dataset: str = "mlr-synthetic",
    limit: int | None = None,
    **fields: object,
) -> Result:
    """A finished result; the rest is that of the golden file."""
    base = from_json((GOLDEN / "result-1.json").read_text(encoding="utf-8"), "golden")
    protocol = EvalProtocol.of(shot=shot, trials=len(rank1), rate_source=rate_source)
    trials = tuple(
        trial(index, value, multi_shot=shot == "multi", rates=rates or {"2": 0.1, "4": -0.1})
        for index, value in enumerate(rank1)
    )
    name, _, preset = aligner.partition("/")
    part = Component(
        name=name, preset=preset or None, version="0.1.0", parameter_count=count, parameters=parameters or {}
    )
    changes = {
        "cell_id": f"{cell:012x}",
        **facts_of(dataset, ProtocolFacts.of(protocol), limit),
        "rate_source": rate_source,
        "method": Method(attrs.evolve(base.method.backbone, name=backbone), part),
        "trials": trials,
        "metric_facts": FACTS if shot == "multi" else {},
        "metrics": summarise(trials),
        "by_rate": summarise_rates(trials),
        "timings": {"fit": Timing(fit_s, 1, "fits"), "transform": Timing(0.01, 6000, "samples")},
    }
    return attrs.evolve(base, **{**changes, **fields})


@pytest.fixture(scope="session")
def make() -> Make:
    """`make_result`."""
    return make_result


def with_scores(result: Result, *, lower: Sequence[str] = (), numbers: Sequence[str] = (), **means: float) -> Result:
    """`result` with further scores, as a plugin gives them; `lower` is better of some, and some are `numbers`."""
    facts = {
        name: MetricFacts(
            higher_is_better=name not in lower,
            unit="number" if name in numbers else "fraction",
            summary="",
            distribution="plugin",
            version="1",
        )
        for name in means
    }
    trials = tuple(attrs.evolve(trial, scores={**trial.scores, **means}) for trial in result.trials)
    metrics = summarise(trials)
    return attrs.evolve(result, trials=trials, metric_facts={**result.metric_facts, **facts}, metrics=metrics)


@pytest.fixture(scope="session")
def scored() -> Callable[..., Result]:
    """`with_scores`."""
    return with_scores


def board() -> list[Result]:
    """Two protocols with several methods, one data set with published numbers, a part, a failure, a repeated cell."""
    failed = {"status": "failed", "error": "Traceback ...\nValueError: loss is NaN", "trials": ()}
    return [
        make_result("none", (0.40, 0.42, 0.41), cell=1),
        make_result("vpfa/light", (0.50, 0.52, 0.54), cell=2, count=24_139_520, fit_s=34.21),
        make_result("ridge", (0.50, 0.53, 0.53), cell=3, count=16_384, fit_s=0.0123),
        make_result("mean-shift", (0.45, 0.44, 0.43), cell=4, count=384, fit_s=0.001, timings={}),
        make_result("mean-shift", (0.9, 0.9, 0.9), cell=4, created="2026-11-20T03:00:00+00:00"),
        make_result("none", (0.61,), cell=5, shot="multi", rates={"2": 0.05, "3": 0.0, "4": -0.2}),
        make_result("vpfa/paper", (0.63,), cell=6, shot="multi", count=24_139_520, fit_s=734.5),
        make_result("vpfa/paper", (0.47, 0.5), cell=7, dataset="mlr-viper", backbone="transreid", count=24_139_520),
        make_result("none", (0.99,), cell=8, limit=3),
        make_result("none", (0.98,), cell=10, limit=3),
        attrs.evolve(make_result("coral", cell=9), **failed, metrics={}, by_rate={}),
    ]


@pytest.fixture(scope="session")
def board_results() -> list[Result]:
    """`board`."""
    return board()
