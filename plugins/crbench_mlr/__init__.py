"""The MLR data sets from the users' own copies of the originals, and plain HR evaluation of the same sets."""

from __future__ import annotations

from collections.abc import Iterable

from crbench.api import Entry, hookimpl
from crbench_mlr.citations import BIBTEX, MLR

_MLR = "SING (Jiao et al., AAAI 2018); LRAR (Wu et al., TIP 2023); see crbench_mlr/README.md"

_SUMMARIES = {
    "mlr-market1501": "Market-1501, camera 1 in low resolution",
    "mlr-cuhk03": "CUHK03, one view of each test identity in low resolution",
    "mlr-viper": "VIPeR, one camera of each test identity in low resolution",
    "mlr-caviar": "CAVIAR4REID, whose low resolution is genuine",
    "mlr-dukemtmc": "DukeMTMC-reID (withdrawn; needs an explicit opt-in), camera 1 in low resolution",
    "mlr-msmt17": "MSMT17 V1 or V2, camera 1 in low resolution",
    "market1501": "Market-1501, plain HR evaluation",
    "cuhk03": "CUHK03 with 1367/100 identities, plain HR evaluation",
    "viper": "VIPeR with 316/316 identities, plain HR evaluation",
    "caviar": "another name of mlr-caviar",
    "dukemtmc": "DukeMTMC-reID (withdrawn; needs an explicit opt-in), plain HR evaluation",
    "msmt17": "MSMT17 V1 or V2, plain HR evaluation",
}

_STRIDE = "vit-transreid-stride"
_TRANSREID = {"market1501": "market-", "dukemtmc": "duke-", "msmt17": "msmt17-"}
"""Beginnings of the presets of TransReID whose checkpoints were trained on a data set, by the data set's module."""

_OWN = Entry(
    "folder",
    "crbench_mlr.own.dataset:OwnFolder",
    summary="your own images: a folder for each person, names by a pattern, train/query/gallery, or a CSV manifest",
    argument="path",
    defaults={"backbone": "resnet-tiny", "aligner:vpfa": "light"},
)


@hookimpl
def crbench_datasets() -> Iterable[Entry]:
    """Six MLR data sets, the same images for HR evaluation, and any folder of the user's."""
    return [*(_entry(name, summary) for name, summary in _SUMMARIES.items()), _OWN]


def _entry(name: str, summary: str) -> Entry:
    module = name.removeprefix("mlr-")
    function = "mlr" if name.startswith("mlr-") else "caviar" if name == "caviar" else "standard"
    return Entry(
        name,
        f"crbench_mlr.{module}:{function}",
        summary=summary,
        source=_MLR if function != "standard" else "",
        bibtex=BIBTEX[module] + (MLR if function == "mlr" else ""),
        defaults={"backbone": "resnet50", "backbone for vpfa": f"transreid/{_TRANSREID.get(module, '')}{_STRIDE}"},
    )
