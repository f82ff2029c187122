"""Which backbone an aligner runs on where the user names none."""

from __future__ import annotations

import pytest

from crbench.config.run_spec import RunSpec
from crbench.harness.plan import make_plan

STRIDE = "vit-transreid-stride"


def planned(dataset: str, **options: object) -> dict[str, list[str]]:
    """Aligners by backbone."""
    plan = make_plan(RunSpec(dataset=dataset, trial=0, **options))
    return {job.backbone.name: [aligner.name for aligner in job.aligners] for job in plan.jobs}


@pytest.mark.parametrize(
    ("dataset", "preset"),
    [
        ("mlr-market1501", f"market-{STRIDE}"),
        ("mlr-msmt17", f"msmt17-{STRIDE}"),
        ("mlr-cuhk03", STRIDE),
        ("mlr-viper", STRIDE),
        ("mlr-caviar", STRIDE),
    ],
)
def test_vpfa_runs_on_the_backbone_of_its_paper(dataset: str, preset: str) -> None:
    assert planned(dataset, aligner="vpfa") == {f"transreid/{preset}": ["none", "vpfa/paper"]}
    assert planned(dataset, aligner=["vpfa/official-code", "ridge"]) == {
        f"transreid/{preset}": ["none", "vpfa/official-code", "ridge"]
    }


def test_others_run_on_the_default_of_the_data_set() -> None:
    assert planned("mlr-cuhk03", aligner="ridge") == {"resnet50/bag-of-tricks": ["none", "ridge"]}
    assert planned("mlr-synthetic", aligner="vpfa") == {"resnet-tiny": ["none", "vpfa/light"]}


def test_a_given_backbone_counts() -> None:
    assert planned("mlr-cuhk03", aligner="vpfa", backbone="resnet-tiny") == {"resnet-tiny": ["none", "vpfa/paper"]}
