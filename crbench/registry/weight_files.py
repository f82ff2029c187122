"""Where a weights file is: a path, a name in the weights folder, or a file of a Hugging Face repository."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crbench.api.entry import Released
from crbench.config.home import expanded
from crbench.config.paths import weights_root
from crbench.errors import ConfigError, DataError
from crbench.inputs import check_input
from crbench.protocol.hashing import sha256_file

_HUB = re.compile(r"hf:(?P<repo>[^@:/]+/[^@:/]+)@(?P<revision>[^@:]+):(?P<file>[^@:]+)")
_SHA256 = re.compile(r"[0-9a-f]{8,64}")


def find_weights(request: str | Path, sha256: str | None = None) -> Path:
    """The file behind ``--weights``.

    Args:
        request: a path; else a name in the weights folder (``CRBENCH_WEIGHTS``); or ``hf:org/repo@revision:file``,
            which is downloaded once into the Hugging Face cache.
        sha256: SHA-256 that the file must have, or at least its first 8 hex digits; None = any file will do.

    Raises:
        ConfigError: a ``hf:`` address of another form, or no SHA-256.
        DataError: there is no such file, the hub did not give it, or its content is another.
    """
    text = request.as_posix() if isinstance(request, Path) else request
    path = _from_hub(text) if text.startswith("hf:") else _from_disk(Path(request))
    if sha256 is not None:
        _check_sha256(path, sha256)
    return path


def find_released(released: Released) -> Path | None:
    """The one file of the weights folder that goes by a name of `released`; None where there is none.

    Raises:
        DataError: there are several, so that the user must choose.
    """
    folder = weights_root()
    found = sorted({path for name in released.files for path in folder.glob(name) if path.is_file()})
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise DataError(f"several released weights fit in {folder}: {names}; say which with --weights NAME")
    return found[0] if found else None


def released_hint(released: Released) -> str:
    """Which file to put where, and where it comes from, as the end of a message."""
    *others, last = released.files
    names = f"{', '.join(others)} or {last}" if others else last
    return f"put the released {names} into {weights_root()} (from {released.page})"


def _from_disk(request: Path) -> Path:
    for path in (expanded(request), weights_root() / request):
        check_input(path)
        if path.is_file():
            return path
    raise DataError(
        f"weights file {request} does not exist; give the path of a file, its name in {weights_root()}, or "
        "hf:org/repo@revision:file"
    )


def _from_hub(text: str) -> Path:
    parts = _HUB.fullmatch(text)
    if parts is None:
        raise ConfigError(f"weights {text}: expected hf:org/repo@revision:file, such as hf:me/reid@main:w.pth")
    import huggingface_hub
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    # the bases of the hub's error are those of the HTTP library that it uses, which differs between its versions
    errors: tuple[type[Exception], ...] = (EntryNotFoundError, OSError, ValueError, *HfHubHTTPError.__bases__)
    try:
        with _silenced("huggingface_hub"):
            return Path(huggingface_hub.hf_hub_download(parts["repo"], parts["file"], revision=parts["revision"]))
    except LocalEntryNotFoundError as error:
        raise DataError(
            f"weights {text}: the hub is out of reach, and the file is not in its cache; go online, or give a path"
        ) from error
    except errors as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise DataError(f"weights {text}: the hub did not give the file ({reason}); correct the address") from error


@contextmanager
def _silenced(logger: str) -> Iterator[None]:
    """Errors only from a logger: the hub logs each retry, and its last error says enough."""
    log = logging.getLogger(logger)
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _check_sha256(path: Path, wanted: str) -> None:
    if not _SHA256.fullmatch(wanted.lower()):
        raise ConfigError(f"weights_sha256: {wanted!r} is not a SHA-256; expected 64 hex digits or the first 8 or more")
    found = sha256_file(path)
    if not found.startswith(wanted.lower()):
        raise DataError(f"weights {path}: its SHA-256 is {found}, expected {wanted}; it is another file, or damaged")
