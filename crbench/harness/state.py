"""The state of a plugin's object, as it is kept: tensors by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crbench.api.capabilities import Stateful, Trainable
from crbench.errors import PluginError
from crbench.registry.guard import Owner, plugin_stage

if TYPE_CHECKING:
    from torch import Tensor


def plugin_state(source: Stateful | Trainable, owner: Owner) -> Mapping[str, Tensor]:
    """What `source` says is its state.

    Raises:
        PluginError: it fails, or gives something else than tensors by name.
    """
    from torch import Tensor

    with plugin_stage(owner, "state", passing=()):
        state = dict(source.state())
    for name, tensor in state.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            kind = type(tensor).__name__
            raise PluginError(f"{owner} failed at state: expected tensors by name, but {name!r} holds a {kind}")
    return state
