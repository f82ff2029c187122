"""What was verified of a result on this machine: a small record in a folder of the user's own, never in the result.

A result says of itself what it likes, and so does whatever lies beside it. So the record of a verification is kept
apart (`crbench.config.paths.evidence_root`), under the digest of the very content that was verified: a file that was
edited afterwards, or that comes from elsewhere, has none.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import attrs
from attrs import validators as v

from crbench._version import __version__
from crbench.config.convert import strict_converter
from crbench.config.paths import evidence_root
from crbench.errors import DataError, SystemFaultError
from crbench.inputs import read_input
from crbench.results.scores import SHA256, finite
from crbench.store.files import write_text

Level = Literal["reported", "recomputed", "re-evaluated", "run here"]

LEVELS: tuple[Level, ...] = ("reported", "recomputed", "re-evaluated", "run here")
"""From the weakest: nothing was verified; the scores follow from the outcomes; they follow from the features; a run on
this machine gave them. Numbers that a paper prints are ``published``, below all of these."""

MEANING = (
    "evidence: what was verified on this machine: reported (nothing), recomputed (the scores follow from the outcomes "
    "of the queries), re-evaluated (from the features), run here; see `crbench verify`."
)

_log = logging.getLogger(__name__)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


@attrs.frozen(kw_only=True)
class Evidence:
    """One verification.

    Attributes:
        content_sha256: of the result, see `crbench.results.files.sealed`.
        level: what was shown.
        compared: what was compared with what, in one line.
        largest_difference: of all scores, as a fraction; 0 = equal to the last bit.
        crbench, created: version and date.
    """

    content_sha256: str = attrs.field(validator=SHA256)
    level: Level = attrs.field(validator=v.in_(LEVELS[1:]))
    compared: str
    largest_difference: float = attrs.field(default=0.0, validator=finite)
    crbench: str = __version__
    created: str = attrs.field(factory=_now)

    @property
    def summary(self) -> str:
        """All of it in one line, for people."""
        points = f", largest difference {100 * self.largest_difference:.2g} points" if self.largest_difference else ""
        return f"{self.level}: {self.compared}{points} ({self.created[:10]}, crbench {self.crbench})"

    @property
    def strength(self) -> int:
        """Place of the level in `LEVELS`."""
        return LEVELS.index(self.level)


def keep_evidence(evidence: Evidence) -> Evidence:
    """Keep a verification, unless a stronger one of the same content is there; gives the one that stands.

    Raises:
        SystemFaultError: it cannot be written.
    """
    root = evidence_root()
    before = find_evidence(evidence.content_sha256, root)
    if before is not None and before.strength > evidence.strength:
        return before
    write_text(_path(root, evidence.content_sha256), json.dumps(attrs.asdict(evidence), indent=1) + "\n")
    return evidence


def drop_evidence(content_sha256: str) -> None:
    """Forget what was verified of a content, as of a result that is deleted."""
    _path(evidence_root(), content_sha256).unlink(missing_ok=True)


def find_evidence(content_sha256: str | None, root: Path) -> Evidence | None:
    """What was verified of this content; None = nothing. A record that is damaged counts as none, with a warning.

    Args:
        root: see `crbench.config.paths.evidence_root`.
    """
    if content_sha256 is None:
        return None
    path = _path(root, content_sha256)
    try:
        found = strict_converter(complete=True).structure(json.loads(read_input(path)), Evidence)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (SystemFaultError, DataError, OSError, ValueError, TypeError, ExceptionGroup) as error:
        _log.warning("evidence %s cannot be read (%s); verify the result again", path, _line(error))
        return None
    if found.content_sha256 != content_sha256:
        _log.warning("evidence %s is of another result; verify this one again", path)
        return None
    return found


def _path(root: Path, content_sha256: str) -> Path:
    return root / content_sha256[:2] / f"{content_sha256}.json"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
