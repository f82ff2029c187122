"""`crbench.api` holds all that a plugin needs, says what it is for, and stays light."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import crbench.api
from crbench.api import capabilities, data_capabilities, hooks, interfaces

SOURCE = Path(inspect.getfile(crbench.api)).read_text(encoding="utf-8")
OVERVIEW = crbench.api.__doc__ or ""


def protocols(module: object) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if getattr(value, "_is_protocol", False) and value.__module__ == getattr(module, "__name__", "")
    ]


def test_type_checkers_and_programs_see_the_same_names() -> None:
    imports = [node for node in ast.walk(ast.parse(SOURCE)) if isinstance(node, ast.ImportFrom)]
    typed = {
        alias.name: str(node.module).removeprefix("crbench.")
        for node in imports
        for alias in node.names
        if str(node.module).startswith("crbench.")
    }
    assert typed == crbench.api._ROOMS


def test_every_name_can_be_loaded_and_no_other() -> None:
    assert all(getattr(crbench.api, name) is not None for name in crbench.api.__all__)
    assert set(crbench.api.__all__) <= set(dir(crbench.api))
    with pytest.raises(AttributeError, match=r"'crbench\.api' has no attribute 'Alinger'"):
        _ = crbench.api.Alinger  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", sorted(crbench.api.__all__))
def test_classes_and_functions_are_documented(name: str) -> None:
    thing = getattr(crbench.api, name)
    if inspect.isclass(thing) or inspect.isfunction(thing):
        assert thing.__doc__


@pytest.mark.parametrize(
    "name",
    [
        *protocols(interfaces),
        *protocols(capabilities),
        *protocols(data_capabilities),
        *(name for name in vars(hooks) if name.startswith("crbench_")),
    ],
)
def test_the_overview_names_every_hook_interface_and_capability(name: str) -> None:
    assert f"`{name}`" in OVERVIEW
    assert name.startswith("crbench_") or name in crbench.api.__all__


def test_the_overview_names_nothing_that_is_not_there() -> None:
    words = {word for word in OVERVIEW.replace("``", "").split("`")[1::2] if word.isidentifier()}
    assert words <= set(crbench.api.__all__)


def test_the_overview_fits_on_a_page() -> None:
    assert len(OVERVIEW.splitlines()) <= 60
