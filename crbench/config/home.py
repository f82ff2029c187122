"""Paths that begin with the home folder of a user."""

from __future__ import annotations

from pathlib import Path

from crbench.errors import ConfigError, SystemFaultError


def expanded(path: str | Path) -> Path:
    """The path with a leading ``~`` or ``~user`` replaced.

    Raises:
        ConfigError: it holds a NUL, which no name of a file has.
        SystemFaultError: the home folder is not known, as where ``HOME`` is not set and the user has no account.
    """
    if "\0" in str(path):
        raise ConfigError(f"path {str(path)!r} holds a NUL character; no file has such a name")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SystemFaultError(f"{path}: the home folder is not known; set HOME, or give the whole path") from error
