from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from crbench import loading
from crbench.entries import Entry
from crbench.errors import ConfigError, DataError, PluginError
from crbench.registry import Owner, Registered, Registry


@attrs.frozen
class Tunable:
    """An aligner with parameters of several types."""

    width: int = 8
    shrink: float = attrs.field(default=0.5, validator=attrs.validators.ge(0))
    rates: tuple[int, ...] = (2, 3)

    def fit(self, train, *, run):
        return lambda feats: feats


class Needy:
    def __init__(self, *, size: int, weights=None, device="cpu"):
        self.size = size


def fails():
    raise KeyError("boom")


@pytest.fixture
def registry(monkeypatch):
    """A registry of three aligners, a backbone and an entry with a lazy target."""
    owner = Owner(plugin="p", distribution="d", version="1")
    entries = [
        ("aligner", Entry("tunable", Tunable, presets={"wide": {"width": 64}, "narrow": {"width": 2}})),
        ("aligner", Entry("plain", lambda: "not an aligner")),
        ("aligner", Entry("fails", fails)),
        ("backbone", Entry("needy", Needy)),
        ("dataset", Entry("lazy", "a_missing_module:Thing", extra="more")),
    ]
    made = Registry(entries=tuple(Registered(kind, entry, owner) for kind, entry in entries), broken=())
    monkeypatch.setattr(loading, "installed", lambda: made)


@pytest.mark.usefixtures("registry")
class TestResolve:
    def test_all_parameters_are_spelled_out(self):
        method = loading.resolve("aligner", "tunable/narrow", {"shrink": 1})
        assert method.name == "tunable/narrow"
        assert method.parameters == {"width": 2, "shrink": 1.0, "rates": [2, 3]}
        assert method.build() == Tunable(width=2, shrink=1.0, rates=(2, 3))

    def test_the_first_preset_is_the_default(self):
        assert loading.resolve("aligner", "tunable").name == "tunable/wide"

    @pytest.mark.parametrize(
        ("wish", "changes", "message"),
        [
            ("tunable/huge", {}, "unknown preset 'huge' of aligner 'tunable'; known: wide, narrow"),
            ("tunable", {"widht": 3}, "has no parameter 'widht'; did you mean 'width'"),
            ("tunable", {"width": "wide"}, "width = 'wide' is not of type int"),
            ("tunable", {"rates": [2.5]}, "rates = .* is not of type tuple"),
        ],
    )
    def test_bad_wishes(self, wish, changes, message):
        with pytest.raises(ConfigError, match=message):
            loading.resolve("aligner", wish, changes)

    def test_a_parameter_without_default_must_be_given(self):
        with pytest.raises(ConfigError, match=r"needs a value for size; give --set backbone\.size="):
            loading.resolve("backbone", "needy")
        assert loading.load_target(loading.installed().get("backbone", "needy")) is Needy

    def test_context_is_no_parameter(self):
        with pytest.raises(ConfigError, match="has no parameter 'device'"):
            loading.resolve("backbone", "needy", {"size": 1, "device": "cuda"})

    def test_a_missing_import_names_the_extra(self):
        with pytest.raises(PluginError, match=r"d 1 .* failed at import.*pip install 'd\[more\]'"):
            loading.load_dataset("lazy")

    def test_range_errors_are_about_the_wish(self):
        with pytest.raises(ConfigError, match="'shrink' must be >= 0"):
            loading.load_aligner("tunable", shrink=-1.0)

    def test_other_errors_are_about_the_plugin(self):
        with pytest.raises(PluginError, match="failed at construction: KeyError") as caught:
            loading.load_aligner("fails")
        assert isinstance(caught.value.__cause__, KeyError)

    def test_what_is_built_must_be_of_its_kind(self):
        with pytest.raises(PluginError, match="gave a str, not a Aligner"):
            loading.load_aligner("plain")

    def test_weights_must_exist(self, tmp_path):
        with pytest.raises(DataError, match=r"none.pth does not exist"):
            loading.load_backbone("needy", weights=tmp_path / "none.pth", size=1)

    def test_a_file_that_a_parameter_names_counts_by_its_content(self, tmp_path, monkeypatch):
        @attrs.frozen
        class Loads:
            weights: Path | None = None

        owner = Owner(plugin="p", distribution="d", version="1")
        made = Registry(entries=(Registered("aligner", Entry("loads", Loads), owner),), broken=())
        monkeypatch.setattr(loading, "installed", lambda: made)
        file = tmp_path / "w.bin"
        identities = []
        for content in (b"one", b"two"):
            file.write_bytes(content)
            identities.append(loading.resolve("aligner", "loads", {"weights": str(file)}).identity())
        assert identities[0] != identities[1]
        assert loading.resolve("aligner", "loads", {"weights": str(file)}).parameters == {"weights": str(file)}
        folder = loading.resolve("aligner", "loads", {"weights": str(tmp_path)}).identity()
        assert folder != identities[1]
        gone = loading.resolve("aligner", "loads", {"weights": str(tmp_path / "none")}).identity()
        assert gone["parameters"]["weights"] == "missing"
