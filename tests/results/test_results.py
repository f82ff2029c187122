"""Result records, their JSON text and the published schema."""

from __future__ import annotations

import hashlib
import json
import math
import re
import statistics
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from result_facts import resealed

from crbench.errors import DataError
from crbench.protocol import EvalProtocol
from crbench.results import (
    SCHEMA_VERSION,
    MetricFacts,
    ProtocolFacts,
    RateScores,
    Result,
    Summary,
    Timing,
    TrialScores,
    files,
    from_json,
    load_results,
    schema,
    summarise,
    summarise_rates,
    to_json,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "result-2.json"
TEXT = GOLDEN.read_text(encoding="utf-8")

SPLIT = "1" * 64
FACTS = MetricFacts(higher_is_better=True, unit="fraction", summary="", distribution="crbench", version="1")

SPEAKING = {
    *("schema_version", "dataset", "data", "protocol", "seed", "method", "trials", "environment", "warnings"),
    *("crbench", "python", "torch", "numpy", "platform", "cpu", "device", "threads", "packages"),
    *("backbone", "aligner", "name", "rules", "describe", "fingerprint", "mean", "std", "values", "unit"),
}
"""Fields of some record that need no description, or whose record says it in a sentence."""

fractions = st.floats(0, 1)
curves = st.lists(fractions, min_size=1, max_size=20).map(sorted).map(tuple)


@pytest.fixture
def result() -> Result:
    """The golden result."""
    return from_json(TEXT, "golden")


def _valid(content: Any) -> bool:
    return bool(jsonschema.Draft202012Validator(schema()).is_valid(content))


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(schema())


def test_the_published_schema_is_the_one_of_the_records() -> None:
    path = resources.files("crbench").joinpath("schema", f"result-{SCHEMA_VERSION}.json")
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written == schema(), "run: crbench results schema > crbench/schema/result-2.json"


def test_every_field_of_the_schema_is_explained_or_speaks_for_itself() -> None:
    """A field without a description is one whose docstring was forgotten, or spells its names in another way."""
    parts = [schema(), *schema()["$defs"].values()]
    silent = {name for part in parts for name, about in part["properties"].items() if "description" not in about}
    assert silent == SPEAKING


def test_the_golden_file_is_read_and_written_unchanged(result: Result) -> None:
    assert to_json(result) == TEXT
    jsonschema.validate(json.loads(TEXT), schema())
    assert result.metrics["R1"] == Summary.of([0.5, 0.625])
    assert result.by_rate["4"]["R1"].mean == pytest.approx(0.5125)
    assert result.timings["transform"].per_second == 20000


def test_a_failed_result_is_read_and_written_unchanged(result: Result) -> None:
    failed = attrs.evolve(
        result,
        status="failed",
        error="bad \ud800 name",
        trials=(),
        metric_facts={},
        metrics={},
        by_rate={},
        intervals=None,
    )
    text = to_json(failed)
    text.encode()
    jsonschema.validate(json.loads(text), schema())
    assert from_json(text, "failed") == failed


@given(curve=curves, other=curves, scores=st.none() | fractions, rate=st.sampled_from(["2", "2.5", "10"]))
def test_any_scores_survive_the_file(
    curve: tuple[float, ...], other: tuple[float, ...], scores: float | None, rate: str
) -> None:
    named = {} if scores is None else {"mAP": scores, "mean-place": 40 * scores}
    means: dict[str, Any] = {"scores": named, "n_query": 3, "n_valid": 2}
    by_rate = {rate: RateScores(cmc=other, **means)}
    trials = (
        TrialScores(index=0, split=SPLIT, cmc=curve, **means, by_rate=by_rate),
        TrialScores(index=1, split=SPLIT, cmc=other, **means),
    )
    base = from_json(TEXT, "golden")
    result = attrs.evolve(
        base,
        trials=trials,
        metric_facts={name: attrs.evolve(FACTS, unit="number" if "-" in name else "fraction") for name in named},
        metrics=summarise(trials),
        by_rate=summarise_rates(trials),
        intervals=None,
    )
    assert from_json(to_json(result), "text") == result
    assert _valid(json.loads(to_json(result)))


def test_parameters_are_kept_as_json_gives_them_back(result: Result) -> None:
    part = attrs.evolve(result.method.aligner, parameters={"rates": (2, 3)})
    assert part.parameters == {"rates": [2, 3]}
    with pytest.raises(TypeError):
        attrs.evolve(part, parameters={"path": Path("x")})


def test_protocol_facts_hold_every_rule() -> None:
    protocol = EvalProtocol.of(kernel="bicubic")
    facts = ProtocolFacts.of(protocol)
    assert EvalProtocol.of(**facts.rules) == protocol
    assert (facts.name, facts.describe, facts.fingerprint) == ("mlr", protocol.describe(), protocol.fingerprint())


def _set(*path: str | int, to: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        content[path[-1]] = to

    return change


def _drop(*path: str | int) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        for key in path[:-1]:
            content = content[key]
        del content[path[-1]]

    return change


SCORES = {"cmc": [1.0], "scores": {}, "n_query": 1, "n_valid": 1}
BAD = [
    (_set("extra", to=1), r"unknown field extra @ \$"),
    (_set("method", "backbone", "colour", to=1), r"unknown field colour @ \$.method.backbone"),
    (_drop("metrics"), r"lacks metrics @ \$"),
    (_drop("method", "aligner"), r"lacks aligner @ \$.method"),
    (_set("seed", to="1"), r"'1' is not of type int @ \$.seed"),
    (_set("seed", to=True), r"True is not of type int @ \$.seed"),
    (_set("seed", to=1.5), r"'1.5' is not of type int @ \$.seed"),
    (_set("method", "aligner", "transductive", to="no"), r"'no' is not of type bool @ \$.method.aligner.transductive"),
    (_set("dataset", to=None), r"'None' is not of type str @ \$.dataset"),
    (_set("trials", to="abc"), r"'abc' is not a list @ \$.trials"),
    (_set("trials", to={}), r"is not a list @ \$.trials"),
    (_set("warnings", to="abc"), r"'abc' is not a list @ \$.warnings"),
    (_set("metrics", to=[]), r"is not an object @ \$.metrics"),
    (_set("method", to=3), r"'3' is not an object @ \$.method"),
    (_set("data", "notes", to={"junk": "many"}), r"'many' is not of type int @ \$.data.notes"),
    (_set("cell_id", to="xyz"), "cell_id"),
    (_set("status", to="done"), r"done .* @ \$.status"),
    (_set("error", to="boom"), "either ok with trials and no error, or failed"),
    (_set("trials", 0, "split", to="abc"), "split"),
    (_set("trials", 0, "data", to="abc"), "data"),
    (_set("trials", 0, "skipped", to=-1), "skipped"),
    (_set("limit", to=0), "limit"),
    (_set("weights", 0, "origin", to="found"), r"found .* @ \$.weights\[0\].origin"),
    (_set("outcomes", "file", to="../a.npz"), "file"),
    (_set("intervals", "level", to=1), "level"),
    (_set("intervals", "metrics", "R1", "low", to="0"), r"'0' is not of type float"),
    (_set("intervals", "by_rate", "two", to={}), "'two' is not a rate"),
    (_set("metrics", "R1", "mean", to=56.2), r"metrics.R1: mean 56.2 disagrees with the trials \(0.5625\)"),
    (
        _set("metrics", "rank", to={"mean": 0.5, "std": None, "values": [0.5, 0.5]}),
        "metrics: has R1, R5, R10, R20, mean-place, rank,",
    ),
    (_set("metrics", to={}), "metrics: has no scores"),
    (_set("trials", 0, "cmc", to=[]), "cmc"),
    (_set("trials", 0, "cmc", 3, to=-0.1), "-0.1 is not a fraction"),
    (_set("trials", 0, "cmc", 3, to=True), r"True is not of type float @ \$.trials\[0\].cmc\[3\]"),
    (_set("trials", 0, "cmc", 3, to="0.9"), r"'0.9' is not of type float @ \$.trials\[0\].cmc\[3\]"),
    (_set("warnings", to=["a", 1]), r"'1' is not of type str @ \$.warnings\[1\]"),
    (_set("trials", 0, "by_rate", "two", to=SCORES), "'two' is not a rate"),
    (_set("trials", 0, "n_valid", to=0), "n_valid"),
    (_set("trials", 0, "scores", "mean-place", to="6"), r"'6' is not of type float"),
    (_set("trials", 0, "scores", "R1", to=0.5), r"'R1' is no name of a metric @ \$.trials\[0\]"),
    (_set("trials", 0, "scores", "a b", to=0.5), "'a b' is no name of a metric"),
    (_set("metric_facts", "mean-place", "unit", to="metres"), "unit"),
    (_drop("metric_facts", "mean-place", "version"), r"lacks version"),
    (_set("timings", "fit", "seconds", to=-1), "seconds: -1.0 is not a finite number"),
    (_set("environment", "threads", to=0), "threads"),
    (_set("method", "aligner", "parameter_count", to=10**400), "parameter_count"),
    (_set("method", "backbone", "macs", to=2**63), "macs"),
    (_set("timings", "fit", "count", to=10**400), "count"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_schema_and_reader_refuse_the_same(change: Callable[[Any], None], message: str) -> None:
    content = json.loads(TEXT)
    change(content)
    assert not _valid(content)
    with pytest.raises(DataError, match=rf"^some/file\.json: not a valid result: .*{message}"):
        from_json(json.dumps(content), "some/file.json")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("metrics", "R1", "mean", to=0.9), r"metrics.R1: mean 0.9 disagrees with the trials \(0.5625\)"),
        (_set("metrics", "R1", "std", to=0.0), "metrics.R1"),
        (_set("metrics", "R1", "values", to=[0.5]), "metrics.R1"),
        (
            _set("metrics", "mAP", to={"mean": 0.5, "std": None, "values": [0.5]}),
            "metrics: has R1, R5, R10, R20, mean-place, mAP,",
        ),
        (_set("metric_facts", to={}), "metric_facts: of no scores, the trials have mean-place"),
        (_set("metric_facts", "mean-place", "unit", to="fraction"), r"scores: mean-place: 6.25 is not a fraction in"),
        (_drop("by_rate", "4"), "by_rate: has rates 2, the trials have others"),
        (_set("by_rate", "2", "R5", "mean", to=0.1), "by_rate.2.R5"),
        (_set("created", to="yesterday"), "yesterday"),
        (_set("intervals", "metrics", "R1", "low", to=0.9), "an interval from 0.9 to 0.8125"),
        (_set("metrics", "\x1b[31m", to={"mean": 0.5, "std": None, "values": [0.5]}), r"mean-place, \\x1b\[31m, the"),
        (_set("metric_facts", "\x9b", to={}), r"lacks"),
        (_set("by_rate", "\x1b", to={}), r"by_rate: has rates 2, 4, \\x1b, the trials"),
        (_set("intervals", "metrics", "mAP", to={"low": 0, "high": 1}), "intervals: of mAP, which is no score"),
        (_set("intervals", "by_rate", "3", to={"R1": {"low": 0, "high": 1}}), "intervals: of 3.R1, which is no score"),
        (_set("created", to="2026-11-21T03:00:00"), "created: .* is not a time in UTC"),
    ],
)
def test_the_reader_refuses_what_no_schema_can_say(change: Callable[[Any], None], message: str) -> None:
    content = json.loads(TEXT)
    change(content)
    with pytest.raises(DataError, match=message):
        from_json(json.dumps(content), "file")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.1])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_curve_holds_fractions_only(place: int, value: float) -> None:
    curve = [0.5, 0.6, 0.7]
    curve[place] = value
    with pytest.raises(ValueError, match="is not a fraction"):
        RateScores(cmc=curve, n_query=1, n_valid=1)


