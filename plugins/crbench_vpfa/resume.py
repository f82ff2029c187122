"""A fit that was stopped continues: the state of its modules, optimizer and generator, by the run's checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor, nn

from crbench.api import FitCheckpoint


@attrs.define(eq=False)
class Resume:
    """Where a fit of one or several modules, one after the other, stands.

    Attributes:
        checkpoint: of the run.
        saved: the state of an earlier process; None = there is none.
        done: modules that are trained.
    """

    checkpoint: FitCheckpoint
    saved: tuple[Mapping[str, Tensor], Mapping[str, Any]] | None
    done: list[nn.Module] = attrs.field(factory=list)

    @classmethod
    def of(cls, checkpoint: FitCheckpoint) -> Resume:
        """From the state that the run kept, if there is one."""
        return cls(checkpoint, checkpoint.load())

    def finished(self, module: nn.Module) -> bool:
        """Whether the earlier process trained this module, the next one, to its end; it is then filled."""
        if self.saved is None or len(self.done) >= self.saved[1]["module"]:
            return False
        module.load_state_dict(_part(self.saved[0], f"module.{len(self.done)}."))
        return True

    def start(self, module: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> int:
        """The first epoch to train, from 0; all three are then as they were before it."""
        if self.saved is None or len(self.done) != self.saved[1]["module"]:
            return 0
        tensors, facts = self.saved
        module.load_state_dict(_part(tensors, f"module.{len(self.done)}."))
        parameters = list(module.parameters())
        group = optimizer.param_groups[0]
        for name, value in _part(tensors, "optimizer.").items():
            index, _, slot = name.partition(".")
            parameter = parameters[int(index)]
            # plain Adam counts its steps on the CPU
            there = slot != "step" or group["fused"] or group["capturable"]
            optimizer.state[parameter][slot] = value.to(parameter.device if there else "cpu")
        generator.set_state(tensors["generator"])
        return int(facts["epoch"])

    def keep(self, epoch: int, module: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Save the state after so many epochs of this module, if it is time to."""
        if not self.checkpoint.due():
            return
        modules = {
            f"module.{index}.{name}": tensor
            for index, one in enumerate([*self.done, module])
            for name, tensor in one.state_dict().items()
        }
        slots = {
            f"optimizer.{index}.{slot}": value
            for index, values in optimizer.state_dict()["state"].items()
            for slot, value in values.items()
        }
        state = {**modules, **slots, "generator": generator.get_state()}
        self.checkpoint.save(state, {"module": len(self.done), "epoch": epoch})


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
