"""All that a plugin may use of crbench, besides `crbench.errors` and, for backbones that learn, `crbench.training`.

A plugin is a module that an entry point of the group ``crbench`` names. Its hooks, marked by `hookimpl`, return `Entry`
records (`Metric` records for scores); an entry names a class or function, and a summary, source, presets and more.
Nothing is inherited: what has the members of an interface is one (`typing.Protocol`). Feature arrays are torch float32
tensors [n, D] on ``run.device``. `crbench.testing` checks a plugin against its contract, rule by rule.

A ``fit`` sees all of the training rows (`Samples`). Transforms and distances see test rows as `TestRows`: rates and
modality, cameras where the entry says ``needs=("camids",)``, never persons or keys, in an order that tells nothing.

=====================  ==================  ================================================================
hook                   implement           what it does
=====================  ==================  ================================================================
``crbench_backbones``  `Backbone`          ``extract(batch)``: images to features; it has `Preprocess`
..                     `Precomputed`       ``lookup(rows)``: features that are there already
``crbench_aligners``   `Aligner`           ``fit(train, run=...)``: training features to a `Transform`
..                     `Transform`         ``transform(feats)``: `TestFeatures` to `TestFeatures`, row by row
``crbench_datasets``   `Dataset`           ``split``, ``read``, ``digests``: lists, images and their hashes
``crbench_distances``  `Distance`          ``distance(query, gallery)``: a distance of its own
``crbench_metrics``    `Metric` (record)   a function of ranks, or of a CMC curve, that gives a score
=====================  ==================  ================================================================

Optional capabilities are Protocols too. A plugin that has the members has the capability:

==================  ===========  ================================================  =============================
capability          of           the user gets                                     without it
==================  ===========  ================================================  =============================
`Trainable`         backbone     training where weights are missing                used as it was built
`StartsFromFile`    its class    another training when the starting file changes   weights of the old file serve
`VariesInLength`    its class    a refusal of aligners that need one length        the aligner fails at its fit
`GalleryByRate`     both         a gallery encoded for each rate of the queries    one gallery for all
`HoldsNetwork`      backbone     ``--compile``, parameters and MACs in results     refused; numbers not known
`HasInferenceForm`  backbone     a faster network in extraction                    the one that it trains
`KnowsWeights`      backbone     downloaded weights told apart                     they count as none
`TakesAnyLength`    its class    the aligner on backbones of varying length        refused before any work
`MayLearnNothing`   aligner      no extraction of training rows for nothing        all of them are extracted
`Restorable`        aligner      fits that are kept, with `Stateful`               fitted again in every run
`Stateful`          transform    fits that are kept, with `Restorable`             fitted again in every run
`DigestsContent`    its class    results that follow what is read of a file        all of its bytes count
`CountsParameters`  both         learned parameters in the leaderboard             size of state or network
`LocatesFolder`     data set     its folder from ``crbench data path``             the data root
`VerifiesFiles`     data set     ``crbench data verify``                           cannot be verified
`CountsImages`      data set     copies that differ from the published set marked  nobody is told
`BringsWeights`     data set     weights that are the same on every machine        each machine trains its own
==================  ===========  ================================================  =============================

Helpers, by what they are for:

- aligners: `TrainFeatures`, `Pairs`, `by_scope`, `check_alignable`; maps by domain: `map_by_domain`, `nearest_domain`,
  `domains_key`, `parse_domains`; `linear_layers` (fast float32 layers on a CPU), `denormals_flushed` (around a training
  without a run), `quantise` (rates to levels); `OtherMethod` lets users choose an aligner that is a part of this one;
- backbones: `load_weights`, `fill_weights`, `read_tensors`, `module_state`, `find_imagenet`, `weights_root`,
  `content_digest`; `folded` (a network without its batch normalisations, for `HasInferenceForm`); `Flattened` offers
  the fields of a record, such as a recipe, as parameters; feature files and tables: `load_arrays`, `load_meta`,
  `to_torch`; files of other kinds: `read_input`, `read_text_input`, `check_input` (none waits),
  `memory_fault` (damaged file or too little memory); numbers as text: `parse_number`; loops: `compiled`;
- data sets (see `crbench.api.datasets`): `match_images`, `ImageFiles`, `draw_split`, `verify_images`, `files_below`,
  `digest_images`, `from_heights`, `read_stored`, `image_digest`, `read_rgb`, `read_size`; draws: `hashes`, `choices`.

Every name is loaded at its first use, so that this import stays light (no torch, no Pillow, no timm).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crbench.api.capabilities import CountsParameters as CountsParameters
    from crbench.api.capabilities import DigestsContent as DigestsContent
    from crbench.api.capabilities import GalleryByRate as GalleryByRate
    from crbench.api.capabilities import HasInferenceForm as HasInferenceForm
    from crbench.api.capabilities import HoldsNetwork as HoldsNetwork
    from crbench.api.capabilities import KnowsWeights as KnowsWeights
    from crbench.api.capabilities import MayLearnNothing as MayLearnNothing
    from crbench.api.capabilities import Restorable as Restorable
    from crbench.api.capabilities import StartsFromFile as StartsFromFile
    from crbench.api.capabilities import Stateful as Stateful
    from crbench.api.capabilities import TakesAnyLength as TakesAnyLength
    from crbench.api.capabilities import Trainable as Trainable
    from crbench.api.capabilities import VariesInLength as VariesInLength
    from crbench.api.context import Epoch as Epoch
    from crbench.api.context import FitCheckpoint as FitCheckpoint
    from crbench.api.context import Progress as Progress
    from crbench.api.context import RunContext as RunContext
    from crbench.api.context import Tracker as Tracker
    from crbench.api.context import TrainingSession as TrainingSession
    from crbench.api.context import no_progress as no_progress
    from crbench.api.data_capabilities import BringsWeights as BringsWeights
    from crbench.api.data_capabilities import CountsImages as CountsImages
    from crbench.api.data_capabilities import LocatesFolder as LocatesFolder
    from crbench.api.data_capabilities import VerifiesFiles as VerifiesFiles
    from crbench.api.datasets import ImageFile as ImageFile
    from crbench.api.datasets import ImageFiles as ImageFiles
    from crbench.api.datasets import ImageSource as ImageSource
    from crbench.api.datasets import is_image as is_image
    from crbench.api.datasets import list_images as list_images
    from crbench.api.datasets import make_index as make_index
    from crbench.api.datasets import match_images as match_images
    from crbench.api.domains import domains_key as domains_key
    from crbench.api.domains import map_by_domain as map_by_domain
    from crbench.api.domains import nearest_domain as nearest_domain
    from crbench.api.domains import parse_domains as parse_domains
    from crbench.api.entry import API_VERSION as API_VERSION
    from crbench.api.entry import Entry as Entry
    from crbench.api.entry import Released as Released
    from crbench.api.hooks import hookimpl as hookimpl
    from crbench.api.interfaces import Aligner as Aligner
    from crbench.api.interfaces import Backbone as Backbone
    from crbench.api.interfaces import Dataset as Dataset
    from crbench.api.interfaces import Distance as Distance
    from crbench.api.interfaces import Precomputed as Precomputed
    from crbench.api.interfaces import Reader as Reader
    from crbench.api.interfaces import Transform as Transform
    from crbench.api.metric import Metric as Metric
    from crbench.api.pairing import Pairing as Pairing
    from crbench.api.pairing import Pairs as Pairs
    from crbench.api.pairing import Scope as Scope
    from crbench.api.pairing import TrainFeatures as TrainFeatures
    from crbench.api.pairing import by_scope as by_scope
    from crbench.api.pairing import check_alignable as check_alignable
    from crbench.api.parameters import Flattened as Flattened
    from crbench.api.parameters import OtherMethod as OtherMethod
    from crbench.api.verification import count_images as count_images
    from crbench.api.verification import digest_images as digest_images
    from crbench.api.verification import verify_images as verify_images
    from crbench.api.weights import fill_weights as fill_weights
    from crbench.api.weights import find_imagenet as find_imagenet
    from crbench.api.weights import load_weights as load_weights
    from crbench.api.weights import module_state as module_state
    from crbench.api.weights import read_tensors as read_tensors
    from crbench.arrays import Array as Array
    from crbench.arrays import to_torch as to_torch
    from crbench.config.paths import weights_root as weights_root
    from crbench.data.decode import StoredImage as StoredImage
    from crbench.data.decode import image_digest as image_digest
    from crbench.data.decode import read_rgb as read_rgb
    from crbench.data.decode import read_size as read_size
    from crbench.data.decode import read_stored as read_stored
    from crbench.data.draws import choices as choices
    from crbench.data.draws import hashes as hashes
    from crbench.data.draws import shuffled as shuffled
    from crbench.data.info import DatasetInfo as DatasetInfo
    from crbench.data.info import Verification as Verification
    from crbench.data.preprocess import Preprocess as Preprocess
    from crbench.data.rates import ASSIGNMENTS as ASSIGNMENTS
    from crbench.data.rates import Assign as Assign
    from crbench.data.rates import from_heights as from_heights
    from crbench.data.rates import quantise as quantise
    from crbench.data.splits import Index as Index
    from crbench.data.splits import draw_split as draw_split
    from crbench.data.splits import lr_cameras as lr_cameras
    from crbench.data.splits import with_drawn_rates as with_drawn_rates
    from crbench.denormals import denormals_flushed as denormals_flushed
    from crbench.files.feature_files import FEATURE_SUFFIXES as FEATURE_SUFFIXES
    from crbench.files.feature_files import load_arrays as load_arrays
    from crbench.files.table import Meta as Meta
    from crbench.files.table import load_meta as load_meta
    from crbench.folding import folded as folded
    from crbench.inputs import check_input as check_input
    from crbench.inputs import files_below as files_below
    from crbench.inputs import memory_fault as memory_fault
    from crbench.inputs import read_input as read_input
    from crbench.inputs import read_text_input as read_text_input
    from crbench.jit import compiled as compiled
    from crbench.linear import linear_layers as linear_layers
    from crbench.numerals import parse_number as parse_number
    from crbench.protocol import KERNELS as KERNELS
    from crbench.protocol import EvalProtocol as EvalProtocol
    from crbench.protocol import ImageRules as ImageRules
    from crbench.protocol import ScoringRules as ScoringRules
    from crbench.protocol import SplitRules as SplitRules
    from crbench.protocol.hashing import content_digest as content_digest
    from crbench.records import Batch as Batch
    from crbench.records import Domain as Domain
    from crbench.records import Encoded as Encoded
    from crbench.records import Features as Features
    from crbench.records import Row as Row
    from crbench.records import Samples as Samples
    from crbench.records import Split as Split
    from crbench.records import TestFeatures as TestFeatures
    from crbench.records import TestRows as TestRows
    from crbench.records import features_from_arrays as features_from_arrays

_ROOMS = {
    "API_VERSION": "api.entry",
    "ASSIGNMENTS": "data.rates",
    "Aligner": "api.interfaces",
    "Array": "arrays",
    "Assign": "data.rates",
    "Backbone": "api.interfaces",
    "Batch": "records",
    "BringsWeights": "api.data_capabilities",
    "CountsImages": "api.data_capabilities",
    "CountsParameters": "api.capabilities",
    "Dataset": "api.interfaces",
    "DatasetInfo": "data.info",
    "DigestsContent": "api.capabilities",
    "Domain": "records",
    "Encoded": "records",
    "Entry": "api.entry",
    "Epoch": "api.context",
    "EvalProtocol": "protocol",
    "FEATURE_SUFFIXES": "files.feature_files",
    "Features": "records",
    "GalleryByRate": "api.capabilities",
    "HasInferenceForm": "api.capabilities",
    "HoldsNetwork": "api.capabilities",
    "ImageFile": "api.datasets",
    "ImageFiles": "api.datasets",
    "ImageRules": "protocol",
    "ImageSource": "api.datasets",
    "Index": "data.splits",
    "KERNELS": "protocol",
    "KnowsWeights": "api.capabilities",
    "LocatesFolder": "api.data_capabilities",
    "MayLearnNothing": "api.capabilities",
    "Distance": "api.interfaces",
    "Metric": "api.metric",
    "Meta": "files.table",
    "OtherMethod": "api.parameters",
    "Pairing": "api.pairing",
    "Pairs": "api.pairing",
    "Precomputed": "api.interfaces",
    "Preprocess": "data.preprocess",
    "Progress": "api.context",
    "Reader": "api.interfaces",
    "Released": "api.entry",
    "Restorable": "api.capabilities",
    "Row": "records",
    "RunContext": "api.context",
    "Samples": "records",
    "Scope": "api.pairing",
    "ScoringRules": "protocol",
    "Split": "records",
    "SplitRules": "protocol",
    "TestFeatures": "records",
    "TestRows": "records",
    "StartsFromFile": "api.capabilities",
    "StoredImage": "data.decode",
    "Stateful": "api.capabilities",
    "TakesAnyLength": "api.capabilities",
    "FitCheckpoint": "api.context",
    "Tracker": "api.context",
    "TrainFeatures": "api.pairing",
    "Trainable": "api.capabilities",
    "TrainingSession": "api.context",
    "Transform": "api.interfaces",
    "VariesInLength": "api.capabilities",
    "Verification": "data.info",
    "VerifiesFiles": "api.data_capabilities",
    "Flattened": "api.parameters",
    "by_scope": "api.pairing",
    "check_alignable": "api.pairing",
    "check_input": "inputs",
    "choices": "data.draws",
    "compiled": "jit",
    "content_digest": "protocol.hashing",
    "count_images": "api.verification",
    "digest_images": "api.verification",
    "domains_key": "api.domains",
    "draw_split": "data.splits",
    "features_from_arrays": "records",
    "files_below": "inputs",
    "from_heights": "data.rates",
    "fill_weights": "api.weights",
    "find_imagenet": "api.weights",
    "module_state": "api.weights",
    "hashes": "data.draws",
    "hookimpl": "api.hooks",
    "image_digest": "data.decode",
    "is_image": "api.datasets",
    "denormals_flushed": "denormals",
    "folded": "folding",
    "linear_layers": "linear",
    "list_images": "api.datasets",
    "load_arrays": "files.feature_files",
    "load_meta": "files.table",
    "load_weights": "api.weights",
    "lr_cameras": "data.splits",
    "make_index": "api.datasets",
    "memory_fault": "inputs",
    "map_by_domain": "api.domains",
    "match_images": "api.datasets",
    "nearest_domain": "api.domains",
    "no_progress": "api.context",
    "parse_domains": "api.domains",
    "parse_number": "numerals",
    "quantise": "data.rates",
    "read_input": "inputs",
    "read_rgb": "data.decode",
    "read_size": "data.decode",
    "read_stored": "data.decode",
    "read_tensors": "api.weights",
    "read_text_input": "inputs",
    "shuffled": "data.draws",
    "to_torch": "arrays",
    "verify_images": "api.verification",
    "weights_root": "config.paths",
    "with_drawn_rates": "data.splits",
}

__all__ = [*_ROOMS]

if not TYPE_CHECKING:  # or a type checker would accept names that are not among the imports above

    def __getattr__(name: str) -> Any:
        if name not in _ROOMS:
            raise AttributeError(f"module 'crbench.api' has no attribute {name!r}")
        return getattr(importlib.import_module(f"crbench.{_ROOMS[name]}"), name)

    def __dir__() -> list[str]:
        return sorted([*globals(), *_ROOMS])
