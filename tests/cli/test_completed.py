"""What the shell offers after options, given what was typed before."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from crbench.cli import crbench as group


def completed(*words: str) -> list[str]:
    """What may stand in place of the last word; ``file`` where the shell completes names of files, too."""
    *before, incomplete = words
    items = ShellComplete(group, {}, "crbench", "_CRBENCH_COMPLETE").get_completions(list(before), incomplete)
    return ["file" if item.type == "file" else item.value for item in items]


RUN = ("run", "--dataset", "mlr-synthetic", "--backbone", "resnet-tiny", "--aligner", "vpfa/light")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((*RUN, "--protocol", "mlr-u"), ["mlr-unseen", "mlr-unseen-6"]),
        (("train", "--protocol", "mlrp"), ["mlrpro"]),
        (("data", "export", "cuhk03", "--protocol", ""), ["standard", "classic"]),
        ((*RUN, "--protocol", "none-such"), []),
        (("run", "--dataset", "no-such-set", "--protocol", ""), []),
        ((*RUN, "--set", "al"), ["aligner."]),
        ((*RUN, "--set", "vp"), ["vpfa."]),
        ((*RUN, "--set", "protocol.ker"), ["protocol.kernel="]),
        ((*RUN, "--set", "protocol.kernel=bi"), ["protocol.kernel=bilinear", "protocol.kernel=bicubic"]),
        ((*RUN, "--set", "vpfa.hi"), ["vpfa.hidden="]),
        ((*RUN, "--set", "aligner.gate="), ["aligner.gate=tanh", "aligner.gate=none"]),
        ((*RUN, "--set", "aligner.residual="), ["aligner.residual=true", "aligner.residual=false"]),
        ((*RUN, "--set", "backbone.ep"), ["backbone.epochs="]),
        ((*RUN, "--set", "backbone.no-such"), []),
        (("run", "--set", "aligner.hi"), []),
        (("run", "--aligner", "no-such", "--set", "aligner."), []),
        (("plugins", "check", "ri"), ["ridge"]),
        (("plugins", "show", "vpfa/l"), ["vpfa/light"]),
        (("plugins", "show", "--kind", "backbone", "rid"), []),
        (("plugins", "check", "ridge", "--set", "pro"), []),
        (("plugins", "check", "ridge", "--set", ""), ["ridge."]),
        (("plugins", "check", "ridge", "--set", "ridge.al"), ["ridge.alpha="]),
        (("plugins", "check", "lrar", "--set", "lrar.gate"), []),
        (("evaluate", "--set", ""), ["protocol."]),
        (("evaluate", "--set", "protocol.s"), ["protocol.shot=", "protocol.same_camera="]),
        (("evaluate", "--metric", "m"), ["mAP", "mINP"]),
        (("run", "--metric", "n"), ["nDCG"]),
        (("merge", "--metric", "n"), ["nDCG"]),
        (("compare", "--metric", "R"), ["R1", "R5", "R10", "R20"]),
        (("evaluate", "--distance", ""), ["cosine", "euclidean", "sqeuclidean"]),
        (("run", "--set", "protocol.distance=c"), ["protocol.distance=cosine"]),
        (("run", "--config", "crbench_lrar:table-4"), ["crbench_lrar:table-4", "file"]),
        (("bench", "--stage", "de"), ["decode"]),
        ((*RUN, "--weights", "osnet"), ["osnet_x1_0.pth", "file"]),
    ],
)
def test_words_go_on(words, expected, tmp_path):
    (tmp_path / "weights").mkdir()
    for name in ("osnet_x1_0.pth", "osnet_x1_0.json", "vit.pth"):
        (tmp_path / "weights" / name).write_bytes(b"")
    assert completed(*words) == expected
