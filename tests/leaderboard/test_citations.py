"""``crbench cite``: BibTeX of what results used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from crbench.api import Entry
from crbench.api.entry import bibtex_entries
from crbench.cli.cite import cite
from crbench.errors import DataError
from crbench.leaderboard import citations
from crbench.leaderboard.citations import bibtex
from crbench.protocol.presets import OWN_FEATURES
from crbench.registry.discovery import installed
from crbench.results import MetricFacts, Result, to_json

Make = Callable[..., Result]
FACTS = MetricFacts(higher_is_better=True, unit="number", summary="", distribution="theirs", version="1")
ROOT = Path(__file__).parents[2]
WITHOUT = {
    "constant",
    "random",
    "none",
    "mean-shift",
    "diagonal",
    "match-rate",
    "onnx",
    "torchscript",
    "features",
    "folder",
    "mlr-synthetic",
}
"""Shipped entries that nobody published: ours, and frames for the user's own files."""


def _keys(text: str) -> list[str]:
    return re.findall(r"@\w+\{([^,]+),", text)


def test_every_shipped_method_and_data_set_says_how_to_cite_it() -> None:
    shipped = [item.entry for item in installed().entries if item.owner.distribution == "crbench"]
    entries = [entry for entry in shipped if isinstance(entry, Entry)]
    assert {entry.name for entry in entries if not entry.bibtex} == WITHOUT
    texts = {text for entry in entries for text in bibtex_entries(entry.bibtex)}
    keys = [key for text in texts for key in _keys(text)]
    assert len(set(keys)) == len(keys) == len(texts), "one text per key, or BibTeX refuses the second"
    for text in texts:
        assert {"author", "title", "year"} <= set(re.findall(r"^  (\w+) = \{.*\},?$", text, flags=re.MULTILINE))


def test_what_results_used_is_cited_once(make: Make) -> None:
    results = [make("vpfa/light", cell=1), make("ridge", cell=2), make("ridge", cell=3, dataset="mlr-viper")]
    text = bibtex(results)
    keys = ["crbench", "rw2019timm", "luo2019bag", "liu2025vpfa", "hoerl1970ridge", "gray2007viper", "jiao2018sing"]
    assert sorted(_keys(text)) == sorted(keys)
    assert "% aligner vpfa\n@misc{liu2025vpfa," in text
    assert "% data set mlr-synthetic: its plugin gives no BibTeX; source: crbench\n" in text


def test_reranking_is_cited(make: Make) -> None:
    result = make("none")
    rules = {**result.protocol.rules, "rerank": "k1=20,k2=6,lambda=0.3"}
    ranked = attrs.evolve(result.protocol, rules=rules)
    object.__setattr__(result, "protocol", ranked)
    assert "zhong2017reranking" in _keys(bibtex([result]))


def test_the_tool_is_cited_as_its_citation_file_says(make: Make) -> None:
    title = re.search(r'^title: "(.*)"$', (ROOT / "CITATION.cff").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert title is not None
    assert f"title = {{{title[1]}}}" in bibtex([make()])


def test_a_plugin_that_is_not_there_is_named(make: Make) -> None:
    text = bibtex([make("their-method", of_aligner={"distribution": "their-methods"})])
    assert re.search(r"^% aligner their-method: no BibTeX, as its plugin is not there: .*their", text, re.MULTILINE)


def test_a_score_of_a_plugin_is_cited_and_one_of_ours_is_not(make: Make) -> None:
    text = bibtex([make("none")])
    assert "score" not in text
    result = make("none")
    facts = {**result.metric_facts, "their-score": attrs.evolve(FACTS, distribution="their-scores")}
    object.__setattr__(result, "metric_facts", facts)
    assert re.search(r"^% score their-score: no BibTeX, as its plugin is not there", bibtex([result]), re.MULTILINE)


def _given(make: Make, dataset: str) -> Result:
    """A result as `crbench evaluate` makes it."""
    result = make("given", backbone="<a href='http://x'>mine</a>", dataset=dataset)
    object.__setattr__(result.protocol, "name", OWN_FEATURES.name)
    return result


def test_of_given_features_one_line_says_that_only_their_maker_knows(make: Make) -> None:
    lines = [line for line in bibtex([_given(make, dataset="features")]).splitlines() if line.startswith("%")]
    assert lines == [
        "% the benchmark",
        "% features of <a href='http://x'>mine</a>: they were given; cite what made them",
    ]


def test_the_data_set_of_given_features_is_cited(make: Make) -> None:
    assert "gray2007viper" in _keys(bibtex([_given(make, dataset="mlr-viper")]))


def test_names_open_no_entry(make: Make) -> None:
    """BibTeX has no comments: an @ outside of entries begins one."""
    text = bibtex([make("x\n@misc{evil, note={")])
    assert "evil" in text
    assert "evil" not in _keys(text)
    assert all(line.startswith("%") for line in text.splitlines() if "evil" in line)


def test_a_second_text_of_one_key_is_left_out(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    other = "@misc{hoerl1970ridge, title = {Another}}"
    known = citations._declared
    monkeypatch.setattr(citations, "_declared", lambda kind, name: other if "coral" in name else known(kind, name))
    text = bibtex([make("ridge", cell=1), make("coral", cell=2)])
    assert _keys(text).count("hoerl1970ridge") == 1
    assert "% aligner coral: left out, as the key hoerl1970ridge is that of aligner ridge too" in text


def test_the_command_prints_it(make: Make, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(to_json(make("ridge")), encoding="utf-8")
    done = CliRunner().invoke(cite, [str(file)], catch_exceptions=False)
    assert done.stdout == bibtex([make("ridge")])


def test_failed_results_alone_have_nothing_to_cite(make: Make) -> None:
    failed = attrs.evolve(make(), status="failed", error="boom", trials=(), metrics={}, by_rate={})
    with pytest.raises(DataError, match="no finished results to cite"):
        bibtex([failed])


@pytest.mark.parametrize("text", ["see the paper", "@misc{, title={x}}", "@misc{a, title={x}", "@misc{a b, t={x}}"])
def test_text_that_is_no_bibtex_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="entry bibtex"):
        Entry("name", dict, bibtex=text)
