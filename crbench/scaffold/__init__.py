"""A new plugin as a package that works: what `crbench plugins new` writes, from the templates beside this module."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from crbench.api.entry import KINDS, Entry, Kind
from crbench.api.metric import Metric
from crbench.errors import ConfigError
from crbench.ranking.distance import DISTANCES
from crbench.registry.discovery import installed
from crbench.store.files import write_folder

_WORDS: Mapping[Kind, str] = {"dataset": "data set", "metric": "score"}
"""Kinds whose name differs in prose."""

_USES: Mapping[Kind, str] = {
    "aligner": "crbench run --aligner {name} --dataset mlr-synthetic",
    "backbone": "crbench run --backbone {name} --aligner ridge --dataset mlr-synthetic",
    "dataset": "crbench run --dataset {name} --aligner ridge --data-root FOLDER",
    "distance": "crbench run --set protocol.distance={name} --dataset mlr-synthetic",
    "metric": "crbench run --set protocol.shot=multi --dataset mlr-synthetic",
}
"""How the first run with a plugin of each kind is asked for."""

_MADE_BY: Mapping[Kind, tuple[str, str]] = {
    "distance": ("make_distance", "make_distance"),
    "metric": ("METRIC", "lambda: METRIC"),
}
"""What the test imports, and what it gives to a check; of other kinds both are the class."""


_LONGEST = 100
"""Characters of a name: files, the package and its wheel are called by it, with words of their own."""


def write_plugin(name: str, kind: Kind, folder: Path) -> str:
    """Write the package of a new plugin into a folder; gives the command of a first run with it.

    Args:
        name: of the entry, kebab-case; distribution and module are called alike.
        folder: made; it must not be there, or be empty.

    Raises:
        ConfigError: the name is none, or is taken by an entry of that kind or a module; the folder is not empty.
        SystemFaultError: it cannot be written.
    """
    module = name.lower().replace("-", "_")
    _check(name, kind, module)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not an empty folder; nothing was written")
    class_name = "".join(part.capitalize() for part in module.split("_"))
    tested, factory = _MADE_BY.get(kind, (class_name, class_name))
    use = _USES[kind].format(name=name)
    words = _WORDS.get(kind, kind)
    facts = {"name": name, "kind": kind, "module": module, "class": class_name, "tested": tested, "factory": factory}
    facts |= {"use": use, "kind_in_words": words, "article": "an" if words[0] in "aeiou" else "a"}
    files = {
        "pyproject.toml": "pyproject.toml.jinja",
        "README.md": "README.md.jinja",
        f"{module}.py": f"{kind}.py.jinja",
        f"test_{module}.py": "test_contract.py.jinja",
    }
    texts = {file: _environment().get_template(template).render(facts) for file, template in files.items()}

    def fill(place: Path) -> None:
        for file, text in texts.items():
            (place / file).write_text(text, encoding="utf-8")

    write_folder(folder, fill)
    return use


def _check(name: str, kind: Kind, module: str) -> None:
    if kind not in KINDS:
        raise ConfigError(f"unknown kind {kind!r}; known: {', '.join(KINDS)}")
    if len(name) > _LONGEST:
        raise ConfigError(
            f"{kind} '{name[:20]}...' has a name of {len(name):,} characters; expected at most {_LONGEST}, as files "
            "and the package are called by it"
        )
    try:
        (Metric if kind == "metric" else Entry)(name, f"{module}:target")
    except ValueError as error:
        raise ConfigError(f"{kind} {name!r}: {error.args[0]}") from error
    if not re.match("[a-z]", module) or keyword.iskeyword(module):
        raise ConfigError(f"{kind} {name!r}: {module!r} cannot be the name of a Python module; choose another name")
    if kind == "distance" and name in DISTANCES:
        raise ConfigError(f"{kind} {name!r} is crbench's own; choose another name")
    if taken := installed().claims(kind, name):
        raise ConfigError(f"{kind} {name!r} is offered by {taken[0].owner} already; choose another name")
    if find_spec(module) is not None:
        raise ConfigError(f"{kind} {name!r}: a module {module!r} is installed already; choose another name")


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("crbench.scaffold"),
        undefined=StrictUndefined,
        autoescape=False,  # Python and TOML, of a checked name
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
