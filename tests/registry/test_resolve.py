from __future__ import annotations

import functools
import types
from pathlib import Path
from typing import Annotated, ClassVar

import attrs
import pytest

from crbench.api.entry import Entry
from crbench.api.parameters import Flattened
from crbench.errors import ConfigError, DataError, PluginError
from crbench.registry import load as load_module
from crbench.registry import resolve as resolve_module
from crbench.registry import targets
from crbench.registry.discovery import Registered, Registry
from crbench.registry.guard import Owner


@attrs.frozen
class Tunable:
    """An aligner with parameters of several types."""

    width: int = 8
    shrink: float = attrs.field(default=0.5, validator=attrs.validators.ge(0))
    rates: tuple[int, ...] = (2, 3)

    def fit(self, train, *, run):
        return lambda feats: feats


@attrs.frozen
class MistypedRecord:
    width: Nope = 8  # noqa: F821


class Mistyped:
    def __init__(self, width: Nope = 8):  # noqa: F821
        raise NotImplementedError


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
    dim: ClassVar = 3
    preprocess: ClassVar = None

    def extract(self, batch):
        raise NotImplementedError


@attrs.frozen(kw_only=True)
class Recipe:
    """A record with a field that a method may keep to itself."""

    lr: float = attrs.field(default=0.1, validator=attrs.validators.gt(0))
    milestones: tuple[float, ...] = attrs.field(default=(), converter=tuple)
    momentum: float = 0.9


@attrs.frozen
class Shape:
    """A record whose fields are all offered."""

    width: int = 8
    deep: bool = False


class Trained:
    """A backbone with two flattened records."""

    dim, preprocess = 3, None

    def extract(self, batch):
        raise NotImplementedError

    def __init__(
        self,
        *,
        weights: Path | None = None,
        device: str = "cpu",
        rate: float = 2.0,
        shape: Annotated[Shape, Flattened()] = Shape(width=4),
        recipe: Annotated[Recipe, Flattened("lr", "milestones")] = Recipe(lr=0.5, momentum=0.8),
    ) -> None:
        self.rate, self.shape, self.recipe = rate, shape, recipe


@attrs.frozen
class Fitted:
    """An attrs class with a flattened record."""

    scope: str = "shared"
    recipe: Annotated[Recipe, Flattened("lr")] = Recipe()

    def fit(self, train, *, run):
        raise NotImplementedError


def clashing(*, lr: float = 1.0, recipe: Annotated[Recipe, Flattened("lr")] = Recipe()):
    return recipe


def misnamed(*, recipe: Annotated[Recipe, Flattened("speed")] = Recipe()):
    return recipe


def lacking(*, recipe: Annotated[Recipe, Flattened("lr")]):
    return recipe


def counted(*, count: int):
    return functools.partial(far, count)


def far(count, query, gallery):
    raise NotImplementedError


def fails():
    raise KeyError("boom")


