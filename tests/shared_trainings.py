"""What the processes of a shared training do in tests; a module of its own, as new processes import it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import tempfile
import time
from pathlib import Path

import attrs
import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from crbench.api.context import RunContext, TrainingSession
from crbench.data.preprocess import Preprocess
from crbench.errors import DataError
from crbench.records import Samples
from crbench.training import Epoch, History, Objective, Phase, Recipe, seeded, train_objective
from crbench.training.losses import CenterLoss, batch_hard_triplet
from crbench.training.processes import current

RECIPE = Recipe(
    epochs=2, identities=4, images=4, optimizer="sgd", lr=0.05, warmup_epochs=0, flip=0, pad=0, erase=0, accumulate=2
)
"""Draws nothing at random; 3 batches per epoch, so that an update of two and one of one is in it."""


class TinyObjective(Objective):
    """All losses on a network of two layers; the second phase trains only the last one."""

    def __init__(self, persons: int, *, dropout: float, norm: bool) -> None:
        super().__init__()
        steps = [nn.Flatten(), nn.Linear(3 * 8 * 4, 16), nn.BatchNorm1d(16) if norm else nn.Identity()]
        self.model = nn.Sequential(*steps, nn.ReLU(), nn.Dropout(dropout))
        self.classifier = nn.Linear(16, persons)
        self.unused = nn.Linear(1, 1)
        self.center_loss = CenterLoss(persons, 16)

    def forward(self, batch):
        features = self.model(batch.inputs)
        id_loss = functional.cross_entropy(self.classifier(features), batch.labels)
        triplet = batch_hard_triplet(features, batch.labels)
        center = self.center_loss(features, batch.labels)
        return id_loss + triplet + 0.01 * center, {"id_loss": id_loss, "triplet_loss": triplet}


def read(row) -> Image.Image:
    generator = np.random.default_rng([row.pid, int(row.key)])
    return Image.fromarray(generator.integers(0, 256, (8, 4, 3), dtype=np.uint8))


def tiny_training(run: RunContext, *, recipe: Recipe = RECIPE, dropout: float = 0, norm: bool = False):
    """Two phases; the objective and its history."""
    pids = np.repeat(np.arange(1, 7), 8)
    rows = Samples(keys=[str(i) for i in range(len(pids))], pids=pids, camids=1)
    kept: list[Objective] = []

    def build(persons: int) -> Objective:
        with seeded(1):
            kept.append(TinyObjective(persons, dropout=dropout, norm=norm))
        return kept[0]

    phases = [Phase("all", recipe), Phase("last", recipe, begin=_freeze)]
    prepare = Preprocess(size=(8, 4))
    history = train_objective(build, rows, read, phases=phases, preprocess=prepare, run=run, snapshot=lambda: kept[0])
    return kept[0], history


def _freeze(objective: TinyObjective) -> None:
    objective.model.requires_grad_(False)


def train_and_keep(device: str, folder: Path) -> None:
    """Train without chance; every process keeps what it has."""
    objective, history = tiny_training(RunContext(device=device))
    keep(folder, objective, history)


def keep(folder: Path, objective: Objective, history: History) -> None:
    rank = torch.distributed.get_rank()
    torch.save((objective.state_dict(), [attrs.asdict(epoch) for epoch in history]), folder / f"{rank}.pt")


def train_with_chance(device: str, folder: Path, stop_after: int | None) -> None:
    """With chance, batch norm, half precision and scores; the second process may fail after so many epochs."""
    processes = current()
    seen: list[Epoch] = []

    def score(number: int, snapshot) -> dict[str, float]:
        (folder / f"scored-{torch.distributed.get_rank()}").touch()
        return {"R1": number / 10}

    session = TrainingSession(checkpoint=folder / "checkpoint", score=score, on_epoch=seen.append)
    run = processes.role(RunContext(seed=3, device=device, session=session))
    run.logger.info("said once")
    if not processes.first and stop_after is not None:
        run = attrs.evolve(run, progress=FailsAfter(stop_after * 48))
    recipe = attrs.evolve(RECIPE, flip=0.5, pad=1, erase=0.5, optimizer="adamw", lr=1e-3, amp="bf16")
    objective, history = tiny_training(run, recipe=recipe, dropout=0.2, norm=True)
    assert seen == list(history)
    keep(folder, objective, history)


class FailsAfter:
    """A progress bar that fails after so many images of training."""

    def __init__(self, left: int) -> None:
        self._left = left

    def __call__(self, total: int, description: str, unit: str) -> FailsAfter:
        return self

    def __enter__(self) -> FailsAfter:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def advance(self, count: int = 1, **figures: float) -> None:
        self._left -= count if "loss" in figures else 0
        if self._left < 0:
            raise DataError("the second process found a bad image")


def die(device: str) -> None:
    """The second process is killed; the first would wait."""
    if current().first:
        time.sleep(60)
    os.kill(os.getpid(), signal.SIGKILL)


def knock(device: str, folder: Path) -> None:
    """Connect to every port of the processes from other addresses of the machine, and say nonsense from its own.

    Each keeps what it found.
    """
    processes = current()
    processes.mean(torch.ones(1))
    found: list[list[int]] = [[], []]
    torch.distributed.all_gather_object(found, sorted(_listening_ports()))
    ports = [port for ports in found for port in ports]
    opened = [(address, port) for address in _other_addresses() for port in ports if _opens(address, port)]
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as stranger:
            stranger.sendall(bytes(range(256)))
    modes = [path.stat().st_mode & 0o777 for path in Path(tempfile.gettempdir()).iterdir()]
    text = json.dumps({"ports": ports, "opened": opened, "modes": modes})
    (folder / f"{torch.distributed.get_rank()}.json").write_text(text)
    processes.mean(torch.ones(1))  # the strangers did no harm, and nobody leaves before all have knocked


def _listening_ports() -> set[int]:
    """TCP ports of this process, from Linux's tables."""
    descriptors = {str(path.readlink()) for path in Path("/proc/self/fd").iterdir() if path.is_symlink()}
    tables = [Path(f"/proc/self/net/{name}") for name in ("tcp", "tcp6")]
    lines = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()[1:]]
    listening = [line for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in descriptors]
    return {int(line[1].rpartition(":")[2], 16) for line in listening}


def _other_addresses() -> set[str]:
    """Addresses of this machine but for 127.0.0.1; Linux has all of 127.0.0.0/8."""
    named: set[str] = set()
    with contextlib.suppress(OSError):
        named = {str(found[4][0]) for found in socket.getaddrinfo(socket.gethostname(), None)}
    return {"127.0.0.2", *named} - {"127.0.0.1", "::1"}


def _opens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return False
    return True
