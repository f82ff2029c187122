from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint

import pytest

import crbench
from crbench.api.entry import Entry
from crbench.api.hooks import GROUP
from crbench.api.metric import Metric
from crbench.errors import ConfigError, PluginError
from crbench.registry import discovery
from crbench.registry.discovery import discover


class Distribution:
    """As much of a distribution as an entry point carries."""

    def __init__(self, name, version="1.0"):
        self.name = name
        self.version = version


@pytest.fixture
def point(monkeypatch):
    """Make an entry point of a module with the given hooks."""

    def make(name, distribution="somebody", **hooks):
        module = types.ModuleType("plugin_" + name.replace("-", "_"))
        for hook, function in hooks.items():
            setattr(module, hook, crbench.hookimpl(function))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        found = EntryPoint(name=name, value=module.__name__, group=GROUP)
        vars(found).update(dist=Distribution(distribution))
        return found

    return make


def offers(*names, **kwargs):
    return lambda: [Entry(name, dict, **kwargs) for name in names]


def broken_hook():
    raise RuntimeError("two\nlines")


def test_every_kind_is_found_with_its_owner(point):
    registry = discover(
        [
            point("a", "dist-a", crbench_aligners=offers("x"), crbench_datasets=offers("y")),
            point("b", "dist-b", crbench_backbones=offers("x"), crbench_distances=offers("z")),
            point("c", "dist-c", crbench_metrics=lambda: [Metric("x-score", len)]),
        ]
    )
    assert registry.get("aligner", "x").owner.distribution == "dist-a"
    assert registry.get("backbone", "x").owner.distribution == "dist-b"
    assert [registry.names(kind) for kind in ("dataset", "distance", "metric")] == [["y"], ["z"], ["x-score"]]


def test_our_metrics_are_listed_beside_those_of_plugins():
    records = {record.name: record for record in discover().records() if record.kind == "metric"}
    assert {"mAP", "mINP", "nDCG"} <= set(records)
    assert (records["mAP"].distribution, records["mAP"].version) == ("crbench", crbench.__version__)
    assert all(record.status == "ok" for record in records.values())


def test_broken_plugins_stop_nobody(point):
    missing = EntryPoint(name="gone", value="a_module_that_is_not_there", group=GROUP)
    registry = discover(
        [missing, point("bad", crbench_aligners=broken_hook), point("good", crbench_aligners=offers("x"))]
    )
    assert registry.names("aligner") == ["x"]
    assert {(plugin.owner.plugin, plugin.stage) for plugin in registry.broken} == {("gone", "import"), ("bad", "hook")}
    errors = {record.name: record.error for record in registry.records() if record.status == "broken"}
    assert errors["bad"] == "hook: RuntimeError: two lines"


def test_a_plugin_that_exits_is_listed_and_an_interrupt_ends_the_program(point):
    def exits():
        raise SystemExit("licence expired")

    def interrupted():
        raise KeyboardInterrupt

    registry = discover([point("bad", crbench_aligners=exits), point("good", crbench_aligners=offers("x"))])
    assert registry.names("aligner") == ["x"]
    assert str(registry.broken[0]) == "somebody 1.0 (plugin 'bad') failed at hook: SystemExit: licence expired"
    with pytest.raises(KeyboardInterrupt):
        discover([point("slow", crbench_aligners=interrupted)])


def test_a_distance_that_is_offered_as_a_metric_is_told_where_it_belongs(point):
    registry = discover([point("old", crbench_metrics=offers("x"))])
    assert "expected crbench.Metric records; distances come from crbench_distances" in str(registry.broken[0])


def test_a_hook_must_return_entries(point):
    registry = discover([point("bad", crbench_aligners=lambda: ["vpfa"])])
    assert "expected crbench.Entry" in str(registry.broken[0])


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        (
            {"crbench_aligner": offers("x")},
            "there is no hook crbench_aligner; did you mean 'crbench_aligners'? known: ",
        ),
        ({"cr_plugins": offers("x")}, "there is no hook cr_plugins; known: crbench_backbones, crbench_aligners, cr"),
        (
            {"crbench_aligners": lambda: None},
            "crbench_aligners returned None; expected a list of crbench.Entry",
        ),
        ({"crbench_aligners": lambda: Entry("x", dict)}, "; expected a list of crbench.Entry records"),
        ({"crbench_aligners": lambda plugins: []}, "can not be found in the hookspec"),
        ({}, "it implements no hook; known: crbench_backbones"),
    ],
)
def test_a_wrong_hook_is_named(point, hooks, message):
    registry = discover([point("bad", **hooks), point("good", crbench_aligners=offers("y"))])
    assert registry.broken[0].stage == "hook"
    assert message in str(registry.broken[0])
    assert registry.names("aligner") == ["y"]


def test_a_hook_without_its_mark_is_named(point):
    found = point("bad", crbench_datasets=offers("y"))
    sys.modules[found.value].crbench_aligners = offers("x")
    (broken,) = discover([found]).broken
    assert "crbench_aligners is not marked as a hook; put @crbench.hookimpl above it" in str(broken)


def test_a_plugin_may_be_an_object_and_its_hook_a_generator(monkeypatch):
    class Plugin:
        @crbench.hookimpl
        def crbench_aligners(self):
            yield Entry("x", dict)

    module = types.ModuleType("plugin_in_an_object")
    module.plugin = Plugin()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    assert discover([EntryPoint("a", "plugin_in_an_object:plugin", GROUP)]).names("aligner") == ["x"]


