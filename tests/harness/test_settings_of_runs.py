"""Settings of the command line for a config of several runs: each run takes those that name something of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crbench.cli import invoke
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError
from crbench.harness.plan import make_plan
from crbench.harness.settings import where_they_fit

RUNS: tuple[dict[str, Any], ...] = (
    {"aligner": ("vpfa", "match-rate")},
    {"aligner": ("vpfa",)},
    {"aligner": ("ridge",), "fit_on": ("mlr-viper",)},
)


def specs(**settings: Any) -> list[RunSpec]:
    """The runs, with settings that all of them were given."""
    return [RunSpec(dataset="mlr-synthetic", set={"protocol.kernel": "box", **settings}, **run) for run in RUNS]


@pytest.mark.parametrize(
    ("key", "value", "having"),
    [
        ("match-rate.inner", "ridge", [0]),
        ("vpfa.hidden", 64, [0, 1]),
        ("partner.seed", 3, [2]),
        ("mlr-viper.seed", 3, [2]),
        ("resnet-tiny.epochs", 1, [0, 1, 2]),
        ("aligner.hidden", 64, [0, 1, 2]),
        ("protocol.kernel", "box", [0, 1, 2]),
    ],
)
def test_runs_that_lack_the_method_go_without_the_setting(key: str, value: object, having: list[int]) -> None:
    found = where_they_fit(specs(**{key: value}), [key])
    assert [place for place, spec in enumerate(found) if key in spec.set] == having
    assert all("protocol.kernel" in spec.set for spec in found)


@pytest.mark.parametrize("key", ["lrar.lr", "vfpa.hidden"])
def test_a_setting_that_no_run_has_a_method_for_is_refused(key: str) -> None:
    found = where_they_fit(specs(**{key: 1}), [key])
    assert all(key in spec.set for spec in found)
    with pytest.raises(ConfigError, match=rf"set '{key}': expected PART.NAME"):
        make_plan(found[0])


def test_settings_of_the_config_itself_must_fit_their_run() -> None:
    """A typing error in a file is not taken for a setting of another run."""
    found = where_they_fit(specs(**{"match-rate.inner": "ridge"}), [])
    assert all("match-rate.inner" in spec.set for spec in found)


@pytest.mark.usefixtures("fakes")
def test_runs_of_a_config_say_a_note_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CRBENCH_CACHE", str(tmp_path / "cache"))
    config = tmp_path / "two.toml"
    config.write_text('dataset = "tiny"\nbackbone = "random"\ntrial = 0\n[[run]]\n[[run]]\naligner = "shift"\n')
    assert invoke(["run", "--config", str(config), "-o", str(tmp_path / "results")]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "crbench: protocol mlr (default of tiny)" in lines
    assert len(lines) == len(set(lines))
