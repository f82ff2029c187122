"""Results made by hand, and the board that the golden tables show."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import attrs
import pytest
from result_facts import facts_of

from crbench.protocol import EvalProtocol
from crbench.protocol.rules import describe_rules, fingerprint_rules
from crbench.results import (
    Component,
    DataFacts,
    Method,
    MetricFacts,
    ProtocolFacts,
    RateScores,
    Result,
    Timing,
    TrialScores,
    WeightsFacts,
    block_fingerprint,
    from_json,
    summarise,
    summarise_rates,
    to_json,
)

GOLDEN = Path(__file__).parents[1] / "golden"
Make = Callable[..., Result]
HOSTILE = (
    r"""</pre><script>alert(1)</script>\input{x} $a_b^c$ 50% #1 & ~ {x} | `q` *s* <b> "x" ±""" + "\x1b[31m\u202e\ud800"
)


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
    return TrialScores(
        index=index,
        split=split,
        data="d" * 12,
        weights_sha256="ab" * 32,
        training="e" * 12,
        n_gallery=80,
        n_persons=12,
        cmc=cmc,
        scores=means,
        n_query=asked,
        n_valid=asked,
        by_rate=by_rate,
    )


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
    of_aligner: Mapping[str, object] | None = None,
    **fields: object,
) -> Result:
    """A finished result; the rest is that of the golden file."""
    base = from_json((GOLDEN / "result-2.json").read_text(encoding="utf-8"), "golden")
    protocol = EvalProtocol.of(shot=shot, trials=len(rank1), rate_source=rate_source)
    trials = tuple(
        trial(index, value, multi_shot=shot == "multi", rates=rates or {"2": 0.1, "4": -0.1})
        for index, value in enumerate(rank1)
    )
    name, _, preset = aligner.partition("/")
    part = Component(
        name=name,
        preset=preset or None,
        version="0.1.0",
        code_sha256="6" * 64,
        parameter_count=count,
        parameters=parameters or {},
        **(of_aligner or {}),
    )
    changes = {
        "cell_id": f"{cell:012x}",
        **facts_of(dataset, ProtocolFacts.of(protocol), limit),
        "rate_source": rate_source,
        "method": Method(attrs.evolve(base.method.backbone, name=backbone, changed={}), part),
        "data": DataFacts(),
        "weights": (),
        "intervals": None,
        "outcomes": None,
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


def part_of(result: Result, *indices: int, cell: int, **fields: object) -> Result:
    """A result of some trials of another one, as a run of these trials alone gives it."""
    trials = tuple(trial for trial in result.trials if trial.index in indices)
    summaries = {"metrics": summarise(trials), "by_rate": summarise_rates(trials)}
    return attrs.evolve(result, cell_id=f"{cell:012x}", trials=trials, **{**summaries, **fields})


def named(result: Result, name: str) -> Result:
    """`result` as it is read from the file of this name."""
    return from_json(to_json(result), name)


def board() -> list[Result]:
    """Two protocols with several methods, trials run apart, repeated and disputed ones, parts, a failure."""
    failed = {"status": "failed", "error": "Traceback ...\nValueError: loss is NaN", "trials": ()}
    unknown = WeightsFacts(sha256="ab" * 32, origin="file", known=False)
    ridge = make_result("ridge", (0.50, 0.53, 0.53), count=16_384, fit_s=0.0123)
    shift = make_result("mean-shift", (0.45, 0.44, 0.43), cell=4, count=384, fit_s=0.001, timings={})
    coral = make_result("coral", (0.30, 0.31, 0.32), cell=11, count=16_384, of_aligner={"transductive": True})
    edited = make_result(
        "coral", (0.9, 0.9, 0.9), cell=11, created="2099-01-01T00:00:00+00:00", of_aligner={"transductive": True}
    )
    changed = {"parameters": {"epochs": 1, "hidden": 2048}, "of_aligner": {"changed": {"epochs": 1}}}
    deviations = DataFacts(deviations=("94 of 316 test persons",))
    return [
        make_result("none", (0.40, 0.42, 0.41), cell=1),
        make_result("vpfa/light", (0.50, 0.52, 0.54), cell=2, count=24_139_520, fit_s=34.21),
        part_of(ridge, 0, cell=3, warnings=("one query has no match", "trained on 12 images")),
        part_of(ridge, 1, 2, cell=12),
        shift,
        attrs.evolve(shift, created="2026-11-20T03:00:00+00:00"),
        named(coral, "results/coral.json"),
        named(edited, "results/coral-2.json"),
        make_result("none", (0.61,), cell=5, shot="multi", rates={"2": 0.05, "3": 0.0, "4": -0.2}),
        make_result("vpfa/paper", (0.63,), cell=6, shot="multi", count=24_139_520, fit_s=734.5),
        make_result("vpfa/paper", (0.60,), cell=13, shot="multi", count=24_139_520, fit_s=7.3, **changed),
        make_result(
            "vpfa/paper",
            (0.47, 0.5),
            cell=7,
            dataset="mlr-viper",
            backbone="transreid",
            count=24_139_520,
            data=deviations,
            weights=(unknown,),
        ),
        make_result("none", (0.99,), cell=8, limit=3, seed=1),
        make_result("none", (0.98,), cell=10, limit=3, seed=2),
        attrs.evolve(make_result("diagonal", cell=9), **failed, metrics={}, by_rate={}),
    ]


@pytest.fixture(scope="session")
def board_results() -> list[Result]:
    """`board`."""
    return board()


@pytest.fixture(name="part_of", scope="session")
def _part_of() -> Callable[..., Result]:
    """`part_of`."""
    return part_of


@pytest.fixture(name="named", scope="session")
def _named() -> Callable[..., Result]:
    """`named`."""
    return named


@pytest.fixture(scope="session")
def newer() -> Callable[[Result], Result]:
    """What gives a result as the next version of the evaluation would."""

    def newer(result: Result) -> Result:
        version = result.evaluation_version + 1
        rules = result.protocol.rules
        protocol = attrs.evolve(
            result.protocol,
            describe=describe_rules(rules, version),
            fingerprint=fingerprint_rules(rules, version),
        )
        fingerprint = block_fingerprint(result.dataset, rules, result.limit, version)
        return attrs.evolve(result, protocol=protocol, evaluation_version=version, fingerprint=fingerprint)

    return newer


@pytest.fixture(scope="session")
def hostile(make: Make) -> list[Result]:
    """Two results whose every free text is hostile."""

    def evil(result: Result, name: str) -> Result:
        part = Component(name=name, version=HOSTILE, parameters={HOSTILE: HOSTILE})
        rules = {**result.protocol.rules, "name": HOSTILE, "distance": HOSTILE, "rate_source": HOSTILE}
        facts = ProtocolFacts(
            name=HOSTILE, rules=rules, describe=describe_rules(rules), fingerprint=fingerprint_rules(rules)
        )
        texts = {"rate_source": HOSTILE, "command": HOSTILE, **facts_of(HOSTILE, facts)}
        return attrs.evolve(result, method=Method(part, part), warnings=(HOSTILE,), **texts)

    first, second, third = (make(rank1=(value,), cell=cell) for cell, value in ((1, 0.5), (2, 0.4), (3, 0.3)))
    failed = attrs.evolve(third, status="failed", error=HOSTILE, trials=(), metrics={}, by_rate={})
    return [evil(first, f"[2pt]{HOSTILE}"), evil(second, "=1+1"), evil(failed, HOSTILE)]
