"""The training loop: phases, epochs, updates, learning rates, checkpoints, and the errors that stop it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import attrs
import torch

from crbench.api.context import Epoch, RunContext, Tracker
from crbench.api.interfaces import Backbone
from crbench.config.amp import half_dtype
from crbench.denormals import denormals_flushed
from crbench.errors import CrbenchError
from crbench.training.checkpoint import Checkpoint, Saved, State
from crbench.training.memory import largest_fitting
from crbench.training.objective import Objective, TrainBatch, optimizer_for
from crbench.training.phases import History, Phase
from crbench.training.processes import Processes
from crbench.training.recipe import Recipe, learning_rate
from crbench.training.sampler import Sampler
from crbench.training.source import Source


class Loop:
    """One training.

    Args:
        objective: on the device of `source`.
        phases: with their samplers.
        checkpoint: the state is saved here after epochs, and read from here where a stopped training continues.
        name: of the model in progress bars and messages.
        snapshot: returns the backbone in its present state; None = it cannot be evaluated between epochs.
        processes: the processes that train together.
    """

    def __init__(
        self,
        objective: Objective,
        source: Source,
        phases: Sequence[Phase],
        checkpoint: Checkpoint,
        run: RunContext,
        name: str,
        snapshot: Callable[[], Backbone] | None,
        processes: Processes,
    ) -> None:
        self._objective = objective.train()
        self._processes = processes
        self._source = source
        self._phases = [(phase, phase.sampler) for phase in phases if phase.sampler is not None]
        self._checkpoint = checkpoint
        self._run = run
        self._name = name
        self._snapshot = snapshot
        self._epochs = sum(phase.recipe.epochs for phase in phases)

    def run(self) -> History:
        """Train from the start, or from the epoch after which the checkpoint was saved."""
        saved = self._checkpoint.load()
        history = [] if saved is None else [Epoch(**record) for record in saved.history]
        done = len(history)
        if saved is not None:
            self._run.logger.info("train %s: continues after epoch %d of %d", self._name, done, self._epochs)
        if self._run.session.score is not None and self._snapshot is None:
            self._run.logger.warning("train %s: cannot be evaluated on the way, only at the end", self._name)
        total = sum(phase.recipe.epochs * sampler.steps * sampler.batch_size for phase, sampler in self._phases)
        with self._run.progress(total, f"train {self._name}", "image") as progress:
            for epoch in history:
                progress.advance(epoch.images)
                self._announce(epoch)
            first = 0
            for phase, sampler in self._phases:
                self._phase(phase, sampler, first, history, saved if done >= first else None, progress)
                first += phase.recipe.epochs
        return tuple(history)

    def _phase(
        self, phase: Phase, sampler: Sampler, first: int, history: list[Epoch], saved: Saved | None, progress: Tracker
    ) -> None:
        """Train a phase, or the part of it that the saved state does not cover.

        Args:
            first: number of the phase's first epoch in the whole training.
            history: finished epochs of all phases; new ones are appended.
            saved: state to continue from, where this phase or a later one was saved.
        """
        done = len(history) - first
        if saved is not None and done == 0:
            saved.restore_network(self._objective, self._source.generator, self._source.device)
        if phase.begin is not None:
            phase.begin(self._objective)
        state = self._state(phase.recipe)
        last = first + phase.recipe.epochs == self._epochs
        if saved is not None and (0 < done < phase.recipe.epochs or (last and done)):
            saved.restore(state)
        for number in range(done, phase.recipe.epochs):
            epoch = self._scored(self._epoch(phase, number, first + number, sampler, state, progress), first + number)
            history.append(epoch)
            if len(history) % self._run.session.every == 0 or len(history) == self._epochs:
                self._checkpoint.save(state, [attrs.asdict(record) for record in history])
            self._report(epoch, len(history))
        if not all(torch.isfinite(tensor).all() for tensor in self._objective.state_dict().values()):
            raise self._diverged("a weight", phase, phase.recipe.epochs - 1)

    def _state(self, recipe: Recipe) -> State:
        return State(
            objective=self._objective,
            network=self._processes.network(self._objective),
            optimizer=optimizer_for(self._objective, recipe),
            scaler=torch.amp.GradScaler(self._source.device.type, enabled=recipe.amp == "fp16"),
            generator=self._source.generator,
            device=self._source.device,
        )

    def _epoch(
        self, phase: Phase, number: int, total_number: int, sampler: Sampler, state: State, progress: Tracker
    ) -> Epoch:
        started = time.perf_counter()
        order = self._processes.shares(sampler.epoch(total_number))
        self._processes.start_epoch(total_number, self._run.seed, self._source.generator)
        sums: dict[str, float] = {}
        lr = images = 0.0
        for step, batch in enumerate(self._source.batches(order, phase.recipe)):
            lr = learning_rate(phase.recipe, number + step / len(order))
            for group in state.optimizer.param_groups:
                group["lr"] = lr * group["lr_factor"]
            latest = self._guarded(batch, step, len(order), state, phase.recipe)
            if not math.isfinite(latest["loss"]):
                raise self._diverged(f"the loss ({latest['loss']})", phase, number)
            sums = {figure: sums.get(figure, 0.0) + value for figure, value in latest.items()}
            images += sampler.batch_size
            progress.advance(sampler.batch_size, loss=latest["loss"])
        means = {figure: value / len(order) for figure, value in sums.items()}
        seconds = time.perf_counter() - started
        return Epoch(phase.name, means.pop("loss"), figures=means, lr=lr, images=int(images), seconds=seconds)

    def _guarded(self, batch: TrainBatch, step: int, steps: int, state: State, recipe: Recipe) -> dict[str, float]:
        """A step; if memory is too small for it, the error names a batch size that fits."""
        try:
            with denormals_flushed():
                return self._step(batch, step, steps, state, recipe)
        except torch.cuda.OutOfMemoryError:
            pass
        # Not inside the handler: its traceback would keep the activations of the failed step alive.
        state.optimizer.zero_grad()
        once = attrs.evolve(recipe, accumulate=1)
        fitting = self._processes.alone(
            lambda: largest_fitting(batch, lambda part: self._step(part, 0, 1, state, once), multiple=recipe.images)
        )
        raise self._too_large(batch, fitting, recipe)

    def _step(self, batch: TrainBatch, step: int, steps: int, state: State, recipe: Recipe) -> dict[str, float]:
        """Compute the gradients of one batch, and update after every `accumulate` batches; returns loss and figures."""
        start = step - step % recipe.accumulate
        stop = min(start + recipe.accumulate, steps)
        device = self._source.device.type
        last = step + 1 == stop
        with nullcontext() if last else self._processes.accumulating(state.network):
            with torch.autocast(device, dtype=half_dtype(recipe.amp), enabled=recipe.amp != "off"):
                loss, figures = state.network(batch)
            state.scaler.scale(loss / (stop - start)).backward()
        if last:
            state.scaler.step(state.optimizer)
            state.scaler.update()
            state.optimizer.zero_grad()
        # All figures are copied from the device at once.
        values = self._processes.mean(torch.stack([loss, *figures.values()]).detach().float())
        return dict(zip(("loss", *figures), values.cpu().tolist(), strict=True))

    def _scored(self, epoch: Epoch, number: int) -> Epoch:
        score, snapshot = self._run.session.score, self._snapshot
        if score is None or snapshot is None:
            return epoch
        self._objective.eval()
        scores = self._processes.broadcast(lambda: dict(score(number + 1, snapshot)))
        self._objective.train()
        return attrs.evolve(epoch, scores=scores)

    def _report(self, epoch: Epoch, number: int) -> None:
        pace = f"{epoch.images / epoch.seconds:.0f} images/s, {epoch.seconds * (self._epochs - number):.0f} s left"
        self._run.logger.info("train %s: epoch %d of %d: %s (%s)", self._name, number, self._epochs, epoch, pace)
        self._announce(epoch)

    def _announce(self, epoch: Epoch) -> None:
        if self._run.session.on_epoch is not None:
            self._run.session.on_epoch(epoch)

    def _diverged(self, what: str, phase: Phase, epoch: int) -> CrbenchError:
        self._checkpoint.delete()
        recipe = phase.recipe
        where = f"epoch {epoch + 1} of {recipe.epochs}" + (f" of phase {phase.name}" if len(self._phases) > 1 else "")
        return CrbenchError(
            f"train {self._name}: {what} is not finite in {where}; lower lr (now {recipe.lr:g}) or raise "
            f"warmup_epochs (now {recipe.warmup_epochs:g})"
        )

    def _too_large(self, batch: TrainBatch, fitting: int | None, recipe: Recipe) -> CrbenchError:
        size, device = len(batch.labels), self._source.device
        if fitting is None:
            advice = self._processes.no_fit
        else:
            identities = fitting // recipe.images
            advice = (
                f"a batch of {fitting} fits (tried): set identities={identities}, and accumulate="
                f"{math.ceil(size / fitting)} for as many images per update"
            )
        batch_size = f"a batch of {size} images{self._processes.each}"
        return CrbenchError(f"train {self._name}: {batch_size} does not fit into memory of {device}; {advice}")
