"""A rule is one attribute: what must know of it follows from the record."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from crbench.config import protocol_changes
from crbench.config.protocol_changes import change_protocol, own_protocol
from crbench.errors import ConfigError
from crbench.protocol import EvalProtocol
from crbench.protocol.declare import GROUPS, rule
from crbench.protocol.page import protocol_page
from crbench.protocol.rules import rule_names


@attrs.frozen(kw_only=True)
class Extended(EvalProtocol):
    """A protocol with a new rule in each group, and one that only test images follow."""

    half: str = rule("split", "hlf", "both", "which half of a person is seen", values=("both", "upper"))
    blur: str = rule("images", "blr", "none", "blur of LR images", values=("none", "gauss"))
    crop: str = rule("images", "crp", "none", "crop of test images", values=("none", "five"), test_only=True)
    vote: str = rule("scoring", "vot", "one", "who votes", values=("one", "many"))


@attrs.frozen(kw_only=True)
class Optional(EvalProtocol):
    """A protocol with new rules that only count where they are asked for."""

    blur: str = rule("images", "blr", "none", "blur of LR images", values=("none", "gauss"), option=True)


NEW = {"half": "upper", "blur": "gauss", "crop": "five", "vote": "many"}


@pytest.mark.parametrize("name", NEW)
def test_a_new_rule_is_set_fingerprinted_and_described(name):
    changed = change_protocol(Extended(), {name: NEW[name]})
    assert getattr(changed, name) == NEW[name]
    assert changed.fingerprint() != Extended().fingerprint() != EvalProtocol().fingerprint()
    assert f"|{attrs.fields_dict(Extended)[name].metadata['short']}:{NEW[name]}|" in changed.describe()
    with pytest.raises(ConfigError, match=f"'{name}' must be in"):
        change_protocol(Extended(), {name: "else"})


@pytest.mark.parametrize("name", NEW)
def test_a_new_rule_is_on_the_page(name):
    about = attrs.fields_dict(Extended)[name]
    (row,) = [line for line in protocol_page(Extended).splitlines() if line.startswith(f"| `{name}` |")]
    for part in (about.metadata["short"], about.metadata["values"], about.default, about.metadata["doc"]):
        assert part in row


def test_an_image_rule_enters_the_keys_of_features_and_of_trained_weights():
    rules, trained = Extended().image_rules(), Extended().image_rules(training=True)
    assert set(rules) - set(EvalProtocol().image_rules()) == {"blur", "crop"}
    assert set(trained) - set(EvalProtocol().image_rules(training=True)) == {"blur"}


def test_an_option_enters_a_key_only_where_it_is_asked_for():
    assert Optional().image_rules() == EvalProtocol().image_rules()
    assert Optional().fingerprint() == EvalProtocol().fingerprint()
    assert Optional(blur="gauss").image_rules()["blur"] == "gauss"


def test_only_a_scoring_rule_counts_for_given_features(monkeypatch):
    monkeypatch.setattr(protocol_changes, "OWN_FEATURES", Extended())
    assert own_protocol({"vote": "many"}, tool="layumi").vote == "many"
    for name in ("half", "blur", "crop"):
        with pytest.raises(ConfigError, match=rf"protocol\.{name} plays no role .*; rules that do: .*, vote$"):
            own_protocol({name: NEW[name]})


def test_every_rule_has_one_group_and_a_short_name_of_its_own():
    fields = [field for field in attrs.fields(EvalProtocol) if field.name != "name"]
    assert sorted(name for group in GROUPS for name in rule_names(group)) == sorted(field.name for field in fields)
    assert len({field.metadata["short"] for field in attrs.fields(EvalProtocol)}) == len(fields) + 1
    assert all(field.metadata["doc"] and field.metadata["values"] for field in fields)


def test_the_page_in_docs_is_what_the_record_gives():
    page = Path(__file__).parents[2] / "docs" / "protocol.md"
    assert page.read_text(encoding="utf-8") == protocol_page(), "run: crbench data rules > docs/protocol.md"
