"""Rank-1 rate by rate: every query at every rate, and maps that were fitted at one rate and are tested at another.

Each rate is a protocol of its own, run as any other, whose results stay in the output folder: a sweep that was stopped
goes on where it was. The queries are the same at all rates, so that lines can be compared along them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
import numpy as np

from crbench.analysis.figures import matrix, sizes
from crbench.analysis.figures.style import check_drawable, style, write_figure
from crbench.analysis.offsets import Estimate
from crbench.analysis.tables import Table, as_json, as_text, per_cent
from crbench.api.context import RunContext
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError
from crbench.harness.match import learns
from crbench.harness.plan import make_plan
from crbench.harness.run import run
from crbench.results import BASELINE, Result
from crbench.results.labels import clean, component_label, dataset_label, failure_reason

Kind = Literal["rates", "matrix"]

BOUND = "bound"


@attrs.frozen
class Sweep:
    """Rank-1 of methods at rates.

    Attributes:
        head: what it is of.
        lines: by method, then by the rate of the queries.
        fitted: the same by the one rate at which the method was fitted; empty unless this was asked for.
        queries: of each rate, in a trial.
        failures: a line for each cell that failed.
        as_stored: rates at which some queries are not shown, as they are stored at a higher one.
    """

    head: str
    lines: Mapping[str, Mapping[float, Estimate]]
    fitted: Mapping[str, Mapping[float, Mapping[float, Estimate]]]
    queries: int
    failures: tuple[str, ...] = ()
    as_stored: tuple[float, ...] = ()

    def render(self, form: str = "table", width: int | None = None) -> str:
        """As text or JSON, see `FORMATS` and `as_text` of `crbench.analysis.tables`."""
        if form == "json":
            found = {"head": self.head, "rank1": self.lines, "fitted": self.fitted, "queries": self.queries}
            return as_json({**found, "as_stored": self.as_stored})
        return as_text(self.head, list(self._tables()), self.failures, form, width)

    def _tables(self) -> Iterator[Table]:
        rates = sorted({rate for line in self.lines.values() for rate in line})
        note = "In per cent, with 95 % intervals over people; every query is shown at every rate"
        if self.as_stored:
            columns = ", ".join(f"x{rate:g}" for rate in self.as_stored)
            note += f", but for those that are stored at a higher one: at {columns} they are as they are stored"
        note += "."
        rows = tuple((name, *(_cell(line, rate) for rate in rates)) for name, line in self.lines.items())
        yield Table("Rank-1 by the rate of the queries", ("", *(f"x{rate:g}" for rate in rates)), rows, note)
        for name, table in self.fitted.items():
            rows = tuple((f"fitted at x{at:g}", *(_cell(line, rate) for rate in rates)) for at, line in table.items())
            yield Table(f"{name}: Rank-1 by the rate at which it was fitted", ("", *(f"x{r:g}" for r in rates)), rows)

    def draw(self, folder: Path, name: str) -> list[Path]:
        """Write the figure, as PNG and SVG: lines over rates, or for each method the rates of fit and test.

        Raises:
            ConfigError: matplotlib is not installed.
        """
        check_drawable()
        with style():
            if self.fitted:
                tables = {
                    method: {at: {rate: one.value for rate, one in line.items()} for at, line in table.items()}
                    for method, table in self.fitted.items()
                }
                return write_figure(matrix.draw(tables), folder, name, self.head)
            lines = {
                method: [sizes.Size(rate, f"x{rate:g}", self.queries, one) for rate, one in sorted(line.items())]
                for method, line in self.lines.items()
                if line
            }
            if not lines:
                raise ConfigError("no cell gave a score, so there is nothing to draw")
            grey = [method for method in lines if method.endswith((BASELINE, BOUND))]
            figure = sizes.draw(lines, "queries shrunk by; number of queries", rising=True, references=grey)
            return write_figure(figure, folder, name, self.head)


def sweep(spec: RunSpec, rates: Sequence[float], kind: Kind = "rates", *, context: RunContext | None = None) -> Sweep:
    """Run all cells of a spec with the queries at each of some rates.

    The maps are fitted at the training rates of the protocol (``rates``), or as well at each of the rates above 1 alone
    (``matrix``). With rate 1 among `rates`, the baseline there is the bound of all rates.

    Raises:
        ConfigError: the protocol does not shrink its queries alone, several data sets, or a matrix without a rate or an
            aligner to fit; see `make_plan`.
        CrbenchError: see `crbench.harness.run.run`.
    """
    several = _check(spec, rates if kind == "matrix" else None)
    lines: dict[str, dict[float, Estimate]] = {}
    fitted: dict[str, dict[float, dict[float, Estimate]]] = {}
    results: list[Result] = []
    as_stored: list[float] = []
    for rate in sorted(set(rates)):
        results += (found := run(_at(spec, rate), context=context))
        if any(float(shown) > float(f"{rate:g}") for result in found for shown in result.by_rate):
            as_stored.append(rate)
        for result in found:
            lines.setdefault(_name(result, several), {}).update(_rank1(result, rate))
    for at in sorted({rate for rate in rates if rate > 1}) if kind == "matrix" else ():
        for rate in sorted(set(rates)):
            own = attrs.evolve(_at(spec, rate), baseline=False)
            found = run(attrs.evolve(own, set={**own.set, "protocol.train_rates": [at]}), context=context)
            results += found
            for result in found:
                fitted.setdefault(_name(result, several), {}).setdefault(at, {}).update(_rank1(result, rate))
    done = [result for result in results if result.status == "ok"]
    return Sweep(
        head=_head(done or results),
        lines=_with_bound(lines),
        fitted={name: table for name, table in fitted.items() if name != BASELINE},
        queries=max((trial.n_query for result in done for trial in result.trials), default=0),
        failures=tuple(dict.fromkeys(_failed(one, several) for one in results if one.error)),
        as_stored=tuple(as_stored),
    )


def _check(spec: RunSpec, fitted_at: Sequence[float] | None) -> bool:
    """Whether an aligner runs on several backbones; `fitted_at` are the rates of a matrix."""
    jobs = make_plan(spec).jobs
    if len(spec.dataset) > 1:
        raise ConfigError(f"a sweep is of one data set, not of {', '.join(spec.dataset)}")
    if not jobs[0].protocol.split.has_bound:
        raise ConfigError(
            f"protocol {jobs[0].protocol.name} of {spec.dataset[0]} does not shrink its queries, or not them alone, so "
            "they have no other rates; choose another protocol"
        )
    if fitted_at is not None and max(fitted_at) <= 1:
        raise ConfigError("a matrix is of maps that are fitted at one rate each; give a rate above 1, e.g. --rates 1-4")
    if fitted_at is not None and not any(learns(aligner) for job in jobs for aligner in job.aligners):
        raise ConfigError("a matrix is of maps that are fitted, and none of the aligners learns anything")
    pairs = {(aligner.name, job.backbone.name) for job in jobs for aligner in job.aligners}
    return len({aligner for aligner, _ in pairs}) < len(pairs)


def _at(spec: RunSpec, rate: float) -> RunSpec:
    return attrs.evolve(spec, bound=False, set={**spec.set, "protocol.query_rates": [rate] if rate > 1 else []})


def _name(result: Result, several: bool) -> str:
    """The aligner; with its backbone where it runs on several."""
    aligner = component_label(result.method.aligner)
    return f"{component_label(result.method.backbone)} + {aligner}" if several else aligner


def _failed(result: Result, several: bool) -> str:
    return f"failed: {_name(result, several)}: {failure_reason(result)}"


def _rank1(result: Result, rate: float) -> dict[float, Estimate]:
    if result.status != "ok":
        return {}
    found = None if result.intervals is None else result.intervals.metrics.get("R1")
    low, high = (np.nan, np.nan) if found is None else (found.low, found.high)
    return {rate: Estimate(result.metrics["R1"].mean, low, high)}


def _with_bound(lines: Mapping[str, Mapping[float, Estimate]]) -> dict[str, Mapping[float, Estimate]]:
    """The lines, and one for each baseline that was tested at rate 1: what it gives there, at all rates."""
    found: dict[str, Mapping[float, Estimate]] = dict(lines)
    for name, line in lines.items():
        if name.endswith(BASELINE) and 1.0 in line:
            found[f"{name.removesuffix(BASELINE)}{BOUND}"] = dict.fromkeys(line, line[1.0])
    return found


def _head(results: Sequence[Result]) -> str:
    first = results[0]
    backbones = dict.fromkeys(component_label(one.method.backbone) for one in results)
    trial = ", ".join(dict.fromkeys(str(trial.index) for one in results for trial in one.trials))
    facts = (
        dataset_label(first),
        f"protocol {first.protocol.name}",
        f"trial {trial}",
        *backbones,
        f"seed {first.seed}",
        *([] if first.limit is None else [f"limited to {first.limit} identities"]),
    )
    return clean(", ".join(facts))


def _cell(line: Mapping[float, Estimate], rate: float) -> str:
    return per_cent(line[rate]) if rate in line else "-"
