"""The feature cache: one folder per backbone, one safetensors file per chunk of rows, rows found by their content.

A row's id hashes the image's bytes, the rate and the side data; a folder's name hashes everything else that a
feature depends on. So nothing has to be invalidated, runs with other trials share what they have in common, and two
runs at once can at worst do the same work twice.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import DataError
from crbench.protocol.hashing import content_digest, digest
from crbench.records import Samples
from crbench.store.files import write_tensors, write_text

if TYPE_CHECKING:
    import torch


def row_ids(rows: Samples, digests: NDArray[np.str_]) -> NDArray[np.bytes_]:
    """16 bytes per row: what a feature depends on beside its backbone (image, rates, camera, modality)."""
    columns = (digests.tolist(), rows.rates.tolist(), rows.native_rates.tolist(), rows.camids.tolist())
    return np.array(
        [
            hashlib.blake2b(f"{image}|{rate:g}|{native:g}|{camid}|{rows.modality}".encode(), digest_size=16).digest()
            for image, rate, native, camid in zip(*columns, strict=True)
        ],
        dtype="V16",
    )


@attrs.define
class FeatureTable:
    """Features of one backbone by row id, from memory-mapped files or, without a folder, from memory.

    Attributes:
        folder: where chunks are kept; None = memory only.
        origin: what the features depend on beside their rows (JSON values); written beside the first of them.
    """

    folder: Path | None
    origin: Mapping[str, Any] = attrs.field(factory=dict)
    _places: dict[bytes, tuple[int, int]] = attrs.field(factory=dict, init=False)
    _chunks: list[Mapping[str, torch.Tensor]] = attrs.field(factory=list, init=False)

    @classmethod
    def open(cls, root: Path | None, origin: Mapping[str, Any]) -> FeatureTable:
        """The table of a backbone below the cache folder `root`; None = a new one in memory."""
        if root is None:
            return cls(folder=None, origin=origin)
        folder = root / "features" / digest(origin)
        table = cls(folder=folder, origin=origin)
        for path in sorted(folder.glob("*.safetensors")):
            table._attach(path)
        return table

    def missing(self, ids: NDArray[np.bytes_]) -> NDArray[np.intp]:
        """Positions in `ids` of rows that the table lacks; of equal ids the first only."""
        _, first = np.unique(ids, return_index=True)
        return np.array([i for i in sorted(first.tolist()) if ids[i].tobytes() not in self._places], dtype=np.intp)

    def add(self, ids: NDArray[np.bytes_], x: torch.Tensor, dims: torch.Tensor | None) -> None:
        """Keep the features of rows: x f32[n, D], dims i64[n] or None; on disk as one file."""
        import torch

        keys = torch.from_numpy(np.frombuffer(ids.tobytes(), dtype=np.uint8).reshape(len(ids), 16).copy())
        tensors = {"ids": keys, "x": x.cpu()} | ({} if dims is None else {"dims": dims.cpu()})
        if self.folder is None:
            self._insert(tensors)
            return
        header = self.folder / "encoder.json"
        if not header.exists():
            write_text(header, json.dumps(self.origin, indent=2, sort_keys=True) + "\n")
        name = hashlib.blake2b(ids.tobytes(), digest_size=8).hexdigest()
        path = self.folder / f"{name}.safetensors"
        write_tensors(path, tensors, {"sha256": content_digest(tensors)})
        self._attach(path)

    def gather(self, ids: NDArray[np.bytes_], device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features of rows in the order of `ids`: x f32[n, D] and dims i64[n] or None, on `device`."""
        import torch

        places = np.array([self._places[i.tobytes()] for i in ids], dtype=np.int64).reshape(len(ids), 2)
        width = self._chunks[0]["x"].shape[1]
        x = torch.empty((len(ids), width), dtype=torch.float32)
        dims = torch.empty(len(ids), dtype=torch.int64) if "dims" in self._chunks[0] else None
        for number in np.unique(places[:, 0]):
            at = torch.from_numpy(np.flatnonzero(places[:, 0] == number))
            source = torch.from_numpy(places[places[:, 0] == number, 1])
            x[at] = self._chunks[number]["x"][source]
            if dims is not None:
                dims[at] = self._chunks[number]["dims"][source]
        return x.to(device), None if dims is None else dims.to(device)

    def _attach(self, path: Path) -> None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            self._insert(load_file(path))
        except (SafetensorError, OSError) as error:
            raise DataError(f"cache file {path} is damaged ({error}); run: crbench cache prune --bad") from error

    def _insert(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for position, key in enumerate(tensors["ids"].numpy()):
            self._places[key.tobytes()] = (len(self._chunks), position)
        self._chunks.append(tensors)
