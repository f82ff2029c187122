"""Two results side by side: query by query where they answer the same question, else what differs, in one line."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from kept import keep, keep_outcomes
from scipy import stats

from crbench.cli import invoke
from crbench.errors import ComparisonError, ConfigError
from crbench.evaluation import Outcomes, Ranks
from crbench.leaderboard.compare import Comparison, compare
from crbench.leaderboard.comparison_text import render_comparison
from crbench.leaderboard.differences import differences
from crbench.leaderboard.joined import Joined
from crbench.leaderboard.sides import one_row
from crbench.protocol import EvalProtocol
from crbench.records import Samples
from crbench.results import Interval, load_results, to_json
from crbench.results.outcomes import TrialOutcomes, read_outcomes, recomputed
from crbench.statistics import aligned, read_queries
from crbench.statistics import differences as paired


def row(*paths: Path) -> tuple[Joined, ...]:
    return one_row(load_results(paths), str(paths[0]))


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    """Two methods over two trials; the first is better."""
    return keep(tmp_path, "ridge", trials=(0, 1)), keep(tmp_path, "none", noise=1.0, trials=(0, 1))


def test_a_comparison_says_what_the_statistics_say(pair: tuple[Path, Path]) -> None:
    (first,), (second,) = map(row, pair)
    found = compare((first,), (second,), "mAP", "rate")
    expected = paired(aligned([read_queries(first.result), read_queries(second.result)]), "mAP")
    whole = found.groups[0]
    assert whole.interval == Interval(expected.low[0, 1], expected.high[0, 1])
    assert (whole.p, whole.resolution) == (expected.p[0, 1], expected.resolution)
    assert whole.first == pytest.approx(first.metrics["mAP"].mean)
    assert whole.second == pytest.approx(second.metrics["mAP"].mean)
    assert (whole.queries, whole.identities) == (108, 6)
    assert [group.name for group in found.groups] == ["all", "rate 2", "rate 3", "rate 4"]
    assert sum(group.queries for group in found.groups[1:]) == 108
    assert found.groups[2].first == pytest.approx(first.by_rate["3"]["mAP"].mean)
    assert found.left_out == (0, 0)


@pytest.mark.parametrize("metric", ["R1", "mAP"])
def test_queries_and_images_are_those_of_the_outcomes(pair: tuple[Path, Path], metric: str) -> None:
    """Counted by loops over the files."""
    values: list[dict[tuple[int, str, float], float]] = []
    for path in pair:
        (result,) = load_results([path])
        values.append({})
        for trial in read_outcomes(path.parent, result):
            scores = recomputed(result, trial).per_query
            column = scores.cmc[:, 0] if metric == "R1" else scores.values[metric]
            for key, rate, value in zip(trial.queries.keys, trial.queries.rates, column, strict=True):
                values[-1][trial.index, str(key), float(rate)] = float(value)
    change = {name: values[0][name] - values[1][name] for name in values[0]}
    found = compare(*map(row, pair), metric)
    whole = found.groups[0]
    assert whole.won == sum(value > 1e-9 for value in change.values())
    assert whole.lost == sum(value < -1e-9 for value in change.values())
    assert whole.tied == len(change) - whole.won - whole.lost
    means = {key: np.mean([value for name, value in change.items() if name[1] == key]) for _, key, _ in change}
    largest = sorted((abs(value) for value in means.values()), reverse=True)[:10]
    assert [abs(one.first - one.second) for one in found.changes] == pytest.approx([v for v in largest if v > 1e-9])
    for one in found.changes:
        assert one.first - one.second == pytest.approx(means[one.key])
        assert (one.rates, one.queries) == (("2", "3", "4"), 6)


def test_the_other_order_turns_everything_round(pair: tuple[Path, Path]) -> None:
    one, other = compare(*map(row, pair)).groups[0], compare(*map(row, pair[::-1])).groups[0]
    assert one.interval is not None
    assert other.interval is not None
    assert (other.first, other.second, other.won, other.lost) == (one.second, one.first, one.lost, one.won)
    assert (other.interval.low, other.interval.high) == (-one.interval.high, -one.interval.low)
    assert other.p == one.p


def test_a_result_is_equal_to_itself(pair: tuple[Path, Path]) -> None:
    found = compare(row(pair[0]), row(pair[0]))
    assert (found.groups[0].p, found.changes) == (1, ())
    assert "A and B are equal in every query." in render_comparison(found, "table")


def test_hashed_names_are_paired_with_names(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    hashed = keep(tmp_path / "hashed", "none", noise=1.0, trials=(0, 1), hashed=True)
    found, expected = (compare(row(pair[0]), row(path)) for path in (hashed, pair[1]))
    assert found.groups == expected.groups
    assert all(len(one.key) == 16 for one in found.changes)


def test_curves_of_drawn_galleries_are_compared(tmp_path: Path) -> None:
    rules = {"shot": "single:exact"}
    paths = keep(tmp_path, "ridge", rules=rules), keep(tmp_path, "none", noise=0.5, rules=rules)
    found = compare(*map(row, paths), "R5", "camid")
    assert found.groups[0].tied < found.groups[0].queries
    assert found.groups[0].first == pytest.approx(row(paths[0])[0].metrics["R5"].mean)
    with pytest.raises(
        ConfigError, match=r"--metric mAP: .*mAP is undefined: a single-shot .*; known: R1, R5, R10, R20$"
    ):
        compare(*map(row, paths), "mAP")


def test_only_shared_trials_are_compared_wherever_they_were_run(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    whole = row(pair[1])
    apart = [keep(tmp_path / f"trial {index}", "ridge", trials=(index,)) for index in (1, 2)]
    found = compare(row(*apart), whole)
    assert found.trials == (1,)
    assert found.left_out == (54, 54)
    assert "Left out: 54 queries that only A has, and 54 that only B has." in render_comparison(found, "table")
    with pytest.raises(ComparisonError, match="no trial in common: one has 2, the other 0-1"):
        compare(row(apart[1]), whole)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"rules": {"kernel": "bicubic"}}, r"differ in kernel \(bilinear and bicubic\);"),
        ({"split": "2"}, r"differ in lists of images of trials 0-1 \(1{12} and 2{12}\);"),
        ({"rules": {"shot": "single:exact"}}, r"differ in shot \(multi and single:exact\)"),
    ],
)
def test_what_forbids_a_comparison_is_named(
    tmp_path: Path, pair: tuple[Path, Path], other: dict[str, Any], message: str
) -> None:
    path = keep(tmp_path / "other", "none", trials=(0, 1), **other)
    with pytest.raises(ComparisonError, match=message):
        compare(row(pair[0]), row(path))


def test_scores_by_different_code_are_not_compared(pair: tuple[Path, Path]) -> None:
    (first,), (second,) = map(row, pair)
    other = attrs.evolve(second.result.metric_facts["mAP"], code_sha256="7" * 64)
    result = attrs.evolve(second.result, metric_facts=second.result.metric_facts | {"mAP": other})
    with pytest.raises(ComparisonError, match="score mAP was computed by different code"):
        compare((first,), (Joined.of([result]),), "mAP")
    with pytest.raises(ConfigError, match="--metric mAP: its plugin is not installed here, or has other code"):
        compare((Joined.of([result]),), (Joined.of([result]),), "mAP")


def test_a_folder_with_several_methods_is_told_from_one(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    with pytest.raises(ConfigError, match=r"results of 2 rows \(.*none, .*ridge.*\); name the file of one"):
        one_row(load_results([tmp_path]), str(tmp_path))


def test_of_a_folder_with_several_protocols_the_one_of_the_other_side_counts(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """As `crbench run --bound` and ``--set protocol.NAME=VALUE`` leave it: a protocol is no training of another."""
    folder = pair[1].parent
    keep(folder / "other", "none", trials=(0, 1), rules={"kernel": "bicubic"})
    code, out, err = said(capsys, "compare", pair[0], folder)
    assert (code, err) == (0, "")
    assert f"none ({pair[1]})" in out
    code, out, _ = said(capsys, "diff", folder, pair[0].parent)
    assert code == 0
    assert f"none ({pair[1]})" in out
    assert "kernel" not in out
    for command in ("compare", "diff"):
        code, out, err = said(capsys, command, folder, folder)
        assert (code, out) == (2, "")
        assert "results of 2 protocols, which differ in kernel (" in err
        assert err.endswith("; name the file of one\n")


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = invoke([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("form", ["table", "github", "latex", "json"])
def test_every_format_holds_the_verdict(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str], form: str) -> None:
    code, out, err = said(capsys, "compare", *pair, "--metric", "mAP", "--by", "rate", "--format", form)
    assert (code, err) == (0, "")
    if form == "json":
        content = json.loads(out)
        assert content["groups"][0]["p"] < 0.05
        assert content["first"]["files"] == [str(pair[0])]
    else:
        assert "A is better, and these queries tell them apart" in out.replace("\\", "")
        assert "rate 3" in out
    if form == "latex":
        assert out.startswith("% in the preamble: \\usepackage{booktabs}\n% A: ")
        assert out.count("\\begin{tabular}") == out.count("\\toprule") == 2


def test_names_that_are_commands_stay_harmless(pair: tuple[Path, Path]) -> None:
    hostile = "\\input{x} | <b> \x1b[31m [y] * % $"
    found = compare(*map(row, pair))
    change = attrs.evolve(found.changes[0], key="\\input{x}|<b>[y]*%$")
    first = attrs.evolve(found.first, label=hostile.replace("\x1b", "?"))
    spoiled = attrs.evolve(found, first=first, changes=(change,))
    assert isinstance(spoiled, Comparison)
    assert "\\input" not in render_comparison(spoiled, "latex").partition("\\begin{table}")[2]
    markdown = render_comparison(spoiled, "github")
    assert "<b>" not in markdown
    assert "\\|" in markdown


def test_exit_codes_say_what_was_wrong(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    other = keep(tmp_path / "other", "none", trials=(0, 1), split="2")
    code, out, err = said(capsys, "compare", pair[0], other)
    assert (code, out) == (5, "")
    assert err.startswith("crbench: error: not comparable")
    assert said(capsys, "compare", pair[0], tmp_path)[0] == 2
    assert said(capsys, "compare", pair[0], tmp_path / "nothing")[0] == 3
    pair[1].with_suffix(".npz").unlink()
    code, _, err = said(capsys, "compare", *pair)
    assert code == 3
    assert "no such file; the outcomes of a result lie beside it" in err


def test_a_result_without_outcomes_is_named(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    (result,) = load_results([pair[1]])
    bare = tmp_path / "bare.json"
    bare.write_text(to_json(attrs.evolve(result, outcomes=None, content_sha256=None)), encoding="utf-8")
    assert invoke(["compare", str(pair[0]), str(bare)]) == 3


def test_what_differs_is_listed_by_parts(
    tmp_path: Path, pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    (base,) = load_results([pair[1]])
    other = keep(
        tmp_path / "other",
        "none",
        trials=(0,),
        split="2",
        rules={"kernel": "bicubic"},
        seed=5,
        environment=attrs.evolve(base.environment, torch="9.9", packages={"pillow": "1.0"}),
        code={"dataset": "8" * 64},
    )
    results = load_results([pair[1], other])
    found = {(one.part, one.name): (one.first, one.second) for one in differences(*results)}
    assert found["protocol", "kernel"] == ("bilinear", "bicubic")
    assert found["data", "lists of images of trial 0"] == ("1" * 12, "2" * 12)
    assert found["data", "trials"] == ("0-1", "0")
    assert found["method", "seed"][1] == "5"
    assert found["environment", "torch"][1] == "9.9"
    assert found["environment", "pillow"][1] == "1.0"
    assert found["code", "code of the dataset"][1] == "8" * 12
    code, out, _ = said(capsys, "diff", pair[1], other)
    assert code == 0
    assert "They answer different questions, and are not compared, as they differ in kernel, lists of images" in out
    assert "kernel: resampling kernel of LR images" in out
    for form in ("json", "latex", "github"):
        assert "bicubic" in said(capsys, "diff", pair[1], other, "--format", form)[1]


def test_equal_facts_are_no_difference(pair: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert "They differ in no fact beside scores" in said(capsys, "diff", pair[0], pair[0])[1]


def test_the_trainings_of_a_method_are_averaged_query_by_query(tmp_path: Path, pair: tuple[Path, Path]) -> None:
    seeds = [
        keep(tmp_path / f"seed {seed}", "none", noise=noise, trials=(0, 1), seed=seed)
        for seed, noise in ((1, 1.0), (2, 0.3))
    ]
    trainings = row(*seeds)
    assert len(trainings) == 2
    found = compare(trainings, row(pair[0]), "mAP")
    each = [one.metrics["mAP"].mean for one in trainings]
    assert found.groups[0].first == pytest.approx(np.mean(each))
    assert found.first.between == pytest.approx(np.std(each, ddof=1))
    assert (found.first.trainings, found.second.trainings, found.second.between) == (2, 1, None)
    text = render_comparison(found, "table")
    assert "none, mean over 2 trainings (" in text
    assert "Between its 2 trainings, mAP of A has a standard deviation of" in text


def ends(index: int, found: Sequence[int]) -> TrialOutcomes:
    """Six queries of each of 50 people that find their one match in first or second place."""
    count = len(found)
    queries = Samples(
        keys=[f"{place:04d}" for place in range(count)], pids=np.repeat(np.arange(50), 6), rates=[2] * count
    )
    ranks = Ranks(2 - np.array(found), np.arange(count + 1), np.full(count, 9))
    return TrialOutcomes(index, queries, Outcomes(ranks, None))


def test_the_command_finds_what_loops_by_hand_find_of_six_points_over_fifty_people(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(6)
    rows: list[list[list[int]]] = [[], []]
    for _ in range(2):  # trials
        worse = [1] * 180 + [0] * 120
        rng.shuffle(worse)
        better = list(worse)
        for value, changed in ((0, 33), (1, 15)):  # 33 - 15 of 300 queries are 6 points
            for place in rng.sample([place for place, own in enumerate(worse) if own == value], changed):
                better[place] = 1 - value
        rows[0].append(better)
        rows[1].append(worse)
    protocol = EvalProtocol.of(shot="multi")
    paths = [
        keep_outcomes(tmp_path, name, protocol, [ends(index, found) for index, found in enumerate(trials)])
        for name, trials in zip(("ridge", "none"), rows, strict=True)
    ]
    code, out, _ = said(capsys, "compare", *paths, "--format", "json")
    whole = json.loads(out)["groups"][0]
    assert code == 0
    assert whole["difference"] == pytest.approx(0.06)
    assert (whole["won"], whole["lost"], whole["tied"]) == (66, 30, 504)
    gains = [
        sum(rows[0][trial][6 * pid + i] - rows[1][trial][6 * pid + i] for trial in range(2) for i in range(6))
        for pid in range(50)
    ]  # of each person, in 600 queries of two trials
    drawn = sorted(sum(gains[rng.randrange(50)] for _ in range(50)) / 600 for _ in range(4000))
    low, high = np.quantile(drawn, [0.022, 0.978])  # expanded for 50 people
    flipped = [abs(sum(gain * rng.choice((-1, 1)) for gain in gains)) >= 36 for _ in range(4000)]
    # four standard errors of what 4,000 and 2,000 draws, and 4,000 and 9,999 permutations, tell
    error = 4 * np.sqrt(0.022 * 0.978 * (1 / 4000 + 1 / 2000)) / stats.norm.pdf(stats.norm.ppf(0.022)) * np.std(drawn)
    assert (whole["interval"]["low"], whole["interval"]["high"]) == pytest.approx((low, high), abs=error)
    error = 4 * np.sqrt(whole["p"] * (1 - whole["p"]) * (1 / 4000 + 1 / 9999))
    assert whole["p"] == pytest.approx(np.mean(flipped), abs=error)
