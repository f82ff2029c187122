"""Step 4: the features that a run lacks."""

from __future__ import annotations

from collections.abc import Iterator

import attrs
import numpy as np

from crbench.api.capabilities import VariesInLength
from crbench.api.interfaces import Precomputed
from crbench.harness.backbone import ReadyBackbone
from crbench.harness.facts import JobFacts
from crbench.harness.paces import decoding, looking_up, network
from crbench.harness.rows import TrialRows
from crbench.prediction.figures import Figure, Figures
from crbench.prediction.memory import extraction_bytes
from crbench.prediction.network import NetworkNeeds
from crbench.prediction.rows import Lacking
from crbench.prediction.steps import Step
from crbench.registry.targets import load_target


@attrs.frozen(eq=False)
class Group:
    """Trials that share a backbone.

    Attributes:
        key: begins the keys of its steps.
        facts: of the job.
        ready: the backbone; as it is before the training that is due.
        rows: of the trials.
        trained: names the training that is due; None = the weights are there.
        base: bytes that the process has once the backbone is there.
        network: what the network needs for one image.
    """

    key: str
    facts: JobFacts
    ready: ReadyBackbone
    rows: tuple[TrialRows, ...]
    trained: str | None
    base: int
    network: NetworkNeeds

    @property
    def dim(self) -> int:
        """Length of the features."""
        return self.ready.backbone.dim

    @property
    def varies(self) -> bool:
        """Whether that length follows the row."""
        backbone = self.facts.job.backbone
        target = load_target(backbone.registered)
        return isinstance(target, VariesInLength) and target.varies(backbone.values)


def extraction_steps(
    group: Group, lacking: Lacking, figures: Figures, *, key: str, of: str, needs: tuple[str, ...]
) -> Iterator[Step]:
    """Reading of images and the network's work, or looking features up.

    Args:
        key: begins the keys of the steps; the last of them is ``key`` itself.
        of: whose features, for people.
        needs: keys of the steps before.
    """
    kept = f"{lacking.asked - len(lacking):,} of {lacking.asked:,} rows" if len(lacking) < lacking.asked else ""
    if not len(lacking):
        yield Step(key=key, name="extract", of=of, kept=kept, images=0, macs=0, seconds=0.0, longest_s=0.0,
                   needs=needs)  # fmt: skip
        return
    written = lacking.bytes(group.dim, varies=group.varies)
    if isinstance(group.ready.backbone, Precomputed):
        figure = figures.linear(("look up", looking_up(group.facts.job)))
        seconds = figure.seconds(len(lacking))
        yield Step(key=key, name="look up", of=of, kept=kept, images=len(lacking), macs=0, written_bytes=written,
                   seconds=seconds, longest_s=seconds, basis=figure.basis, needs=needs)  # fmt: skip
        return
    yield from _through_network(group, lacking, figures, Step(
        key=key, name="extract", of=of, kept=kept, written_bytes=written, needs=needs
    ))  # fmt: skip


def _through_network(group: Group, lacking: Lacking, figures: Figures, step: Step) -> Iterator[Step]:
    facts, job = group.facts, group.facts.job
    flip = job.protocol.images.flip
    through = network(job.backbone, facts.extraction, flip=flip)
    alone = network(job.backbone, facts.extraction, flip=False)
    reading = figures.linear(*(("decode", decoding(job, again=again)) for again in (lacking.again, False)))
    encoding = figures.linear(("network", through), *(() if flip else (("network alone", alone),)))
    blocks = lacking.blocks()
    decoded_s, encoded_s = max(
        ((_block_s(reading, len(np.unique(block.keys))), _block_s(encoding, len(block))) for block in blocks), key=sum
    )
    macs, size = group.network.macs, group.ready.backbone.preprocess.size  # type: ignore[union-attr]
    memory = group.base + extraction_bytes(lacking.batch, size, group.dim, group.network.activation_bytes)
    yield Step(
        key=f"{step.key} decode",
        name="decode",
        of=step.of,
        tasks=len(blocks),
        images=lacking.images,
        macs=0,
        seconds=reading.seconds(lacking.images),
        longest_s=decoded_s,
        basis=reading.basis,
        needs=step.needs,
    )
    yield attrs.evolve(
        step,
        tasks=len(blocks),
        images=len(lacking),
        macs=None if macs is None else macs * len(lacking) * (2 if flip else 1),
        memory_bytes=memory,
        seconds=encoding.seconds(len(lacking)),
        longest_s=encoded_s,
        basis=encoding.basis,
        needs=(f"{step.key} decode",),
    )


def _block_s(figure: Figure, count: int) -> float:
    return figure.seconds(count) or 0.0
