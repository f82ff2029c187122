"""How fast each stage of a method is, and how close that is to what the hardware can do."""

from __future__ import annotations

from crbench.bench.plan import STAGES, BenchSpec
from crbench.bench.records import Bench, load_bench, load_benches, schema, to_json
from crbench.bench.run import bench

__all__ = ["STAGES", "Bench", "BenchSpec", "bench", "load_bench", "load_benches", "schema", "to_json"]