def test_whole_numbers_of_a_curve_become_floats(result: Result) -> None:
    trials = (TrialScores(index=0, split=SPLIT, cmc=(0, 1), n_query=2, n_valid=2),)
    none = {"by_rate": {}, "metric_facts": {}, "intervals": None}
    changed = attrs.evolve(result, trials=trials, metrics=summarise(trials), **none)
    content = json.loads(to_json(changed))
    content["trials"][0]["cmc"] = [0, 1]
    for read in (changed, from_json(json.dumps(resealed(content)), "file")):
        assert [type(value) for value in read.trials[0].cmc] == [float, float]


def better(content: dict[str, Any]) -> None:
    """Scores that agree with each other in all places."""
    parts = [part for trial in content["trials"] for part in (trial, *trial["by_rate"].values())]
    for part in parts:
        part["cmc"] = [1.0] * len(part["cmc"])
    for metrics in (content["metrics"], *content["by_rate"].values()):
        ones = {
            name: {"mean": 1.0, "std": 0.0, "values": [1.0] * len(part["values"])} for name, part in metrics.items()
        }
        metrics.update({name: one for name, one in ones.items() if name.startswith("R")})


@pytest.mark.parametrize(
    "edit",
    [
        better,
        lambda content: content["method"]["aligner"].update(name="better"),
        lambda content: content["trials"][0].update(n_gallery=3),
        lambda content: content["data"].update(deviations=[]),
        lambda content: content.update(warnings=["none"]),
        lambda content: content.update(seed=content["seed"] + 1),
        lambda content: content.update(content_sha256=None),
        lambda content: content.update(content_sha256="0" * 64),
    ],
    ids=["scores", "name", "gallery", "deviations", "warnings", "seed", "no digest", "digest"],
)
def test_a_file_that_was_edited_is_named_even_where_it_agrees_with_itself(edit: Any) -> None:
    content = json.loads(TEXT)
    edit(content)
    with pytest.raises(DataError, match=r"^some/file\.json: edited after it was written"):
        from_json(json.dumps(content), "some/file.json")
    from_json(json.dumps(resealed(content)), "file")


