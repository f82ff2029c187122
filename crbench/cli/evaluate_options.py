"""The options of ``crbench evaluate``, and what they must not ask for together."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from crbench.cli.cluster_options import asked_cluster, cluster_options
from crbench.cli.completed import Setting
from crbench.cli.given_features import RULES
from crbench.cli.names import PluginName
from crbench.cli.numbers import IntegerRange, shares
from crbench.cli.options import FILE, option_group
from crbench.cli.replaced import check_inputs_kept
from crbench.cli.scores import output_options
from crbench.evaluation import CPU_ENGINES, ENGINES, PRECISIONS
from crbench.metrics.cmc import CURVE_LENGTH
from crbench.protocol.presets import CONVENTIONS
from crbench.ranking.distance import DISTANCES

if TYPE_CHECKING:
    from crbench.cluster.request import ClusterSpec
    from crbench.evaluation import Shard
    from crbench.protocol import EvalProtocol

_INPUTS = (
    click.option(
        "--query", "query_file", type=FILE, required=True, help="Features of the queries: npz, npy, safetensors, mat."
    ),
    click.option(
        "--gallery",
        "gallery_file",
        type=FILE,
        required=True,
        metavar="FILE...",
        help="Features of the gallery, in one file or in several.",
    ),
    click.argument("more_gallery_files", type=FILE, nargs=-1, metavar="[GALLERY]..."),
    click.option("--meta", "meta_file", type=FILE, help="CSV file with columns pid, camid, rate, dims, key, role."),
)
_RULES = (
    click.option("--as", "tool", type=click.Choice(list(CONVENTIONS)), help="Score by the rules of another tool."),
    click.option(
        "--set",
        "settings",
        type=Setting(parts=("protocol",), rules=RULES),
        multiple=True,
        metavar="protocol.NAME=VALUE",
        help=f"Rules: {', '.join(RULES)}.",
    ),
    click.option(
        "--distance",
        type=PluginName("distance", DISTANCES),
        metavar="NAME",
        help="cosine, euclidean, sqeuclidean or that of a plugin.",
    ),
    click.option(
        "--rerank", metavar="k1=20,k2=6,lambda=0.3", help="Re-rank by k-reciprocal encoding (Zhong et al. 2017)."
    ),
)
_COMPUTING = (
    click.option("--engine", type=click.Choice(["auto", *ENGINES]), default="auto", show_default=True),
    click.option("--precision", type=click.Choice(["auto", *PRECISIONS]), default="auto", show_default=True),
    click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1."),
    click.option(
        "--memory-budget", help="Memory to use on top of the features; default: 40MiB a thread, 1/16 of a GPU's."
    ),
)
_RESULT = (
    click.option(
        "--fpr", "fprs", callback=shares, metavar="LIST", help="Verification: TPR at each FPR, e.g. 1e-2,1e-3."
    ),
    click.option(
        "--shard", "shard_text", metavar="I/N", help="Score part I of N of the queries only; see crbench merge."
    ),
    click.option("--name", help="Name of the method, for a result that a leaderboard shows; with --output."),
    click.option("--dataset", metavar="NAME", help="Data set of the result; default: features."),
    click.option("-o", "--output", type=FILE, help="Where to write the result (json) or the part (npz)."),
    click.option("--hash-keys", is_flag=True, help="Keep hashes of image names beside the result."),
    click.option("--curve", type=IntegerRange(min=1), metavar="RANK", help="Add the CMC at each rank up to this one."),
)


evaluate_options = option_group(*_INPUTS, *_RULES, *_COMPUTING, *_RESULT, cluster_options, output_options)
"""All options of ``crbench evaluate``."""


@attrs.frozen(kw_only=True)
class EvaluateRequest:
    """The values of `evaluate_options`, by the names that click gives them."""

    query_file: Path
    gallery_file: Path
    more_gallery_files: tuple[Path, ...]
    meta_file: Path | None
    tool: str | None
    settings: tuple[str, ...]
    distance: str | None
    rerank: str | None
    engine: str
    precision: str
    device: str
    memory_budget: str | None
    fprs: list[float]
    shard_text: str | None
    name: str | None
    dataset: str | None
    output: Path | None
    hash_keys: bool
    curve: int | None
    metric: tuple[str, ...]
    group_by: str | None
    per_query: Path | None
    ranks: tuple[int, ...]
    form: str
    executor: str
    scheduler: str | None
    workers: int | None
    memory_limit: str | None
    resources: tuple[str, ...]
    retries: int | None

    @property
    def gallery_files(self) -> tuple[Path, ...]:
        """All files of the gallery."""
        return (self.gallery_file, *self.more_gallery_files)

    @property
    def rules(self) -> tuple[str, ...]:
        """All changes of rules, as ``protocol.NAME=VALUE``."""
        short = {"rerank": self.rerank, "distance": self.distance}
        return self.settings + tuple(f"protocol.{rule}={value}" for rule, value in short.items() if value is not None)

    @property
    def curve_length(self) -> int:
        """Entries of CMC curves that are computed."""
        return max(CURVE_LENGTH, self.curve or 0)

    def protocol(self) -> EvalProtocol:
        """The rules.

        Raises:
            ConfigError: a setting that is none of a rule.
        """
        from crbench.config.protocol_changes import own_protocol
        from crbench.config.settings import parse_setting
        from crbench.errors import ConfigError

        changes = {}
        for text in self.rules:
            name, value = parse_setting(text)
            part, _, field = name.partition(".")
            if part != "protocol":
                raise ConfigError(f"--set {name}: expected protocol.NAME=VALUE; given features have no {part}")
            changes[field] = value
        return own_protocol(changes, tool=self.tool)

    def shard(self) -> Shard | None:
        """Which part of the queries to score; None = all.

        Raises:
            ConfigError: it is none, or what else is asked for needs all queries.
        """
        from crbench.errors import ConfigError
        from crbench.evaluation import Shard

        if self.shard_text is None:
            return None
        if self.output is None:
            raise ConfigError("--shard and --output go together: --shard 2/8 --output part2.npz")
        needs_all = ("fprs", "metric", "group_by", "per_query", "curve", "name")
        idle = [name for name in needs_all if getattr(self, name)]
        if idle:
            raise ConfigError(
                f"--{_option(idle[0])} needs all queries, --shard scores a part of them; see crbench merge --help"
            )
        return Shard.parse(self.shard_text)

    def cluster(self) -> ClusterSpec | None:
        """Who computes; None = this process.

        Raises:
            ConfigError: options that do not go together, or Dask is not installed.
        """
        from crbench.errors import ConfigError

        names = ("scheduler", "workers", "memory_limit", "resources", "retries")
        cluster = asked_cluster(self.executor, **{name: getattr(self, name) for name in names})
        if cluster is None:
            return None
        for option, value, instead in (
            ("--meta", self.meta_file, "put a CSV file of the same name beside each npy file"),
            ("--fpr", self.fprs, "pairs are counted over the whole gallery at once"),
            ("--shard", self.shard_text, "workers share the queries out"),
        ):
            if value:
                raise ConfigError(f"{option} does not go with --executor dask: {instead}")
        return cluster

    def computing(self) -> dict[str, Any]:
        """How it is to be computed, as `crbench.evaluate` takes it.

        Raises:
            ConfigError: a budget that is none, or no such device.
        """
        from crbench.config.units import parse_budget

        memory = None if self.memory_budget is None else parse_budget(self.memory_budget)
        device = _device(self.device, self.engine, self.precision, here=self.executor == "local")
        return {"engine": self.engine, "precision": self.precision, "memory_budget": memory, "device": device}

    def check_files(self) -> None:
        """Refuse, before the work, a result that could not be written or found, and to write over what is read.

        Raises:
            ConfigError: that is so.
        """
        if self.shard_text is None:
            self._check_result()
        check_inputs_kept((self.output, self.per_query), (self.query_file, *self.gallery_files, self.meta_file))

    def check_verification(self, protocol: EvalProtocol) -> None:
        """Refuse --fpr by a distance that pairs do not have.

        Raises:
            ConfigError: it is a plugin's.
        """
        from crbench.errors import ConfigError

        if self.fprs and protocol.scoring.distance not in DISTANCES:
            raise ConfigError(
                f"--fpr takes the distances {', '.join(DISTANCES)}, not that of a plugin ({protocol.scoring.distance})"
            )

    def _check_result(self) -> None:
        from crbench.errors import ConfigError

        name, output = self.name, self.output
        if name is None and output is not None:
            raise ConfigError("--output: a result needs --name, a part --shard; e.g. --name mine -o results/mine.json")
        if name is not None and output is None:
            raise ConfigError("--name and --output go together: --name mine -o results/mine.json")
        if name is None and (self.dataset is not None or self.hash_keys):
            raise ConfigError("--dataset and --hash-keys are for a result; give --name and --output too")
        if name is not None and not (name.strip() and name.isprintable()):
            raise ConfigError(f"--name {name!r}: expected a name that can be printed")
        if output is not None and not re.fullmatch(r"[\w.-]+\.json", output.name):
            raise ConfigError(f"--output {output}: expected a file NAME.json, of letters, digits, '.', '_' and '-'")


def _option(name: str) -> str:
    """The option of a parameter."""
    return {"fprs": "fpr"}.get(name, name).replace("_", "-")


def _device(request: str, engine: str, precision: str, *, here: bool) -> str:
    """The device; by itself none that the engine or the precision does not work on. Elsewhere each worker finds it."""
    from crbench.harness.environment import pick_device

    if request == "auto" and (engine in CPU_ENGINES or precision == "int8"):
        return "cpu"
    return pick_device(request) if here else request
