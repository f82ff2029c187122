"""Make the weights that `mlr-synthetic` brings: train ``resnet-tiny`` by its default recipe, round, score, write.

    python benchmarks/embedded_weights.py            # trains on one thread of the CPU: minutes
    python benchmarks/embedded_weights.py TRAINED    # takes what `crbench train --dataset mlr-synthetic` wrote

Matrices and kernels are rounded to float16, which halves the file; vectors, such as the statistics of batch norm, stay
as they are. The card beside them is that of the training, with the scores of the rounded weights over all trials.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import attrs
import torch

import crbench
from crbench.config.run_spec import RunSpec
from crbench.harness.cards import read_card, write_card
from crbench.store.tensors import load_state, save_state

TARGET = Path(__file__).parent.parent / "plugins" / "crbench_synthetic" / "weights" / "resnet-tiny.safetensors"


def main(trained: Path | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spec = RunSpec(dataset="mlr-synthetic", trial=0, device="cpu", output=folder, cache=False)
        if trained is None:
            torch.set_num_threads(1)
            trained = crbench.train(spec).weights
        found = load_state(trained, "cpu")
        assert found is not None, trained
        state, facts = found
        save_state(TARGET, {name: rounded(tensor) for name, tensor in state.items()}, facts)
        card = read_card(trained)
        write_card(TARGET, card)
        (result,) = crbench.run(attrs.evolve(spec, trial=None, weights=TARGET))
        scores = {name: summary.mean for name, summary in result.metrics.items()}
        write_card(TARGET, {**card, "scores": scores})
        print(TARGET, f"{TARGET.stat().st_size / 1e6:.2f} MB", scores)  # noqa: T201


def rounded(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.half() if tensor.ndim > 1 else tensor


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
