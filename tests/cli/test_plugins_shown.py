"""``crbench plugins show`` and ``check`` from the user's side: what is printed, and the exit codes."""

from __future__ import annotations

import json
import re

import pytest

from crbench.api.entry import Entry
from crbench.cli import invoke
from crbench.registry import discovery
from crbench.registry.discovery import Registered, Registry
from crbench.registry.guard import Owner


class Centred:
    """Takes the mean of whatever comes.

    Args:
        by: what it is multiplied by.
    """

    def __init__(self, by: float = 1.0) -> None:
        self.by = by

    def fit(self, train, *, run):
        import attrs

        return lambda feats: attrs.evolve(feats, x=feats.x - self.by * feats.x.mean(dim=0)) if len(feats) else feats


@pytest.fixture
def centred(monkeypatch):
    """Offers `Centred`, transductive or not."""

    def offer(**fields):
        entry = Registered("aligner", Entry("centred", Centred, **fields), Owner("fakes", "crbench-fakes", "1"))
        real = discovery.discover()
        monkeypatch.setattr(discovery, "discover", lambda **_: Registry(entries=(*real.entries, entry), broken=()))
        discovery.installed.cache_clear()

    yield offer
    discovery.installed.cache_clear()


def test_show_has_parameters_presets_weights_and_citation(capsys):
    assert invoke(["plugins", "show", "vpfa"]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"^hidden +int +2048 +width of the blocks\.$", shown, flags=re.MULTILINE)
    assert re.search(r"^lr +float +0\.0002 +of Adam", shown, flags=re.MULTILINE), "a field of the recipe"
    assert "vpfa/paper (taken by default)" in shown
    assert "@misc{liu2025vpfa," in shown
    assert invoke(["plugins", "show", "osnet"]) == 0
    assert "weights of x0_25: osnet_x0_25_market*.pth or" in capsys.readouterr().out
    assert invoke(["plugins", "show", "mAP"]) == 0
    assert "from ranks, higher is better, a fraction" in capsys.readouterr().out


def test_what_has_two_kinds_is_shown_twice_unless_one_is_named(capsys):
    assert invoke(["plugins", "show", "lrar", "--format", "json"]) == 0
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)] == ["backbone", "aligner"]
    assert invoke(["plugins", "show", "lrar", "--kind", "aligner", "--format", "json"]) == 0
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)] == ["aligner"]


def test_a_preset_tells_the_kind(capsys):
    assert invoke(["plugins", "show", "lrar/paper", "--format", "json"]) == 0
    assert [one["kind"] for one in json.loads(capsys.readouterr().out)] == ["backbone"]


def test_every_parameter_of_what_is_shipped_is_explained():
    from crbench.registry.describe import parameters_of

    for item in discovery.installed().entries:
        if item.owner.distribution == "crbench" and item.kind != "metric":
            silent = [one.name for one in parameters_of(item) if not one.help]
            assert not silent, (item.kind, item.entry.name)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["vpfa"], 2, "no such command 'vpfa'; known: show, new, check"),
        (["show", "vfpa"], 2, "unknown plugin 'vfpa'; did you mean 'vpfa'?"),
        (["show", "vpfa", "--kind", "backbone"], 2, "unknown backbone 'vpfa'"),
        (["check", "vpfa/quick"], 2, "unknown preset 'quick' of aligner 'vpfa'"),
        (["show", "vpfa/quick"], 2, "unknown preset 'quick' of aligner 'vpfa'"),
        (["check", "mAP/quick"], 2, "unknown preset 'quick' of metric 'mAP'; known: none"),
        (["check", "ridge", "--set", "ridge.lamda=1"], 2, "aligner 'ridge' has no parameter 'lamda'"),
        (["check", "ridge", "--set", "rigde.alpha=1"], 2, "expected PART.NAME=VALUE with PART one of aligner, ridge"),
        (["check", "mAP", "--set", "metric.depth=1"], 2, "metric 'mAP' has no parameter 'depth'; a score has none"),
        (["check", "ridge", "--weights", "net.pth"], 2, "only a backbone has weights, and 'ridge' is none"),
        (["check", "osnet"], 3, "osnet"),
    ],
)
def test_wrong_requests_are_one_line(arguments, code, message, capsys):
    assert invoke(["plugins", *arguments]) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert "Traceback" not in shown.err


def test_a_broken_rule_is_named_with_exit_code_4(centred, capsys):
    centred()
    assert invoke(["plugins", "check", "centred"]) == 4
    shown = capsys.readouterr()
    assert re.search(r"companions +fails +the feature of a row depends on the other rows", shown.out)
    assert re.search(r"crbench: \d+ checks, 1 fail", shown.err)


def test_a_rule_that_the_entry_waives_is_shown_as_such(centred, capsys):
    centred(transductive=True)
    invoke(["plugins", "check", "centred", "--format", "json"])
    rows = {row["check"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["companions"] == {
        "kind": "aligner",
        "check": "companions",
        "result": "waived",
        "reason": "its entry says transductive=True",
    }
