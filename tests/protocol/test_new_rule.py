"""A rule is one attribute of one group: what must know of it follows from the record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest

from crbench.config import protocol_changes
from crbench.config.protocol_changes import change_protocol, own_protocol
from crbench.errors import ConfigError
from crbench.protocol import EvalProtocol, ImageRules, ScoringRules, SplitRules
from crbench.protocol.declare import rule
from crbench.protocol.page import protocol_page


@attrs.frozen(kw_only=True)
class MoreSplit(SplitRules):
    """A new rule of splits."""

    half: str = rule("hlf", "both", "which half of a person is seen", values=("both", "upper"))


@attrs.frozen(kw_only=True)
class MoreImages(ImageRules):
    """New rules of images: one for all, one that only test images follow, and one that counts where it is asked for."""

    blur: str = rule("blr", "none", "blur of LR images", values=("none", "gauss"))
    crop: str = rule("crp", "none", "crop of test images", values=("none", "five"), test_only=True)
    fog: str = rule("fog", "none", "fog in LR images", values=("none", "thick"), option=True)


@attrs.frozen(kw_only=True)
class MoreScoring(ScoringRules):
    """A new rule of scores."""

    vote: str = rule("vot", "one", "who votes", values=("one", "many"))


MORE = EvalProtocol(split=MoreSplit(), images=MoreImages(), scoring=MoreScoring())
NEW = {"half": "upper", "blur": "gauss", "crop": "five", "vote": "many", "fog": "thick"}


def declared(name: str) -> attrs.Attribute[Any]:
    (field,) = [fields[name] for fields in map(attrs.fields_dict, map(type, MORE.groups.values())) if name in fields]
    return field


@pytest.mark.parametrize("name", NEW)
def test_a_new_rule_is_set_fingerprinted_and_described(name):
    changed = change_protocol(MORE, {name: NEW[name]})
    assert changed.flat() == {**MORE.flat(), name: NEW[name]}
    assert changed.fingerprint() != MORE.fingerprint() != EvalProtocol().fingerprint()
    assert f"|{declared(name).metadata['short']}:{NEW[name]}|" in changed.describe()
    with pytest.raises(ConfigError, match=f"protocol.{name}: 'else' is not one of "):
        change_protocol(MORE, {name: "else"})


@pytest.mark.parametrize("name", NEW)
def test_a_new_rule_is_on_the_page(name):
    about = declared(name)
    (row,) = [line for line in protocol_page(MORE).splitlines() if line.startswith(f"| `{name}` |")]
    for part in (about.metadata["short"], about.metadata["values"], about.default, about.metadata["doc"]):
        assert part in row


def test_an_option_counts_only_where_it_is_asked_for():
    assert MoreImages().asked() == {**ImageRules().asked(), "blur": "none", "crop": "none"}
    assert MoreImages(fog="thick").asked()["fog"] == "thick"
    assert "fog:none" not in MORE.describe()


def test_only_a_scoring_rule_counts_for_given_features(monkeypatch):
    monkeypatch.setattr(protocol_changes, "OWN_FEATURES", MORE)
    assert own_protocol({"vote": "many"}, tool="layumi").flat()["vote"] == "many"
    for name in ("half", "blur", "crop"):
        with pytest.raises(ConfigError, match=rf"protocol\.{name} plays no role .*; rules that do: .*, vote$"):
            own_protocol({name: NEW[name]})


def test_every_rule_has_a_short_name_of_its_own_and_is_explained():
    fields = [field for group in EvalProtocol().groups.values() for field in attrs.fields(type(group))]
    assert len({"p", *(field.metadata["short"] for field in fields)}) == len(fields) + 1
    assert all(field.metadata["doc"] and field.metadata["values"] for field in fields)


def test_the_page_in_docs_is_what_the_record_gives():
    page = Path(__file__).parents[2] / "docs" / "protocol.md"
    assert page.read_text(encoding="utf-8") == protocol_page(), "run: crbench data rules > docs/protocol.md"