@pytest.mark.parametrize(
    "layout",
    [
        lambda content: json.dumps(dict(reversed(content.items())), indent=4),
        lambda content: json.dumps(content, separators=(",", ":")),
        lambda content: json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False),
        lambda content: json.dumps(content, indent="\t", sort_keys=True).replace("\n", "\r\n"),
    ],
    ids=["reversed", "compact", "letters", "tabs"],
)
def test_another_layout_of_the_same_content_is_no_edit(result: Result, layout: Callable[[Any], str]) -> None:
    odd = attrs.evolve(result, warnings=('he said: "a": b\n  and left', "\u00e9\\", f'"content_sha256":"{"0" * 64}",'))
    content = json.loads(to_json(odd))
    assert from_json(layout(content), "file") == odd
    content["warnings"][0] += " again"
    with pytest.raises(DataError, match=r"^file: edited after it was written"):
        from_json(layout(content), "file")


def test_the_text_of_a_file_gives_its_digest_without_its_layout() -> None:
    """A text that has ``": `` in a string takes a program that knows JSON."""
    compact = re.sub(r"\n *", "", TEXT).replace('": ', '":')
    seal = json.loads(TEXT)["content_sha256"]
    assert hashlib.sha256(compact.replace(f'"content_sha256":"{seal}",', "").encode()).hexdigest() == seal


