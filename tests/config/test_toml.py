"""Config files with runs and scales."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crbench.config.toml import published_in, read_specs
from crbench.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "arguments", "message"),
    [
        ("dataset = 'tiny'\nrun = 3", {}, r"expected \[\[run\]\]"),
        ("scale = 3", {}, r"expected \[scale.NAME\]"),
        ("[[run]]\nscale = {tiny = 3}", {}, r"expected \[scale.NAME\]"),
        ("dataset = 'tiny'", {"scale": "tiny"}, "no scale 'tiny'; known: none"),
        ("[scale.a]\nseed = 1\n[[run]]\n[run.scale.b]\nseed = 2", {"scale": "c"}, "no scale 'c'; known: a, b"),
        ("dataset = 'tiny'\n[[run]]\ncolour = 1", {}, "unknown colour"),
        ("[[run]]\nseed = 1", {}, "no data set given"),
    ],
)
def test_bad_config_files_are_refused(text: str, arguments: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_specs(str(path), **arguments)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("crbench_lrar:table-8", "ships no 'table-8'; did you mean 'table-7'. known: table-1, "),
        ("no_such_package:x", "no package 'no_such_package'"),
        ("nowhere.toml", "nowhere.toml"),
    ],
)
def test_unknown_config_files_are_named(config: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_specs(config)


def test_runs_scales_and_the_command_line_win_in_this_order(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text(
        "dataset = 'a'\nseed = 1\n[set.protocol]\nkernel = 'box'\n"
        "[[run]]\nseed = 2\nset.protocol.trials = 3\n[[run]]\n[run.scale.small]\nlimit = 7\n"
        "[scale.small]\nlimit = 5\nseed = 4\n"
    )
    first, second = read_specs(str(path), given={"set": {"protocol.kernel": "hamming"}})
    assert (first.seed, second.seed, first.limit) == (2, 1, None)
    assert first.set == {"protocol.kernel": "hamming", "protocol.trials": 3}
    first, second = read_specs(str(path), scale="small", given={"seed": 9})
    assert (first.limit, second.limit, first.seed) == (5, 7, 9)


def test_a_file_names_the_table_whose_rows_are_shown_below(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('dataset = "mlr-synthetic"\n')
    assert published_in(str(path)) == ""
    path.write_text('published = "wu2023lrar, Table I"\ndataset = "mlr-synthetic"\n')
    assert published_in(str(path)) == "wu2023lrar, Table I"
    (spec,) = read_specs(str(path))
    assert spec.dataset == ("mlr-synthetic",)
    path.write_text('published = 3\ndataset = "mlr-synthetic"\n')
    with pytest.raises(ConfigError, match="published: expected text such as"):
        published_in(str(path))
