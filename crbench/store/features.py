"""The feature cache: one folder per backbone, one safetensors file per chunk of rows, rows found by their content.

A row's id hashes the image's bytes, the rate and the side data; a folder's name hashes everything else that a
feature depends on. So nothing has to be invalidated, runs with other trials share what they have in common, and two
runs at once can at worst do the same work twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
from numpy.typing import NDArray

from crbench.errors import SystemFaultError
from crbench.protocol.hashing import digest
from crbench.records import Samples
from crbench.store.cache import Cache
from crbench.store.files import write_text
from crbench.store.tensors import DamagedFileError, TensorFile, open_tensors, save_state, tensor_files

if TYPE_CHECKING:
    import torch


HEADER = "encoder.json"
"""File in a folder of features that holds what they depend on beside their rows."""


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


def row_digests(x: torch.Tensor, dims: torch.Tensor | None) -> torch.Tensor:
    """16 bytes per row, u8[n, 16], over its features f32[n, D] and its length."""
    import torch

    # Processors have instructions for SHA-256. 16 of its bytes suffice, as nobody makes collisions on purpose.
    hashers = [hashlib.sha256(row.data) for row in x.contiguous().numpy()]
    for hasher, length in zip(hashers, [] if dims is None else dims.tolist(), strict=dims is not None):
        hasher.update(str(length).encode())
    found = b"".join(hasher.digest()[:16] for hasher in hashers)
    return torch.frombuffer(bytearray(found), dtype=torch.uint8).reshape(len(x), 16)


@attrs.define(eq=False)
class FeatureTable:
    """Features of one backbone by row id, from memory-mapped files or, without a folder, from memory.

    The content of a file is compared with its digest before the first of its rows is given. A damaged file is deleted,
    and its rows are missing, so that they are computed anew; a cache that is read only keeps it.

    Attributes:
        cache: where chunks are kept, while it can be written; None = memory only.
        origin: what the features depend on beside their rows (JSON values); written beside the first of them.
    """

    cache: Cache | None
    origin: Mapping[str, Any] = attrs.field(factory=dict)
    _places: dict[bytes, tuple[int, int]] = attrs.field(factory=dict, init=False)
    _chunks: list[Mapping[str, torch.Tensor]] = attrs.field(factory=list, init=False)
    _unchecked: dict[int, TensorFile] = attrs.field(factory=dict, init=False)

    @classmethod
    def open(cls, cache: Cache | None, origin: Mapping[str, Any]) -> FeatureTable:
        """The table of a backbone in a cache; None = a new one in memory."""
        table = cls(cache, origin)
        if cache is None:
            return table
        for path in tensor_files(table._folder(cache)):
            try:
                table._attach(open_tensors(path))
            except DamagedFileError as error:
                table._drop(error, "the features in it")
            except SystemFaultError as error:
                cache.warn(f"{error}; the features in it will be computed anew")
        return table

    def missing(self, ids: NDArray[np.bytes_]) -> NDArray[np.intp]:
        """Positions in `ids` of rows that the table lacks; of equal ids the first only."""
        _, first = np.unique(ids, return_index=True)
        wanted = [(i, ids[i].tobytes()) for i in sorted(first.tolist())]
        self._check({self._places[key][0] for _, key in wanted if key in self._places})
        return np.array([i for i, key in wanted if key not in self._places], dtype=np.intp)

    def add(self, ids: NDArray[np.bytes_], x: torch.Tensor, dims: torch.Tensor | None) -> None:
        """Keep the features of rows: x f32[n, D], dims i64[n] or None; on disk as one file, where that is possible."""
        import torch

        keys = torch.from_numpy(np.frombuffer(ids.tobytes(), dtype=np.uint8).reshape(len(ids), 16).copy())
        tensors = {"ids": keys, "x": x.cpu()} | ({} if dims is None else {"dims": dims.cpu()})
        cache, name = self.cache, hashlib.blake2b(ids.tobytes(), digest_size=8).hexdigest()
        if cache is None or not cache.keep(lambda: self._save(self._folder(cache), name, tensors)):
            self._insert(tensors)
            return
        path = self._folder(cache) / f"{name}.safetensors"
        try:
            self._attach(open_tensors(path))
        except DamagedFileError:
            if path.exists():
                raise
            self._insert(tensors)  # somebody cleans the cache up

    def gather(self, ids: NDArray[np.bytes_], device: str) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Features of rows in the order of `ids`: x f32[n, D] and dims i64[n] or None, on `device`.

        Raises:
            DamagedFileError: a file is damaged that `missing` did not check, as it was written just now.
        """
        import torch

        places = self._located(ids)
        like = self._chunks[places[0, 0] if len(places) else 0]
        x = torch.empty((len(ids), like["x"].shape[1]), dtype=torch.float32)
        dims = torch.empty(len(ids), dtype=torch.int64) if "dims" in like else None
        for number, at, source in _by_chunk(places):
            x[at] = self._chunks[number]["x"][source]
            if dims is not None:
                dims[at] = self._chunks[number]["dims"][source]
        return x.to(device), None if dims is None else dims.to(device)

    def content(self, ids: NDArray[np.bytes_]) -> str:
        """Digest of the features of rows, whatever their order: 64 hex digits over their sorted ids and contents."""
        import torch

        places = self._located(ids)
        digests = torch.empty((len(ids), 16), dtype=torch.uint8)
        for number, at, source in _by_chunk(places):
            digests[at] = self._digests(number)[source]
        joined = np.concatenate([np.frombuffer(ids.tobytes(), np.uint8).reshape(-1, 16), digests.numpy()], axis=1)
        return hashlib.sha256(b"".join(sorted(row.tobytes() for row in joined))).hexdigest()

    def _folder(self, cache: Cache) -> Path:
        return cache.root / "features" / digest(self.origin)

    def _save(self, folder: Path, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        digests = row_digests(tensors["x"], tensors.get("dims"))
        self._write_header(folder)
        facts = {"origin": digest(self.origin)}
        save_state(folder / f"{name}.safetensors", {**tensors, "digests": digests}, facts)
        self._write_header(folder)  # the folder may have been deleted in between

    def _write_header(self, folder: Path) -> None:
        header = folder / HEADER
        if not header.exists():
            write_text(header, json.dumps(self.origin, indent=2, sort_keys=True) + "\n")

    def _digests(self, number: int) -> torch.Tensor:
        chunk = self._chunks[number]
        if "digests" not in chunk:  # a table in memory computes them only when asked
            self._chunks[number] = chunk = {**chunk, "digests": row_digests(chunk["x"], chunk.get("dims"))}
        return chunk["digests"]

    def _located(self, ids: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Chunk and row i64[n, 2] of each id."""
        places = np.array([self._places[i.tobytes()] for i in ids], dtype=np.int64).reshape(len(ids), 2)
        for number in sorted(self._unchecked.keys() & set(places[:, 0].tolist())):
            self._unchecked[number].check()
            del self._unchecked[number]
        return places

    def _check(self, numbers: set[int]) -> None:
        """Compare chunks with their digests; the rows of damaged ones are then missing."""
        files = {number: self._unchecked.pop(number) for number in sorted(numbers & self._unchecked.keys())}
        # hashlib lets other threads run
        with ThreadPoolExecutor(min(len(files), os.cpu_count() or 1) or 1) as pool:
            for number, damage in zip(files, pool.map(_damage, files.values()), strict=True):
                if damage is not None:
                    rows = [key for key, place in self._places.items() if place[0] == number]
                    for key in rows:
                        del self._places[key]
                    self._drop(damage, f"{len(rows)} features")

    def _drop(self, damage: DamagedFileError, lost: str) -> None:
        if self.cache is not None and self.cache.read_only:
            self.cache.warn(f"cache file {damage}: {lost} are not used")
            return
        if self.cache is not None:
            self.cache.warn(f"cache file {damage}: {lost} will be computed anew")
        with suppress(OSError):  # the folder may not be writable
            damage.path.unlink(missing_ok=True)

    def _attach(self, file: TensorFile) -> None:
        ids = file.tensors.get("ids")
        if ids is None or ids.dim() != 2 or not ids.shape[1] == 16 == ids.nbytes // max(1, len(ids)):
            raise DamagedFileError(file.path, "it does not say whose features it holds")
        if file.facts.get("origin") != digest(self.origin):  # equal rows have one file name in all folders
            raise DamagedFileError(file.path, "its features come from another backbone, or were made by other rules")
        self._unchecked[len(self._chunks)] = file
        self._insert(file.tensors)

    def _insert(self, tensors: Mapping[str, torch.Tensor]) -> None:
        for position, key in enumerate(tensors["ids"].numpy()):
            self._places[key.tobytes()] = (len(self._chunks), position)
        self._chunks.append(tensors)


def _damage(file: TensorFile) -> DamagedFileError | None:
    try:
        file.check()
    except DamagedFileError as error:
        return error
    return None


def _by_chunk(places: NDArray[np.int64]) -> Iterator[tuple[int, torch.Tensor, torch.Tensor]]:
    """For each chunk that occurs: its number, the positions i64 that it fills, and its rows i64 for them."""
    import torch

    for number in np.unique(places[:, 0]).tolist():
        at = np.flatnonzero(places[:, 0] == number)
        yield number, torch.from_numpy(at), torch.from_numpy(places[at, 1])
