"""`train`: weights for one backbone and one trial, with scores, a log and a plot of the loss."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from crbench.api.capabilities import Trainable
from crbench.api.context import Progress, RunContext, TrainingSession
from crbench.api.interfaces import Backbone, Reader
from crbench.config.paths import data_root
from crbench.config.run_spec import RunSpec
from crbench.errors import ConfigError, SystemFaultError
from crbench.evaluation import Selection
from crbench.harness.cards import check_card, read_card, write_card
from crbench.harness.cell import evaluate_trial
from crbench.harness.environment import describe_environment, pick_device
from crbench.harness.extract.extractor import Extractor, extraction_for
from crbench.harness.extract.pipeline import worker_count
from crbench.harness.plan import Job, make_plan
from crbench.harness.rows import TrialRows
from crbench.harness.trial import TrialData, load_trials, make_reader
from crbench.harness.weights import make_weights, train_once, trained_path
from crbench.metrics.cmc import SUMMARY_RANKS
from crbench.protocol.hashing import sha256_file
from crbench.registry.weight_files import find_weights
from crbench.store.features import FeatureTable
from crbench.store.files import write_text
from crbench.training.curve import draw_curve
from crbench.training.launch import check_processes, launch
from crbench.training.processes import current


@attrs.frozen
class Training:
    """What a training left behind.

    Attributes:
        weights: file that `crbench.run` finds by itself; its card lies beside it.
        log: JSON file of epochs, scores and parameters.
        image: plot of the loss; None where matplotlib is missing.
        scores: of the aligner ``none`` on the trial's test rows, in [0, 1].
        seconds: time of this training; None where the weights were there.
    """

    weights: Path
    log: Path
    image: Path | None
    scores: Mapping[str, float]
    seconds: float | None


def train(
    spec: RunSpec,
    *,
    eval_every: int = 0,
    checkpoint_every: int = 1,
    processes: int = 1,
    context: RunContext | None = None,
) -> Training:
    """Train the backbone of `spec` on the HR training rows of its one trial, and evaluate it.

    `crbench.run` makes the same weights, under the same name, where it finds none; so each finds the other's. Weights
    that started from ``spec.weights`` have a name of their own, and must be given to `crbench.run`. A training that
    was stopped continues from its last checkpoint.

    Args:
        spec: names one data set, one trial and at most one backbone. ``resume=False`` trains even where weights are.
            Log and plot go to ``spec.output``.
        eval_every: epochs between two evaluations on the way; 0 = at the end only.
        checkpoint_every: epochs between two checkpoints.
        processes: how many share every batch, on one CUDA device each or all on the CPU. They are started anew, so a
            script that asks for them keeps its own work under ``if __name__ == "__main__"``.
        context: logger and progress bars; silent by default. For several processes `progress` must be picklable.

    Raises:
        ConfigError: `spec` names several cells, or a backbone that cannot be trained; too many processes.
        DataError: data, or weights that training starts from, are missing or do not fit.
        SystemFaultError: the output, or the weights, cannot be written.
        ComparisonError: the weights that it starts from were trained on persons or images of the test rows.
        CrbenchError: see `crbench.run`; a loss that is not finite, or memory that does not suffice.

    Example:
        >>> import tempfile
        >>> spec = RunSpec(dataset="mlr-synthetic", trial=0, limit=3, output=tempfile.mkdtemp(),
        ...                set={"backbone.epochs": 1})
        >>> sorted(train(spec).scores)[:2]
        ['R1', 'R10']
    """
    job, notes = plan_training(spec)
    start = starting_weights(spec)
    run = attrs.evolve(context or RunContext(), seed=spec.seed, device=pick_device(spec.device))
    for note in notes:
        run.logger.info("%s", note)
    check_processes(processes, run.device)
    backbone = trainable(job, run.device, start)
    evaluation = _evaluation(job, spec, run)
    for warning in () if start is None else check_card(start, job, evaluation.trial):
        run.logger.warning("%s", warning)
    path = trained_path(job, evaluation.trial, run, start)
    every = _Every(checkpoint=checkpoint_every, evaluation=eval_every)
    if processes == 1:
        make = functools.partial(_make, backbone, evaluation, path, every, start)
    else:
        del backbone
        make = functools.partial(
            launch, processes, run.device, _take_part, spec, path, every, run.progress, logger=run.logger
        )
    seconds = train_once(path, make, run=run, anew=not spec.resume)
    scores = evaluation(job.backbone.build(weights=path, device=run.device))
    card = {**read_card(path), "scores": scores}
    write_card(path, card)
    return _reported(spec, job, card, path, seconds, run)


def plan_training(spec: RunSpec) -> tuple[Job, tuple[str, ...]]:
    """The one job of a training, and what was taken by default.

    Raises:
        ConfigError: unknown names or parameters; more than one data set, backbone or trial.
    """
    plan = make_plan(attrs.evolve(spec, aligner=("none",), baseline=True, bound=False))
    job = plan.jobs[0]
    if len(plan.jobs) > 1 or len(job.trials) > 1:
        raise ConfigError("train: give one data set, one backbone and one trial")
    return job, tuple(note for note in plan.notes if not note.startswith("aligner"))


def starting_weights(spec: RunSpec) -> Path | None:
    """The file that a training starts from; None = as the backbone's parameters say.

    Released weights are never taken unasked: training starts from them only where they are given.

    Raises:
        ConfigError, DataError: see `crbench.registry.weight_files.find_weights`.
    """
    if spec.weights is None and spec.weights_sha256 is not None:
        raise ConfigError(f"weights_sha256 {spec.weights_sha256}: give the weights to start from with --weights")
    return None if spec.weights is None else find_weights(spec.weights, spec.weights_sha256)


def trainable(job: Job, device: str, weights: Path | None) -> Trainable:
    """The job's backbone as training starts from it, with `weights` or as its parameters say.

    Raises:
        ConfigError: it cannot be trained.
        DataError: weights that it starts from are missing or do not fit.
    """
    backbone = job.backbone.build(weights=weights, device=device)
    if not isinstance(backbone, Trainable):
        raise ConfigError(f"backbone {job.backbone.name!r} cannot be trained: it has no train() and state()")
    return backbone


@attrs.frozen
class _Every:
    """Epochs between two checkpoints, and between two evaluations (0 = none on the way)."""

    checkpoint: int
    evaluation: int


def _make(backbone: Trainable, evaluation: _Evaluation, path: Path, every: _Every, start: Path | None) -> None:
    session = TrainingSession(every=every.checkpoint, score=evaluation.every(every.evaluation))
    run = attrs.evolve(evaluation.run, session=session)
    make_weights(evaluation.job, backbone, evaluation.trial, path, read=evaluation.read, run=run, start=start)


def _take_part(device: str, spec: RunSpec, path: Path, every: _Every, progress: Progress) -> None:
    """What each of several processes does: it prepares all that `train` needs by itself, and trains."""
    run = current().role(RunContext(seed=spec.seed, device=device, progress=progress))
    job, _ = plan_training(spec)
    start = starting_weights(spec)
    _make(trainable(job, device, start), _evaluation(job, spec, run), path, every, start)


def _evaluation(job: Job, spec: RunSpec, run: RunContext) -> _Evaluation:
    (trial,) = load_trials(job, spec, run)
    return _Evaluation(job, trial, spec, make_reader(job, trial.digest_of, data_root(spec.data_root)), run)


@attrs.frozen(eq=False)
class _Evaluation:
    """Called with a backbone, gives its scores on the test rows of a trial, without an aligner."""

    job: Job
    trial: TrialData
    spec: RunSpec
    read: Reader
    run: RunContext

    def __call__(self, backbone: Backbone) -> dict[str, float]:
        device, workers = self.run.device, worker_count(self.spec.num_workers)
        extraction = extraction_for(self.spec, device)
        owner = self.job.backbone.registered.owner
        extractor = Extractor(backbone, self.read, extraction, self.job.protocol.images.flip, workers, owner)
        table, rows = FeatureTable.open(None, {}), TrialRows.of(self.trial, backbone, owner)
        test = rows.test
        extractor.fill(table, test.rows, test.ids, self.run)
        compared = [
            (query.features(table, device), gallery.features(table, device)) for query, (gallery,) in rows.compared
        ]
        scores = evaluate_trial(self.job, rows, compared, self.spec).scores
        shares = [one.name for one in Selection.of(self.job.protocol).metrics if one.metric.unit == "fraction"]
        found = {f"R{rank}": scores.rank(rank) for rank in SUMMARY_RANKS}
        return found | {name: scores.means[name] for name in shares}

    def every(self, epochs: int) -> Callable[[int, Callable[[], Backbone]], Mapping[str, float]] | None:
        """For `TrainingSession.score`: evaluate after each `epochs` epochs; None for 0."""
        if epochs == 0:
            return None

        def score(number: int, snapshot: Callable[[], Backbone]) -> Mapping[str, float]:
            if number % epochs:
                return {}
            scores = self(snapshot())
            shown = ", ".join(f"{name} {100 * value:.1f}" for name, value in scores.items())
            self.run.logger.info("after epoch %d: %s", number, shown)
            return scores

        return score


def _reported(
    spec: RunSpec, job: Job, card: Mapping[str, Any], weights: Path, seconds: float | None, run: RunContext
) -> Training:
    """Write log and plot."""
    name = f"{card['backbone'].replace('/', '-')}-{card['dataset']}-{weights.stem[-12:]}"
    log = {key: value for key, value in card.items() if key not in ("pids", "pictures")}
    environment = attrs.asdict(describe_environment(run.device, (job.backbone,)))
    log |= {"weights": str(weights), "weights_sha256": sha256_file(weights), "environment": environment}
    path = spec.output / f"{name}.json"
    image: Path | None = path.with_suffix(".png")
    try:
        write_text(path, json.dumps(log, indent=1, sort_keys=True) + "\n")
        draw_curve(card.get("epochs", []), path.with_suffix(".png"), title=f"{card['backbone']} on {card['dataset']}")
    except ModuleNotFoundError:
        run.logger.warning("no plot of the loss without matplotlib; install it with: pip install 'crbench[plot]'")
        image = None
    except SystemFaultError as error:
        raise SystemFaultError(f"{error}; the weights are kept") from error
    return Training(weights=weights, log=path, image=image, scores=card["scores"], seconds=seconds)
