from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crbench.config.paths import cache_root, data_root
from crbench.config.run_spec import RunSpec, build_spec, parse_trials
from crbench.config.settings import parse_setting
from crbench.config.toml import load_toml
from crbench.errors import ConfigError


@given(st.sets(st.integers(0, 99), min_size=1))
def test_trials_survive_the_round_trip(trials):
    assert parse_trials(",".join(map(str, trials))) == tuple(sorted(trials))


@pytest.mark.parametrize("text", ["", "a", "3-", "-3", "5-2", "1,,2", "1.5", "1_0", "+1", "\N{ARABIC-INDIC DIGIT TWO}"])
def test_bad_trials(text):
    with pytest.raises(ConfigError, match="not a list of trials"):
        parse_trials(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("aligner.hidden=512", ("aligner.hidden", 512)),
        ("aligner.residual=false", ("aligner.residual", False)),
        ("protocol.query_rates=[2, 3]", ("protocol.query_rates", [2, 3])),
        ("protocol.kernel=bicubic", ("protocol.kernel", "bicubic")),
        ("protocol.shot=single:mc:10", ("protocol.shot", "single:mc:10")),
        ("aligner.path=a=b", ("aligner.path", "a=b")),
        ("match-rate.inner.alpha=10", ("match-rate.inner.alpha", 10)),  # a parameter of a method within one
    ],
)
def test_settings(text, expected):
    assert parse_setting(text) == expected


@pytest.mark.parametrize("text", ["aligner.hidden", "hidden=3", ".hidden=3", "a..c=3", "a.b.=3", "=3"])
def test_bad_settings(text):
    with pytest.raises(ConfigError, match=r"expected PART\.NAME=VALUE"):
        parse_setting(text)


def test_a_toml_file_is_a_spec(tmp_path):
    path = tmp_path / "run.toml"
    path.write_text('dataset = "mlr-viper"\naligner = ["vpfa", "ridge"]\ntrial = "0-2"\n[set.aligner]\nhidden = 512\n')
    spec = build_spec(load_toml(path), str(path))
    assert spec == RunSpec(
        dataset=("mlr-viper",), aligner=("vpfa", "ridge"), trial=(0, 1, 2), set={"aligner.hidden": 512}
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "no data set given"),
        ({"dataset": "x", "datset": "y"}, "unknown datset; did you mean 'dataset'. known: "),
        ({"dataset": "x", "seed": -1}, "seed: -1 is out of range; expected a value at least 0"),
        ({"dataset": "x", "limit": 1}, "limit: 1 is out of range; expected a value at least 2"),
        ({"dataset": "x", "batch_size": 0}, "batch_size: 0 is neither auto nor a number of images from 1"),
        ({"dataset": "x", "on_bad_image": "ignore"}, "on_bad_image: 'ignore' is not one of error, skip"),
    ],
)
def test_bad_specs_name_the_field(values, message):
    with pytest.raises(ConfigError, match=message):
        build_spec(values, "run")


def test_config_files_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match="No such file"):
        load_toml(tmp_path / "none.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("dataset = ")
    with pytest.raises(ConfigError, match="is not TOML"):
        load_toml(bad)


def test_folders_come_from_option_variable_config_platform(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))
    for name in ("DATA", "CACHE"):
        monkeypatch.delenv(f"CRBENCH_{name}", raising=False)
    assert data_root() == tmp_path / "share" / "crbench" / "data"
    (tmp_path / "config" / "crbench").mkdir(parents=True)
    config = tmp_path / "config" / "crbench" / "config.toml"
    config.write_text('data_root = "/from/config"\n')
    assert data_root() == Path("/from/config")
    monkeypatch.setenv("CRBENCH_DATA", "/from/variable")
    assert data_root() == Path("/from/variable")
    assert data_root(Path("/from/option")) == Path("/from/option")
    config.write_text("data_rot = 3\n")
    with pytest.raises(ConfigError, match=r"config\.toml: unknown field data_rot @ \$$"):
        cache_root()
    config.write_text("cache_root = 3\n")
    with pytest.raises(ConfigError, match=r"config\.toml: '3' is not of type str @ \$\.cache_root$"):
        cache_root()
