"""All tables together: what is planted is said, what is not there is not, and every format shows it."""

from __future__ import annotations

import json

import numpy as np
import pytest
from analysis.made import made

from crbench.analysis import DirectionsReport, SameImages, directions
from crbench.analysis.findings import findings
from crbench.analysis.subject import Subject
from crbench.analysis.tables import FORMATS

SUBJECT = Subject("data", "mlr", "0" * 12, 0, "backbone", None, 0, ("half", "back"), "test")


def same(shift: float, of_person: float, *, turned: bool = False) -> SameImages:
    lr, hr, pids = made(60, 3, 24, shift=shift, of_person=of_person)
    if turned:
        hr = lr + np.roll(hr - lr, 1, axis=1)
    return SameImages(lr, hr, pids, {"half": (lr + hr) / 2, "back": lr - (hr - lr).mean(axis=0)})


@pytest.fixture(scope="module")
def planted() -> DirectionsReport:
    rates = {3.0: same(4, 0.2, turned=True), 2.0: same(4, 0.2)}
    return DirectionsReport(SUBJECT, directions(rates, permutations=3))


@pytest.fixture(scope="module")
def isotropic() -> DirectionsReport:
    return DirectionsReport(SUBJECT, directions({2.0: same(0, 1)}, permutations=3))


def test_rates_are_in_order_and_every_pair_has_an_angle(planted):
    assert list(planted.directions.rates) == [2, 3]
    assert list(planted.directions.angles) == [(2, 3)]


def test_a_planted_direction_is_said(planted):
    one = planted.directions.rates[2]
    assert one.cosine.value > one.cosine.high - 0.1 > one.cosine.chance
    assert one.cosine.p == 1 / 1000
    assert one.correlation.mean_without.low > 0.7
    assert one.correlation.groups == 30
    assert one.explained["shift"].low > 0.5
    assert one.explained["half"].value == pytest.approx(0.75)
    assert one.beyond_shift["back"].high < 0
    words = " ".join(findings(planted.directions, "test"))
    assert "There is a common direction at every rate" in words
    assert "A linear map does not explain more" in words
    assert "is not the same at all rates" in words
    assert "half explains 75.0 [75.0, 75.0] % at x2" in words


def test_what_is_not_there_is_not_said(isotropic):
    one = isotropic.directions.rates[2]
    assert one.cosine.p > 0.05
    assert one.explained["shift"].value < 0.01
    words = findings(isotropic.directions, "test")
    assert words[0] == "These people show no common direction from LR to HR."
    assert not any("turns" in line for line in words)


def test_people_that_an_aligner_learned_from_are_named(isotropic):
    assert "fitted on; others get less" in " ".join(findings(isotropic.directions, "train"))
    assert "fitted on; others get less" not in " ".join(findings(isotropic.directions, "test"))


def test_json_has_all_numbers_and_the_printed_ones(planted, isotropic):
    content = json.loads(planted.render("json"))
    assert content["subject"]["aligners"] == ["half", "back"]
    assert content["directions"]["rates"]["2"]["cosine"]["value"] == planted.directions.rates[2].cosine.value
    assert content["directions"]["angles"]["2 and 3"]["value"] > 5
    assert len(content["printed"]) == 37
    assert len(content["findings"]) == len(findings(planted.directions, "test"))
    assert json.loads(isotropic.render("json"))["directions"]["angles"] == {}


@pytest.mark.parametrize("form", [form for form in FORMATS if form != "json"])
def test_every_format_shows_every_table(planted, form):
    text = planted.render(form)
    for title in ("Table 1", "Table 2a", "Table 2b", "Table 7", "Share of the squared offsets", "Angle between"):
        assert title in text
    assert "0.4826" in text  # printed, x2 R1
    assert "17.87" in text
    assert ("\\toprule" in text) == (form == "latex")


def test_rates_that_the_paper_lacks_have_no_printed_rows():
    report = DirectionsReport(SUBJECT, directions({8.0: same(4, 0.2)}, permutations=1))
    assert "0.4826" not in report.render()


def test_the_same_seed_gives_the_same_numbers(isotropic):
    again = DirectionsReport(SUBJECT, directions({2.0: same(0, 1)}, permutations=3))
    assert again.render("json") == isotropic.render("json")