def test_asking_for_what_a_broken_plugin_may_own_names_its_error(point):
    registry = discover([point("super-align", crbench_aligners=broken_hook)])
    with pytest.raises(PluginError, match=r"may belong to somebody 1\.0.*hook: RuntimeError: two lines") as caught:
        registry.get("aligner", "super-align")
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_the_name_of_a_broken_plugin_is_not_taken_for_a_slip(point):
    registry = discover(
        [point("bad-align", crbench_aligners=broken_hook), point("good", crbench_aligners=offers("good-align"))]
    )
    for look_up in (lambda: registry.get("aligner", "bad-align"), lambda: registry.kinds_of("bad-align")):
        with pytest.raises(
            PluginError, match=r"'bad-align'; it may belong to somebody 1\.0 \(plugin 'bad-align'\).*Runt"
        ):
            look_up()


def test_an_unknown_name_is_answered_with_the_nearest(point):
    registry = discover([point("a", crbench_aligners=offers("vpfa", "none"))])
    with pytest.raises(ConfigError, match=r"unknown aligner 'vfpa'; did you mean 'vpfa'\? known: none, vpfa"):
        registry.get("aligner", "vfpa")


def test_a_name_clash_names_both_and_harms_no_other(point):
    registry = discover(
        [point("a", "one", crbench_aligners=offers("x", "y")), point("b", "two", crbench_aligners=offers("x"))]
    )
    with pytest.raises(PluginError, match=r"claimed by one 1\.0.*and two 1\.0.*; say whose, as in two::x$"):
        registry.get("aligner", "x")
    assert registry.get("aligner", "y").owner.distribution == "one"
    records = list(registry.records())
    assert [record.status for record in records] == ["clash", "clash", "ok"]
    assert records[0].error == "two 1.0 (plugin 'b') claims this name too; say whose, as in one::x"


def test_entries_of_one_name_are_told_apart_by_their_distribution(point):
    registry = discover(
        [point("a", "one", crbench_aligners=offers("x", "y")), point("b", "two", crbench_aligners=offers("x"))]
    )
    for distribution in ("one", "two"):
        assert registry.get("aligner", f"{distribution}::x").owner.distribution == distribution
    assert registry.get("aligner", "one::y").owner.distribution == "one", "where it need not be said, too"
    with pytest.raises(ConfigError, match="distribution 'three' offers no aligner 'x'; offered by one, two"):
        registry.get("aligner", "three::x")
    with pytest.raises(ConfigError, match="unknown aligner 'z'"):
        registry.get("aligner", "one::z")


def test_a_distribution_that_offers_a_name_twice_is_told_so(point):
    registry = discover(
        [point("a", "one", crbench_aligners=offers("x")), point("b", "one", crbench_aligners=offers("x"))]
    )
    for name in ("x", "one::x"):
        with pytest.raises(PluginError, match="one distribution offers it twice, so only its author can rename one"):
            registry.get("aligner", name)


def test_a_plugin_that_takes_long_to_import_is_named(point, monkeypatch):
    times = iter([0.0, 0.2, 1.0, 3.5])
    monkeypatch.setattr(discovery, "clock", lambda: next(times))
    registry = discover([point("a", crbench_aligners=offers("x")), point("b", crbench_aligners=broken_hook)])
    (line,) = registry.slow
    assert line.startswith("somebody 1.0 (plugin 'b') took 2.5 s to import; every command waits for it")


def test_another_api_is_listed_and_refused(point):
    registry = discover([point("a", crbench_aligners=offers("x", api=99))])
    assert [record.status for record in registry.records()] == ["incompatible"]
    with pytest.raises(PluginError, match="plugin API 99, this crbench has API 3"):
        registry.get("aligner", "x")


def test_a_hook_may_have_another_name_in_the_plugin(point):
    one = point("a")
    sys.modules[one.value].my_aligners = crbench.hookimpl(specname="crbench_aligners")(offers("x"))
    assert discover([one], strict=True).names("aligner") == ["x"]


def test_classes_of_one_name_are_two_plugins(point):
    """A plugin may be any object, and pluggy names a class by its `__name__`."""
    points = [point("a"), point("b")]
    for one, hook in zip(points, ("x", "y"), strict=True):
        hooks = {"crbench_aligners": staticmethod(crbench.hookimpl(offers(hook)))}
        sys.modules[one.value].Plugin = type("Plugin", (), hooks)
        vars(one)["value"] = f"{one.value}:Plugin"
    registry = discover(points)
    assert not registry.broken
    assert registry.names("aligner") == ["x", "y"]


def test_strict_raises_at_once(point):
    with pytest.raises(PluginError, match="failed at hook"):
        discover([point("bad", crbench_aligners=broken_hook)], strict=True)
    clash = [point("a", "one", crbench_aligners=offers("x")), point("b", "two", crbench_aligners=offers("x"))]
    with pytest.raises(PluginError, match="claimed by"):
        discover(clash, strict=True)


@pytest.mark.parametrize("name", ["VPFA", "a_b", "-a", "a--b", "", "a b"])
def test_names_are_kebab_case(name):
    with pytest.raises(ValueError, match="kebab-case"):
        Entry(name, dict)


@pytest.mark.parametrize("target", ["module", "a:b:c", None, 3])
def test_targets_are_callables_or_paths(target):
    with pytest.raises(ValueError, match="neither a class nor a string"):
        Entry("x", target)
