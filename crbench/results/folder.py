"""Where results lie, and whether a cell has one already."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from crbench.results import Result, load_results


def result_path(output: Path, result: Result) -> Path:
    """``OUTPUT/<dataset>-<protocol>/<backbone>__<aligner>/<UTC time>_<cell id>.json``."""
    method = result.method
    # a name may end in whatever the user wrote after its colon
    names = [
        re.sub(r"[^\w.-]+", "-", "-".join(part for part in (component.name, component.preset) if part))
        for component in (method.backbone, method.aligner)
    ]
    time = result.created.replace("-", "").replace(":", "").partition("+")[0]
    folder = output / f"{result.dataset}-{result.protocol.name}" / "__".join(names)
    return folder / f"{time}Z_{result.cell_id}.json"


def find_result(output: Path, cell_id: str, scores: Iterable[str]) -> Result | None:
    """The newest finished result of a cell that has all these scores, if there is one; failed ones are tried again."""
    results = load_results(sorted(output.glob(f"*/*/*_{cell_id}.json")))
    finished = [result for result in results if result.status == "ok" and result.metrics.keys() >= set(scores)]
    return max(finished, key=lambda result: result.created, default=None)
