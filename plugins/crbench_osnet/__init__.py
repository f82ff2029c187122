"""OSNet (Zhou et al., ICCV 2019 and TPAMI 2021) with the weights of the torchreid model zoo."""

from __future__ import annotations

from crbench.api import Entry, Released, hookimpl

VARIANTS = ("x1_0", "x0_75", "x0_5", "x0_25", "ibn_x1_0", "ain_x1_0", "ain_x0_75", "ain_x0_5", "ain_x0_25")

BIBTEX = """
@inproceedings{zhou2019osnet,
  author = {Zhou, Kaiyang and Yang, Yongxin and Cavallaro, Andrea and Xiang, Tao},
  title = {Omni-Scale Feature Learning for Person Re-Identification},
  booktitle = {Proceedings of the IEEE/CVF International Conference on Computer Vision (ICCV)},
  year = {2019}
}
"""
PAGE = "https://kaiyangzhou.github.io/deep-person-reid/MODEL_ZOO"


def released(variant: str) -> Released:
    """The zoo's files of a network that were trained for re-identification, by training set; their names go on.

    Example:
        >>> released("x0_5").files
        ('osnet_x0_5_market*.pth', 'osnet_x0_5_duke*.pth', 'osnet_x0_5_msmt17*.pth')
    """
    return Released(tuple(f"osnet_{variant}_{data}*.pth" for data in ("market", "duke", "msmt17")), PAGE)


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``osnet``, with a preset for each network of the model zoo."""
    return [
        Entry(
            "osnet",
            "crbench_osnet.backbone:OSNetBackbone",
            summary="omni-scale network, 256x128, 512-d; needs a file of the torchreid model zoo or your own",
            source="Zhou et al., Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019",
            bibtex=BIBTEX,
            presets={variant: {"variant": variant} for variant in VARIANTS},
            # the zoo has the narrow AIN networks with ImageNet weights only
            released={name: released(name) for name in VARIANTS if not name.startswith("ain_x0")},
        )
    ]