def test_what_crbench_wrote_is_not_written_again_to_check_it(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "sealed", None)
    assert from_json(TEXT, "file") == result


def test_a_long_fraction_is_read_by_the_quick_parser(result: Result, monkeypatch: pytest.MonkeyPatch) -> None:
    text = to_json(attrs.evolve(result, duration_s=0.00012345678901234567))
    assert "0.00012345678901234567" in text
    monkeypatch.setattr(files.json, "loads", None)
    assert files.read_content(text, "file", kind="result")["duration_s"] == 0.00012345678901234567


@pytest.mark.parametrize("huge", [2**64, -(10**19) - 1, 10**30])
def test_integers_of_any_size_are_read(result: Result, huge: int) -> None:
    """A parameter may be one that the quick parser does not know."""
    method = attrs.evolve(result.method, aligner=attrs.evolve(result.method.aligner, parameters={"huge": huge}))
    other = attrs.evolve(result, method=method)
    found = from_json(to_json(other), "file").method.aligner.parameters["huge"]
    assert (found, type(found)) == (huge, int)


def test_many_faults_are_counted() -> None:
    content = json.loads(TEXT)
    for name in ("dataset", "fingerprint", "rate_source", "command", "cell_id"):
        content[name] = 0
    with pytest.raises(DataError, match=r"; and 2 more$"):
        from_json(json.dumps(content), "file")


@pytest.mark.parametrize("version", [0, "1", None, True, 1.5])
def test_another_schema_version_is_refused_first(version: object) -> None:
    with pytest.raises(DataError, match=r"not a crbench result of schema version 2 or older \(schema_version"):
        from_json(json.dumps({"schema_version": version}), "file")


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "[" * 100_000, '{"a": NaN}', TEXT + "x"])
def test_what_is_no_result_is_named(text: str) -> None:
    with pytest.raises(DataError, match=r"^the file: not (valid JSON|a crbench result)"):
        from_json(text, "the file")


@given(end=st.integers(0, len(TEXT.rstrip()) - 1))
def test_a_truncated_file_is_named(end: int) -> None:
    with pytest.raises(DataError, match=r"^the file: not valid JSON"):
        from_json(TEXT[:end], "the file")