@pytest.fixture
def registry(monkeypatch):
    """A registry of well-formed, ill-formed and failing entries."""
    owner = Owner(plugin="p", distribution="d", version="1")
    entries = [
        ("aligner", Entry("tunable", Tunable, presets={"wide": {"width": 64}, "narrow": {"width": 2}})),
        ("aligner", Entry("plain", lambda: "not an aligner")),
        ("aligner", Entry("fails", fails)),
        ("aligner", Entry("mistyped", Mistyped)),
        ("aligner", Entry("mistyped-record", MistypedRecord)),
        ("backbone", Entry("needy", Needy)),
        ("backbone", Entry("filed", Filed, presets={"a": {}, "b": {"size": 4}}, argument="file")),
        ("backbone", Entry("trained", Trained, presets={"slow": {"lr": 0.01, "width": 2}})),
        ("aligner", Entry("fitted", Fitted)),
        ("aligner", Entry("clashing", clashing)),
        ("aligner", Entry("misnamed", misnamed)),
        ("aligner", Entry("lacking", lacking)),
        ("distance", Entry("counted", counted, argument="count")),
        ("distance", Entry("function", far)),
        ("dataset", Entry("partly", lambda: types.SimpleNamespace(info=None, split=None))),
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

    def test_a_function_in_the_place_of_a_factory_of_distances_is_told_what_to_be(self):
        with pytest.raises(
            ConfigError, match="needs a value for count, gallery, query; nothing sets one, so the target"
        ):
            resolve_module.resolve("distance", "function")

    def test_what_is_built_has_all_members_wherever_it_is_built(self):
        with pytest.raises(PluginError, match=r"d 1 .*: dataset 'partly' gave .* it lacks digests, protocols, read$"):
            resolve_module.resolve("dataset", "partly").build()

    def test_context_is_no_parameter(self):
        with pytest.raises(ConfigError, match="has no parameter 'device'"):
            resolve_module.resolve("backbone", "needy", {"size": 1, "device": "cuda"})

    def test_a_missing_import_names_the_extra(self):
        with pytest.raises(
            ConfigError,
            match=r"^dataset 'lazy' needs a_missing_module, which is not installed; "
            r"install d\[more\]: pip install 'd\[more\]'$",
        ):
            load_module.load_dataset("lazy")

    def test_range_errors_are_about_the_wish(self):
        with pytest.raises(ConfigError, match=r"shrink: -1.0 is out of range; expected a value at least 0"):
            load_module.load_aligner("tunable", shrink=-1.0)

    def test_other_errors_are_about_the_plugin(self):
        with pytest.raises(PluginError, match="failed at construction: KeyError") as caught:
            load_module.load_aligner("fails")
        assert isinstance(caught.value.__cause__, KeyError)

    @pytest.mark.parametrize("name", ["mistyped", "mistyped-record"])
    def test_types_that_there_are_not_are_about_the_plugin(self, name):
        with pytest.raises(PluginError, match=r"\(plugin 'p'\) failed at its types: NameError: name 'Nope'"):
            resolve_module.resolve("aligner", name)

    def test_what_is_built_must_be_of_its_kind(self):
        with pytest.raises(PluginError, match="gave a str, not a Aligner"):
            load_module.load_aligner("plain")

    def test_weights_must_exist(self, tmp_path):
        with pytest.raises(DataError, match=r"none.pth does not exist"):
            load_module.load_backbone("needy", weights=tmp_path / "none.pth", size=1)

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
class TestFlattened:
    def test_offered_fields_are_parameters_beside_the_own_ones(self):
        method = resolve_module.resolve("backbone", "trained", {"lr": 1, "milestones": [2, 3]})
        expected = {"deep": False, "lr": 1.0, "milestones": [2.0, 3.0], "rate": 2.0, "width": 2}
        assert list(method.parameters.items()) == sorted(expected.items())
        assert method.identity()["parameters"] == expected

    def test_the_target_gets_records_and_fields_that_are_not_offered_keep_the_default_of_the_method(self):
        built = resolve_module.resolve("backbone", "trained", {"milestones": [2], "deep": True}).build(device="cpu")
        assert built.recipe == Recipe(lr=0.01, milestones=(2.0,), momentum=0.8)
        assert built.shape == Shape(width=2, deep=True)
        assert built.rate == 2.0

    def test_an_attrs_target_may_have_them_too(self):
        assert resolve_module.resolve("aligner", "fitted").parameters == {"lr": 0.1, "scope": "shared"}
        assert resolve_module.resolve("aligner", "fitted", {"lr": 2.0}).build() == Fitted(recipe=Recipe(lr=2.0))

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"momentum": 0.5}, "has no parameter 'momentum'"),
            ({"recipe": {}}, "has no parameter 'recipe'"),
            ({"milestone": 1}, "has no parameter 'milestone'; did you mean 'milestones'.* known: deep, lr, milestones"),
            ({"lr": "fast"}, "backbone 'trained': lr = 'fast' is not of type float"),
            ({"width": 2.5}, "backbone 'trained': width = 2.5 is not of type int"),
        ],
    )
    def test_bad_requests(self, changes, message):
        with pytest.raises(ConfigError, match=message):
            resolve_module.resolve("backbone", "trained", changes)

    def test_values_out_of_range_are_about_the_request(self):
        with pytest.raises(
            ConfigError, match=r"backbone 'trained/slow': lr: -1\.0 is out of range; expected a value above 0"
        ):
            resolve_module.resolve("backbone", "trained", {"lr": -1}).build()

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("clashing", "d 1.*: aligner 'clashing': two parameters have the name 'lr'"),
            ("misnamed", "aligner 'misnamed': Recipe has no field 'speed' to offer"),
            ("lacking", "aligner 'lacking': the flattened argument 'recipe' needs an attrs record as default"),
        ],
    )
    def test_mistakes_of_a_plugin_are_named(self, name, message):
        with pytest.raises(PluginError, match=message):
            resolve_module.resolve("aligner", name)


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
        assert resolve_module.resolve("distance", "counted:7").build().args == (7,)
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
