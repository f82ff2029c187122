"""``crbench merge``: the scores of all queries from the parts of ``crbench evaluate --shard``."""

from __future__ import annotations

from pathlib import Path

import click

from crbench.cli.options import FILE
from crbench.cli.per_query import write_outcomes
from crbench.cli.replaced import check_inputs_kept
from crbench.cli.scores import groups, output_options, show


@click.command()
@click.argument("parts", nargs=-1, required=True, type=FILE)
@output_options
def merge(
    parts: tuple[Path, ...],
    metric: tuple[str, ...],
    group_by: str | None,
    per_query: Path | None,
    ranks: tuple[int, ...],
    form: str,
) -> None:
    """Put the PARTS of an evaluation together: the same scores, bit for bit, as without --shard.

    Each part comes from `crbench evaluate --shard I/N --output FILE` with the same features and rules, on whatever
    machine. A missing part, one given twice or one of something else is refused.

    \b
    crbench merge part*.npz --format json
    """
    from crbench.evaluation import merge as merged
    from crbench.evaluation.shards import complete
    from crbench.records import Samples
    from crbench.store.shards import load_part

    check_inputs_kept([per_query], parts)
    loaded = complete([load_part(path) for path in parts])
    found, protocol = merged(loaded, metric), loaded[0].protocol
    queries = Samples.concat([part.queries for part in loaded])
    masks = groups(queries, group_by)
    if per_query is not None:
        write_outcomes(per_query, queries, found, ranks)
    click.echo(show(found, protocol, form, ranks, group_by, masks, {}))