@given(position=st.integers(0, len(TEXT) - 1), char=st.characters())
def test_a_damaged_file_is_read_or_named(position: int, char: str) -> None:
    text = TEXT[:position] + char + TEXT[position + 1 :]
    try:
        result = from_json(text, "the file")
    except DataError as error:
        message = str(error)
        result = None
    assert from_json(to_json(result), "again") == result if result else message.startswith("the file: ")


def test_a_folder_is_searched_and_sorted(tmp_path: Path, result: Result) -> None:
    for number, name in enumerate(("b/2.json", "a/1.json", "a/.part.json", "a/readme.txt", "3.json")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        text = to_json(attrs.evolve(result, cell_id=f"{number:012x}"))
        path.write_text(text, encoding="utf-8")
    found = [int(item.cell_id, 16) for item in load_results([tmp_path / "3.json", str(tmp_path), tmp_path / "a"])]
    assert found == [4, 1, 0]
    (tmp_path / "empty").mkdir()
    assert load_results([tmp_path / "empty"]) == []


def test_paths_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing: no such file or folder; `crbench run` writes results"):
        load_results([tmp_path / "missing"])
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"binary\.json: cannot be read as a result: it is no text$"):
        load_results([tmp_path / "binary.json"])
    (tmp_path / "binary.npz").write_bytes(b"PK\x03\x04\xff")
    with pytest.raises(DataError, match=r"binary\.npz: .* no text; did you mean binary\.json\?"):
        load_results([tmp_path / "binary.npz"])


@given(values=st.lists(fractions, min_size=1, max_size=12))
def test_a_summary_is_mean_and_sample_deviation(values: list[float]) -> None:
    summary = Summary.of(values)
    assert min(values) - 1e-12 <= summary.mean <= max(values) + 1e-12
    if len(values) == 1:
        assert summary.std is None
    else:
        variance = math.fsum((value - statistics.mean(values)) ** 2 for value in values) / (len(values) - 1)
        assert summary.std == pytest.approx(math.sqrt(variance), abs=1e-9)


def test_curves_are_summed_up_at_four_ranks_as_far_as_all_of_them_go() -> None:
    long, short = (
        TrialScores(index=i, split=SPLIT, cmc=[k / n for k in range(1, n + 1)], n_query=4, n_valid=4)
        for i, n in ((0, 50), (1, 12))
    )
    assert {name: summary.mean for name, summary in summarise([long]).items()} == {
        "R1": 0.02,
        "R5": 0.1,
        "R10": 0.2,
        "R20": 0.4,
    }
    assert list(summarise([long, short])) == ["R1", "R5", "R10"]


def test_means_that_a_trial_lacks_are_left_out() -> None:
    full, single = (
        TrialScores(index=i, split=SPLIT, cmc=(1,), scores=scores, n_query=1, n_valid=1)
        for i, scores in enumerate(({"mAP": 0.5}, {}))
    )
    assert list(summarise([full])) == ["R1", "mAP"]
    assert list(summarise([full, single])) == ["R1"]


def test_rates_are_summarised_over_the_trials_that_have_them_lowest_first() -> None:
    part = RateScores(cmc=(0.5,), n_query=1, n_valid=1)
    trials = [
        TrialScores(index=index, split=SPLIT, cmc=(0.5,), n_query=2, n_valid=2, by_rate=dict.fromkeys(rates, part))
        for index, rates in enumerate((["10", "2.5"], ["2.5", "3"]))
    ]
    summary = summarise_rates(trials)
    assert {rate: len(metrics["R1"].values) for rate, metrics in summary.items()} == {"2.5": 2, "3": 1, "10": 1}
    assert list(summary) == ["2.5", "3", "10"]


def test_rounding_beyond_one_is_forgiven_and_more_is_not() -> None:
    assert TrialScores(index=0, split=SPLIT, cmc=(1 + 2e-16, 1 + 1e-12), n_query=1, n_valid=1).cmc == (1.0, 1.0)
    for score in (1.01, -0.01, math.nan, math.inf):
        with pytest.raises(ValueError, match="not a fraction"):
            TrialScores(index=0, split=SPLIT, cmc=(score,), n_query=1, n_valid=1)


def test_nothing_measured_has_no_throughput() -> None:
    assert Timing(0.0, 5, "images").per_second is None
    assert Timing(2.0, 5, "images").per_second == 2.5


def test_the_constructor_summarises_the_trials(result: Result) -> None:
    fields = {field.name: getattr(result, field.name) for field in attrs.fields(Result) if field.init}
    del fields["metrics"], fields["by_rate"]
    assert Result(**fields) == result
