"""The state of a training in one file: parameters, optimizer, random generators, history.

The file is replaced as a whole after an epoch, so that it is never half written.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from crbench.errors import DataError
from crbench.store.tensors import load_state, save_state

VERSION = 1


@attrs.frozen(eq=False)
class State:
    """Everything that changes while a training runs.

    torch's global generators of the CPU and of the device belong to it, too; they are read where they are.

    Attributes:
        network: what is called for a batch: the objective, or its wrapper where several processes train.
        generator: of the augmentation.
    """

    objective: nn.Module
    network: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    generator: torch.Generator
    device: torch.device

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """All tensors, each by a unique name."""
        for name, tensor in self.objective.state_dict().items():
            yield f"objective.{name}", tensor
        for index, values in self.optimizer.state_dict()["state"].items():
            for name, value in values.items():
                if isinstance(value, Tensor):
                    yield f"optimizer.{index}.{name}", value
        yield "generator.augment", self.generator.get_state()
        yield "generator.cpu", torch.get_rng_state()
        if self.device.type == "cuda":
            yield "generator.cuda", torch.cuda.get_rng_state(self.device)


@attrs.frozen(eq=False)
class Saved:
    """A state as read from a file.

    Attributes:
        history: one plain record per finished epoch.
    """

    tensors: Mapping[str, Tensor]
    history: list[dict[str, Any]]
    scaler: dict[str, Any]

    def restore_network(self, objective: nn.Module, generator: torch.Generator, device: torch.device) -> None:
        """Restore parameters, buffers and random generators; parameters keep their memory format."""
        objective.load_state_dict(self._part("objective."))
        generator.set_state(self.tensors["generator.augment"])
        torch.set_rng_state(self.tensors["generator.cpu"])
        if device.type == "cuda":
            torch.cuda.set_rng_state(self.tensors["generator.cuda"], device)

    def restore(self, state: State) -> None:
        """Restore everything."""
        self.restore_network(state.objective, state.generator, state.device)
        parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
        for name, value in self._part("optimizer.").items():
            index, _, slot = name.partition(".")
            parameter = parameters[int(index)]
            value = value.to(parameter.device)
            if value.shape == parameter.shape:
                # Fused optimizers step through parameter and state in memory order, so both need the same order.
                value = torch.empty_like(parameter).copy_(value)
            state.optimizer.state[parameter][slot] = value
        state.scaler.load_state_dict(self.scaler)

    def _part(self, prefix: str) -> dict[str, Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in self.tensors.items() if name.startswith(prefix)}


@attrs.frozen
class Checkpoint:
    """A file that holds the state of one training.

    Attributes:
        path: None = save nothing.
        key: digest of everything that the training depends on; a state with another key is ignored.
        writes: False in all but the first of several processes.
    """

    path: Path | None
    key: str
    writes: bool = True

    def save(self, state: State, history: list[dict[str, Any]]) -> None:
        """Replace the file as a whole; a training that is killed meanwhile continues from the previous state."""
        if self.path is not None and self.writes:
            facts = {
                "version": VERSION,
                "key": self.key,
                "history": json.dumps(history),
                "scaler": state.scaler.state_dict(),
            }
            save_state(self.path, dict(state.tensors()), facts)

    def delete(self) -> None:
        """Delete the file of a training that failed, and its folder if nothing else is in it."""
        if self.path is not None and self.writes:
            self.path.unlink(missing_ok=True)
            with contextlib.suppress(OSError):
                self.path.parent.rmdir()

    def load(self) -> Saved | None:
        """The state of this training, or None where there is none.

        Raises:
            DataError: the file is damaged.
        """
        if self.path is None:
            return None
        try:
            found = load_state(self.path, "cpu")
        except DataError as error:
            raise DataError(
                f"checkpoint {self.path} is damaged ({error.__cause__}); move it away to start anew"
            ) from error
        if found is None or (found[1].get("version"), found[1].get("key")) != (VERSION, self.key):
            return None
        tensors, facts = found
        return Saved(tensors=tensors, history=json.loads(facts["history"]), scaler=facts["scaler"])
