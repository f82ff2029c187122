"""Under which terms data and code may be used, as far as they are installed here: results do not hold them."""

from __future__ import annotations

from functools import cache
from importlib import metadata

from crbench.errors import CrbenchError
from crbench.registry.load import load_dataset

_UNKNOWN = "not known here"


@cache
def data_terms(dataset: str) -> str:
    """Licence and privacy of a data set by its name, as its plugin tells them."""
    try:
        info = load_dataset(dataset).info
    except CrbenchError:
        return _UNKNOWN
    return "; ".join(filter(None, (info.licence, info.privacy))) or _UNKNOWN


@cache
def code_licence(distribution: str) -> str:
    """The licence of an installed package."""
    try:
        about = metadata.metadata(distribution).json
    except (metadata.PackageNotFoundError, ValueError):  # the name of a stranger's package may be no name at all
        return _UNKNOWN
    return str(about.get("license_expression") or about.get("license") or _UNKNOWN)
