"""What a command must not write over: its own inputs, and results of something else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from crbench.errors import ConfigError


def check_inputs_kept(outputs: Iterable[Path | None], inputs: Iterable[Path | None]) -> None:
    """Refuse to write over a file that is read.

    Raises:
        ConfigError: an output is an input, whatever links lead there.
    """
    read = {file.resolve() for file in inputs if file is not None}
    for output in outputs:
        if output is not None and output.resolve() in read:
            raise ConfigError(f"{output}: this file is read, and would be written over; choose another name")


def check_result_replaced(output: Path, *, name: str, dataset: str, lists: str) -> None:
    """Refuse to put a result where another one is: only that of the same method on the same data makes room.

    Args:
        output: the file of the result; its outcomes go to a npz file beside it.
        name: of the method.
        dataset, lists: the data set, and the digest of its lists of images, see `GivenFeatures.lists`.

    Raises:
        ConfigError: the file, or the one beside it, is of something else.
        DataError: the file is no result.
    """
    from crbench.results import from_json
    from crbench.results.search import read_text

    beside = output.with_suffix(".npz")
    kept = None
    if output.is_file():
        there = from_json(read_text(output, "result"), str(output))
        if there.method.backbone.name != name:
            raise ConfigError(
                f"--output {output}: it holds the result of {there.method.backbone.name}, not of {name}; choose "
                "another file"
            )
        if (there.dataset, [trial.split for trial in there.trials]) != (dataset, [lists]):
            raise ConfigError(
                f"--output {output}: it holds the result of {name} on other data ({there.dataset}); choose another file"
            )
        kept = there.outcomes and there.outcomes.file
    if beside.is_file() and kept != beside.name:
        raise ConfigError(
            f"--output {output}: {beside} is there, and the outcomes would be written over it; choose another name"
        )
