"""What must answer at once imports nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "timm", "cupy", "matplotlib", "PIL", "scipy", "sklearn", "h5py")


@pytest.mark.parametrize(
    "code",
    [
        "import crbench",
        "import crbench; crbench.Entry, crbench.hookimpl, crbench.RunSpec, crbench.list_plugins()",
        "import crbench.api; dir(crbench.api)",
        "from crbench.api import Aligner, Backbone, Dataset, Entry, RunContext, Trainable, VerifiesFiles, hookimpl",
        "from crbench.api import ImageFiles, Preprocess, draw_split, read_rgb, verify_images",
        "from crbench.cli import invoke; invoke(['--help'])",
        "from crbench.cli import invoke; invoke(['--version'])",
        "from crbench.cli import invoke; invoke(['run', '--help'])",
        "from crbench.cli import invoke; invoke(['train', '--help'])",
        "from crbench.cli import invoke; invoke(['leaderboard', '--help'])",
        "from crbench.cli import invoke; invoke(['report', '--help'])",
        "from crbench.cli import invoke; invoke(['analyze', 'directions', '--help'])",
        "from crbench.cli import invoke; invoke(['plugins'])",
        "from crbench.cli import invoke; invoke(['plugins', 'check', '--help'])",
        "from crbench.cli import invoke; invoke(['data', 'list'])",
    ],
)
def test_nothing_heavy_is_imported(code):
    check = f"import sys\n{code}\nprint('heavy:', [name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"


@pytest.mark.parametrize("backbone", ["resnet-tiny", "lrar", "osnet/x1_0"])
def test_a_plan_imports_no_timm(backbone):
    made = f"make_plan(RunSpec(dataset='mlr-synthetic', backbone={backbone!r}, aligner='none'))"
    names = "import sys\nfrom crbench import RunSpec\nfrom crbench.harness.plan import make_plan"
    check = f"{names}\n{made}\nprint('timm' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_run_whose_cells_are_kept_imports_nothing_that_computes(tmp_path):
    words = ["run", "--dataset", "mlr-synthetic", "--backbone", "random", "--limit", "3", "--trial", "0", "-q"]
    words += ["--aligner", "none", "-o", str(tmp_path / "results"), "--cache-dir", str(tmp_path / "cache")]
    names = "[name for name in ('timm', 'triton', 'numba', 'matplotlib') if name in sys.modules]"
    check = f"import sys\nfrom crbench.cli import invoke\ninvoke({words})\nprint({names})"
    for _ in range(2):
        done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_every_public_name_can_be_loaded():
    import crbench

    assert all(getattr(crbench, name) is not None for name in crbench.__all__)
    assert set(crbench.__all__) <= set(dir(crbench))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = crbench.nothing


def test_names_are_completed_with_their_presets():
    from crbench.cli.names import PluginName

    found = [item.value for item in PluginName("aligner").shell_complete(None, None, "vpfa")]
    assert found == ["vpfa", "vpfa/paper", "vpfa/official-code", "vpfa/light"]
