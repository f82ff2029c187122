"""Backbones with timm bodies and BN necks: a small one for the CPU, and the ResNet-50 baseline of the field."""

from __future__ import annotations

from crbench.api import Entry, hookimpl

TARGET = "crbench_timm.backbone:TimmBackbone"

TIMM = """
@misc{rw2019timm,
  author = {Ross Wightman},
  title = {{PyTorch} Image Models},
  year = {2019},
  doi = {10.5281/zenodo.4414861}
}
"""
LUO = """
@inproceedings{luo2019bag,
  author = {Luo, Hao and Gu, Youzhi and Liao, Xingyu and Lai, Shenqi and Jiang, Wei},
  title = {Bag of Tricks and a Strong Baseline for Deep Person Re-Identification},
  booktitle = {Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition (CVPR) Workshops},
  year = {2019}
}
"""

BAG_OF_TRICKS = {
    "architecture": "resnet50",
    "pretrained": "imagenet",
    "epochs": 120,
    "identities": 16,
    "images": 4,
    "optimizer": "adam",
    "lr": 3.5e-4,
    "weight_decay": 5e-4,
    "warmup_epochs": 10.0,
    "schedule": "step",
    "milestones": (40.0, 70.0),
    "label_smoothing": 0.1,
    "triplet_weight": 1.0,
    "flip": 0.5,
    "pad": 10,
    "erase": 0.5,
}


@hookimpl
def crbench_backbones() -> list[Entry]:
    """``resnet-tiny``, ``resnet50`` and, with any model after the colon, ``timm``."""
    return [
        Entry(
            "resnet-tiny",
            TARGET,
            summary="ResNet of four blocks, BN neck, 128x64, 256-d; trains from scratch in about a minute on two cores",
            source="timm; Luo et al., CVPRW 2019",
            bibtex=TIMM + LUO,
        ),
        Entry(
            "resnet50",
            TARGET,
            summary="ResNet-50 with last stride 1 and BN neck, 256x128, 2048-d; from ImageNet weights",
            source="Luo et al., Bag of Tricks and a Strong Baseline for Deep Person Re-identification, CVPRW 2019",
            bibtex=TIMM + LUO,
            presets={
                "bag-of-tricks": BAG_OF_TRICKS,
                "scratch": {**BAG_OF_TRICKS, "pretrained": "none"},
            },
        ),
        Entry(
            "timm",
            "crbench_timm.model:TimmModel",
            summary="any timm model with its own preprocessing, pooled features; from a file or timm's download",
            source="timm",
            bibtex=TIMM,
            argument="model",
        ),
    ]
