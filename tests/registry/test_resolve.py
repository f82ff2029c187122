from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from crbench.api.entry import Entry
from crbench.errors import ConfigError, DataError, PluginError
from crbench.registry import resolve as resolve_module
from crbench.registry import targets
from crbench.registry.discovery import Owner, Registered, Registry


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


@attrs.frozen
class Filed:
    """A backbone whose argument is a file."""

    file: Path
    size: int = 3
    weights: Path | None = None
    device: str = "cpu"


def counted(*, count: int):
    return count


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
        ("backbone", Entry("filed", Filed, presets={"a": {}, "b": {"size": 4}}, argument="file")),
        ("distance", Entry("counted", counted, argument="count")),
        ("dataset", Entry("lazy", "a_missing_module:Thing", extra="more")),
    ]
    made = Registry(entries=tuple(Registered(kind, entry, owner) for kind, entry in entries), broken=())
    monkeypatch.setattr(resolve_module, "installed", lambda: made)


@pytest.mark.usefixtures("registry")
class TestResolve:
    def test_all_parameters_are_spelled_out(self):
        method = resolve_module.resolve("aligner", "tunable/narrow", {"shrink": 1})
        assert method.name == "tunable/narrow"
        assert method.parameters == {"width": 2, "shrink": 1.0, "rates": [2, 3]}
        assert method.build() == Tunable(width=2, shrink=1.0, rates=(2, 3))

    def test_the_first_preset_is_the_default(self):
        assert resolve_module.resolve("aligner", "tunable").name == "tunable/wide"

    @pytest.mark.parametrize(
        ("asked", "changes", "message"),
        [
            ("tunable/huge", {}, "unknown preset 'huge' of aligner 'tunable'; known: wide, narrow"),
            ("tunable", {"widht": 3}, "has no parameter 'widht'; did you mean 'width'"),
            ("tunable", {"width": "wide"}, "width = 'wide' is not of type int"),
            ("tunable", {"rates": [2.5]}, "rates = .* is not of type tuple"),
        ],
    )
    def test_bad_requests(self, asked, changes, message):
        with pytest.raises(ConfigError, match=message):
            resolve_module.resolve("aligner", asked, changes)

    def test_a_parameter_without_default_must_be_given(self):
        with pytest.raises(ConfigError, match=r"needs a value for size; give --set backbone\.size="):
            resolve_module.resolve("backbone", "needy")
        assert targets.load_target(resolve_module.installed().get("backbone", "needy")) is Needy

    def test_context_is_no_parameter(self):
        with pytest.raises(ConfigError, match="has no parameter 'device'"):
            resolve_module.resolve("backbone", "needy", {"size": 1, "device": "cuda"})

    def test_a_missing_import_names_the_extra(self):
        with pytest.raises(PluginError, match=r"d 1 .* failed at import.*pip install 'd\[more\]'"):
            resolve_module.load_dataset("lazy")

    def test_range_errors_are_about_the_wish(self):
        with pytest.raises(ConfigError, match="'shrink' must be >= 0"):
            resolve_module.load_aligner("tunable", shrink=-1.0)

    def test_other_errors_are_about_the_plugin(self):
        with pytest.raises(PluginError, match="failed at construction: KeyError") as caught:
            resolve_module.load_aligner("fails")
        assert isinstance(caught.value.__cause__, KeyError)

    def test_what_is_built_must_be_of_its_kind(self):
        with pytest.raises(PluginError, match="gave a str, not a Aligner"):
            resolve_module.load_aligner("plain")

    def test_weights_must_exist(self, tmp_path):
        with pytest.raises(DataError, match=r"none.pth does not exist"):
            resolve_module.load_backbone("needy", weights=tmp_path / "none.pth", size=1)

    def test_a_file_that_a_parameter_names_counts_by_its_content(self, tmp_path, monkeypatch):
        @attrs.frozen
        class Loads:
            weights: Path | None = None

        owner = Owner(plugin="p", distribution="d", version="1")
        made = Registry(entries=(Registered("aligner", Entry("loads", Loads), owner),), broken=())
        monkeypatch.setattr(resolve_module, "installed", lambda: made)
        file = tmp_path / "w.bin"
        identities = []
        for content in (b"one", b"two"):
            file.write_bytes(content)
            identities.append(resolve_module.resolve("aligner", "loads", {"weights": str(file)}).identity())
        assert identities[0] != identities[1]
        assert resolve_module.resolve("aligner", "loads", {"weights": str(file)}).parameters == {"weights": str(file)}
        folder = resolve_module.resolve("aligner", "loads", {"weights": str(tmp_path)}).identity()
        assert folder != identities[1]
        gone = resolve_module.resolve("aligner", "loads", {"weights": str(tmp_path / "none")}).identity()
        assert gone["parameters"]["weights"] == "missing"


@pytest.mark.usefixtures("registry")
class TestArgument:
    def test_text_after_the_colon_fills_the_declared_parameter(self, tmp_path):
        file = tmp_path / "net.bin"
        file.write_bytes(b"weights")
        method = resolve_module.resolve("backbone", f"filed/b:{file}")
        assert method.build() == Filed(file=file, size=4)
        assert method.name == f"filed/b:{file}"
        assert method.label == "filed:net.bin"
        assert method.file == file
        assert resolve_module.resolve("backbone", "filed/b", {"file": str(file)}) == method
        assert resolve_module.resolve("backbone", f"filed:{file}", {"size": 9}).build().size == 9

    def test_it_is_converted_to_the_type_of_the_parameter(self):
        assert resolve_module.resolve("distance", "counted:7").build() == 7
        with pytest.raises(ConfigError, match="count = 'many' is not of type int"):
            resolve_module.resolve("distance", "counted:many")

    def test_a_file_is_identified_by_its_content_not_by_its_name(self, tmp_path):
        files = [tmp_path / name for name in ("a", "b", "c")]
        for file, content in zip(files, (b"1", b"1", b"2"), strict=True):
            file.write_bytes(content)
        a, b, c = (resolve_module.resolve("backbone", f"filed:{file}") for file in files)
        assert a.identity() == b.identity()
        assert a.identity() != c.identity()
        assert a.file_sha256 == b.file_sha256 != c.file_sha256

    def test_methods_without_one_are_as_before(self):
        method = resolve_module.resolve("aligner", "tunable")
        assert (method.label, method.file, method.file_sha256) == ("tunable", None, None)

    @pytest.mark.parametrize(
        ("kind", "asked", "changes", "error", "message"),
        [
            ("aligner", "tunable:3", {}, ConfigError, "takes nothing after a colon, given '3'; write tunable"),
            ("backbone", "filed", {}, ConfigError, "needs a value for file; give filed:FILE"),
            ("backbone", "filed:", {}, ConfigError, "needs a value for file; give filed:FILE"),
            ("backbone", "filed:x", {"file": "y"}, ConfigError, "file is given twice, as 'x' and by --set"),
            ("backbone", "filed/c:x", {}, ConfigError, "unknown preset 'c'"),
            ("backbone", "filed:nowhere/x", {}, DataError, "nowhere/x does not exist; expected filed:FILE"),
            ("backbone", "fild:x", {}, ConfigError, "did you mean 'filed'"),
        ],
    )
    def test_bad_requests(self, kind, asked, changes, error, message):
        with pytest.raises(error, match=message):
            resolve_module.resolve(kind, asked, changes)
