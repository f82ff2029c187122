"""What to cite for results: BibTeX of crbench, and of the data sets and methods that they used."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from crbench.api.entry import Kind, bibtex_entries
from crbench.errors import ConfigError, DataError, PluginError
from crbench.metrics.registry import METRICS
from crbench.protocol.presets import OWN_FEATURES
from crbench.ranking.distance import DISTANCES
from crbench.registry.discovery import installed
from crbench.results import Component, Result
from crbench.results.labels import clean, dataset_name, with_distinct_folders

_TOOL = """@misc{{crbench,
  author = {{{{The crbench developers}}}},
  title = {{crbench: a benchmark for cross-resolution person re-identification}},
  note = {{Version {versions}}}
}}"""
_RERANKING = """@inproceedings{zhong2017reranking,
  author = {Zhong, Zhun and Zheng, Liang and Cao, Donglin and Li, Shaozi},
  title = {Re-ranking Person Re-identification with k-reciprocal Encoding},
  booktitle = {Proceedings of the IEEE Conference on Computer Vision and Pattern Recognition (CVPR)},
  year = {2017}
}"""
_OWN_SCORES = {metric.name for metric in METRICS}
_KEY = re.compile(r"@\w+\{([^\s,{}]+),")


def bibtex(results: Sequence[Result]) -> str:
    """BibTeX of crbench, and of what results used: data sets, methods, distances, re-ranking, scores of plugins.

    A comment above each entry says what it is for, and one at the end names each part that gives none. Plugins must be
    installed here; results do not hold their BibTeX.

    Raises:
        DataError: no finished results.
    """
    done = with_distinct_folders([result for result in results if result.status == "ok"])
    if not done:
        raise DataError("no finished results to cite; `crbench run --dataset mlr-synthetic` makes some")
    purposes: dict[str, list[str]] = defaultdict(list)
    lacking = []
    for purpose, text in dict.fromkeys(pair for result in done for pair in _parts(result)):
        if not text.startswith("@"):
            lacking.append(f"{purpose}: {text}")
            continue
        for entry in bibtex_entries(text):
            purposes[entry].append(purpose)
    versions = sorted({result.environment.crbench for result in done})
    texts = {_TOOL.format(versions=_comment(", ".join(versions))): ["the benchmark"], **purposes}
    lines = [*_distinct(texts), *(f"% {_comment(line)}\n" for line in lacking)]
    return "\n".join(lines)


def _distinct(texts: dict[str, list[str]]) -> Iterator[str]:
    """The entries with what they are for; BibTeX refuses a second one of the same key."""
    taken: dict[str, str] = {}
    for entry, used in texts.items():
        (key,) = _KEY.findall(entry)[:1]
        purpose = _comment(", ".join(used))
        if taken.setdefault(key, purpose) == purpose:
            yield f"% {purpose}\n{entry}\n"
        else:
            yield f"% {purpose}: left out, as the key {key} is that of {taken[key]} too\n"


def _parts(result: Result) -> Iterator[tuple[str, str]]:
    """What a result used, each with its BibTeX, or the reason why there is none."""
    given = result.given
    if not given or result.dataset != OWN_FEATURES.name:
        yield f"data set {dataset_name(result)}", _declared("dataset", result.dataset)
    if given:
        yield f"features of {result.method.backbone.name}", "they were given; cite what made them"
    for kind, part in () if given else _components(result):
        name = part.name.partition(":")[0]
        yield f"{kind} {name}", _declared(kind, f"{part.distribution}::{name}")
    rules = result.protocol.rules
    if (distance := str(rules["distance"])) not in DISTANCES:
        yield f"distance {distance}", _declared("distance", distance)
    if rules.get("rerank", "none") != "none":
        yield "re-ranking", _RERANKING
    for name, facts in result.metric_facts.items():
        if name not in _OWN_SCORES:
            yield f"score {name}", _declared("metric", f"{facts.distribution}::{name}")


def _components(result: Result) -> Iterable[tuple[Kind, Component]]:
    return ("backbone", result.method.backbone), ("aligner", result.method.aligner)


def _declared(kind: Kind, name: str) -> str:
    """BibTeX that begins with ``@``, or why there is none."""
    try:
        entry = installed().get(kind, name).entry
    except (ConfigError, PluginError) as error:
        return f"no BibTeX, as its plugin is not there: {error}"
    return entry.bibtex.strip() or f"its plugin gives no BibTeX; source: {entry.source or 'none named'}"


def _comment(text: str) -> str:
    """Text that opens no entry: BibTeX has no comments, it skips what is outside of entries."""
    return clean(text).replace("@", "(at)").replace("{", "(").replace("}", ")")
