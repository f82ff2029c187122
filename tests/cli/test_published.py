"""``crbench published``: the printed numbers without anything measured."""

from __future__ import annotations

import csv
import io

import pytest

from crbench.cli import invoke


def test_printed_numbers_need_no_result(capsys):
    assert invoke(["published", "--dataset", "mlr-caviar"]) == 0
    shown = capsys.readouterr().out
    assert "mlr-caviar, published numbers, not measured here, not ranked" in shown
    assert "remark, FD-GAN: R10 is 96.5 in liu2025vpfa, Table 3; 86.5 in wu2023lrar, Table I" in shown
    assert "† wu2023lrar: Wu et al., IEEE TIP 32" in shown


def test_ablations_come_on_request(capsys):
    counts = []
    for more in ([], ["--ablations"]):
        assert invoke(["published", "--method", "lrar", "--format", "csv", *more]) == 0
        rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
        assert {row["evidence"] for row in rows} == {"published"}
        assert all("lrar" in row["aligner"].lower() for row in rows)
        counts.append(len(rows))
    assert counts == [12, 55]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--dataset", "mlr-cavair"], "no paper prints numbers of 'mlr-cavair'; known: mlr-caviar, mlr-cuhk03"),
        (["--method", "nothing"], "no such method among the printed numbers: nothing"),
    ],
)
def test_what_is_not_there_is_named(options, said, capsys):
    assert invoke(["published", *options]) == 2
    assert said in capsys.readouterr().err
