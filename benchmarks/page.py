"""The page docs/benchmarks.md and its image from the stored results; ``python benchmarks/page.py`` makes both."""

from __future__ import annotations

import json
from pathlib import Path

import targets
from sensors import SENSORS
from tabulate import tabulate

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "benchmarks.md"
RESULTS = ROOT / "benchmarks" / "results"
IMAGE = "memory.png"
RULES = {
    "fast-reid": "fast-reid, torchreid and TransReID are held against `crbench evaluate --as` of their name.",
    "OML": "OML: map@k with k = the whole gallery (for a smaller k it divides by the positives among the first k, "
    "crbench by all); person and camera as its sequence; a query without a match counts as zero on both sides.",
    "PML": "PML (pytorch-metric-learning): it knows no cameras, so both sides are scored without the same-camera rule; "
    "of CMC it has rank 1 only.",
}
"""By what definitions scores of the tools are compared; the beginnings of their names."""


def render(results: Path) -> str:
    """The page as Markdown."""
    records = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("*.json"))}
    parts = ["# Benchmarks", _origin(records), _table(targets.lines(records), targets.HEADERS)]
    parts += [
        _evaluation(name, records[name])
        for name in ("market-2048", "market-3840", "hard-2048", "large", "single-shot")
        if name in records
    ]
    sections = {
        "memory": _memory,
        "galleries": _galleries,
        "vpfa": _vpfa,
        "fit": _fit,
        "denormals": _denormals,
        "extraction": _extraction,
        "arithmetic": _arithmetic,
        "gpu": _gpu,
    }
    for name, section in sections.items():
        if name in records:
            parts.append(section(records[name]))
    return "\n\n".join(parts) + "\n"


def _origin(records: dict[str, dict]) -> str:
    lines = {
        f"{r['environment']['cpu']}, {r['threads']} threads, torch {r['environment']['torch']}, "
        f"Python {r['environment']['python']}, {r['created'][:10]}"
        + ("" if r["scale"] == 1 else f", sizes scaled by {r['scale']:g}")
        for r in records.values()
    }
    return (
        "Made by `python benchmarks/measure.py` from `benchmarks/results/`; every block is one run in which the lines "
        "took turns. Medians with quartiles, wall time. The matrix product is float32, by the fastest of oneDNN, NumPy "
        "and torch on this processor; NumPy's is beside it, as it is the one that most users get. "
        f"Measured on: {'; '.join(sorted(lines)) or 'nothing yet'}. "
        f"{'' if 'gpu' in records else 'No GPU was at hand: nothing here was run on one. '}"
        "How long an evaluation takes depends on the features, as strangers that come before a positive are counted: "
        "every block says what its features score; `hard-2048` is what features cost that know nothing of people."
    )


def _evaluation(name: str, record: dict) -> str:
    base = record["seconds"]["product alone"]["median_s"]
    own = record["seconds"].get("crbench", {}).get("median_s")
    rows = []
    for line, time in record["seconds"].items():
        median = time["median_s"]
        gap = record["agreement"].get(line)
        rows.append(
            (
                line,
                f"{median:.4f}",
                f"{time['q1_s']:.4f} to {time['q3_s']:.4f}",
                time["repeats"],
                f"{median / base:.2f}",
                f"{median / own:.2f}" if own else "-",
                f"{gap['cmc_difference']:.0e} / {gap['mAP_difference']:.0e}" if gap else "-",
            )
        )
    headers = ("work", "median s", "quartiles", "repeats", "over product", "over crbench", "difference CMC / mAP")
    title = f"## {name}: {record['query']:,} x {record['gallery']:,}, {record['dim']:,} columns"
    scores = ", ".join(f"{score} {100 * value:.1f} %" for score, value in record["scores"].items())
    rules = [rule for tool, rule in RULES.items() if any(name.startswith(tool) for name in record["agreement"])]
    return "\n\n".join([title, f"The features score {scores}.", _table(rows, headers), *rules])


def _memory(record: dict) -> str:
    rows = [
        (
            f"{peak['query']:,} x {peak['gallery']:,} x {peak['dim']:,}",
            f"{peak['features'] / 1e6:.1f}",
            f"{peak['extra'] / 1e6:.1f}",
            f"{peak['seconds']:.2f}",
        )
        for peak in (*record["growing"], *record["others"])
    ]
    headers = ("queries x gallery x columns", "features MB", "peak beside them MB", "seconds")
    title = "## Memory: every size in a process of its own"
    return f"{title}\n\n{_table(rows, headers)}\n\n![peak memory by size of the gallery]({IMAGE})"


def _galleries(record: dict) -> str:
    rows = [
        (
            f"{one['query']:,} x {one['gallery']:,} x {one['dim']:,}",
            one["files"],
            f"{4e-6 * one['gallery'] * one['dim']:,.0f}",
            f"{one['extra'] / 1e6:.0f}",
            f"{one['seconds']:.1f}",
            f"{1e6 * one['seconds'] / one['gallery']:.2f}",
        )
        for one in record["growing"]
    ]
    headers = ("queries x gallery x columns", "files", "features MB", "peak MB", "seconds", "s a million rows")
    about = (
        "Reading the files, from the system's cache, is part of the time. The peak is what the process allocates, "
        "labels included, without the pages of mapped files. Of a file that is done, only the positives are held: "
        "about 50,000 images at each size, which are of the persons that are asked for."
    )
    return f"## Galleries in files, every size in a process of its own\n\n{about}\n\n{_table(rows, headers)}"


def _vpfa(record: dict) -> str:
    transform, fit = record["transform"], record["fit"]
    rows = [
        *(
            (f"transform of 1,024, {precision}", f"{1e3 * one['median']:.1f}", f"{one['samples_per_s']:,.0f} samples/s")
            for precision, one in transform.items()
        ),
        (f"fit, batch {fit['batch']}", f"{1e3 * fit['median']:.1f}", f"{1 / fit['median']:.1f} {fit['unit']}/s"),
    ]
    return f"## VPFA at {record['dim']:,} columns\n\n" + _table(rows, ("work", "median ms", "throughput"))


def _fit(record: dict) -> str:
    rows = [
        (f"{number}/{len(record['tenths'])}", *(f"{1e3 * tenth[clock]:.1f}" for clock in ("wall_s", "processor_s")))
        for number, tenth in enumerate(record["tenths"], 1)
    ]
    headers = ("part of the steps", "median ms a step", "processor ms a step")
    told = (
        f"`vpfa/paper` whole, {record['steps']:,} steps with a width of {record['hidden']:,}, took "
        f"{record['minutes']:.1f} minutes. Its loss went from {record['loss']['first']:.2g} to "
        f"{record['loss']['last']:.2g}, so that the moments of Adam became denormal, which are flushed to zero. Load "
        f"average of the machine, this process included: {record['load']['before']:.1f} before, "
        f"{record['load']['after']:.1f} after."
    )
    return f"## A fit as it goes on, {record['dim']:,} columns\n\n{told}\n\n{_table(rows, headers)}"


def _denormals(record: dict) -> str:
    rows = [(f"moments {name}", f"{1e3 * seconds:.2f}") for name, seconds in record["seconds"].items()]
    told = "Moments of Adam become denormal as a fit converges. What this costs is a matter of the processor."
    title = f"## An update of {record['width']:,} x {record['width']:,} weights by Adam, one thread"
    return f"{title}\n\n{told}\n\n" + _table(rows, ("work", "processor ms"))


def _extraction(record: dict) -> str:
    stages = ("decode", "resize", "forward", "whole")
    threads = record["threads"]
    rows = []
    for name, one in record["seconds_per_image"].items():
        most = one["forward"] / (one["forward"] + (one["decode"] + one["resize"]) / threads)
        shares = (f"{100 * share:.0f} %" for share in (one["share"], most))
        rows.append((name, *(f"{1e3 * one[stage]:.2f}" for stage in stages), *shares))
    headers = ("backbone", *(f"{stage} ms" for stage in stages), "share of the network's own pace", "most possible")
    told = (
        f"Decoding and resizing are timed in one thread, the network in {threads}. As far as it keeps all processors "
        "busy, images are decoded in time that it loses, however well the two overlap: the most possible is forward / "
        f"(forward + (decode + resize) / {threads}), before images are handed over and features kept. The share is "
        "that of rounds in which the network alone and all of it took turns. Decoding is free only where there are "
        "more processors than the network uses, or a GPU."
    )
    return f"## Extraction, batches of {record['batch']}, per image\n\n{told}\n\n" + _table(rows, headers)


def _arithmetic(record: dict) -> str:
    rows = [
        (
            f"{name} ({network['weights']})",
            way,
            f"{1 / one['forward']:.3g}",
            f"{one['share'] / one['forward']:.3g}",
            f"{100 * one['share']:.0f} %",
            f"{100 * one['R1']:.2f}",
            f"{100 * one['mAP']:.2f}",
            f"{one['least_cosine']:.6f}",
            f"{one['flips']} of {network['images']}",
        )
        for name, network in record["networks"].items()
        for way, one in network["ways"].items()
    ]
    headers = (
        "network (weights)", "arithmetic", "images/s alone", "from JPEG", "share",
        "R1", "mAP", "least cosine", "nearest changed",
    )  # fmt: skip
    told = (
        "Scores are those of images of `mlr-synthetic`, multi-shot; cosines and nearest images are beside the first "
        "line of each network. Random weights find nobody; they show what roundings change. Times are the fastest of "
        "several rounds in which the lines took turns; the load average of the machine, this process included, was "
        f"{record['load']:.1f} at the start. Where a share is above 100 %, they took more from the network alone."
    )
    return f"## Folding, bf16 and decoding beside the network\n\n{told}\n\n{_table(rows, headers)}"


def _gpu(record: dict) -> str:
    rows = [
        (
            name,
            f"{step['seconds']:.0f}",
            "done" if step["ok"] else step["error"].strip().splitlines()[-1],
            "; ".join(step["before"]) or "-",
            "; ".join(step["after"]) or "-",
        )
        for name, step in record["steps"].items()
    ]
    headers = ("step", "seconds", "outcome", f"before ({SENSORS})", "after")
    return f"## GPU: {record['environment']['device']}\n\n" + _table(rows, headers)


def _table(rows: list[tuple], headers: tuple[str, ...]) -> str:
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True)


def draw(results: Path, image: Path) -> None:
    """Peak memory over the size of the gallery."""
    from matplotlib.figure import Figure

    peaks = json.loads((results / "memory.json").read_text(encoding="utf-8"))["growing"]
    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    counts = [peak["gallery"] for peak in peaks]
    for field, style, label in (
        ("extra", "o-", "evaluation, beside the features"),
        ("features", "s--", "the features"),
    ):
        axes.plot(counts, [peak[field] / 1e6 for peak in peaks], style, label=label)
    axes.axhline(150, linestyle=":", color="grey", label="150 MB")
    axes.set(xscale="log", xlabel="gallery items", ylabel="MB", ylim=(0, None))
    axes.legend()
    figure.savefig(image, dpi=100)


def write(results: Path = RESULTS, page: Path = PAGE) -> None:
    """Write the page and, where the memory was measured, its image beside it."""
    page.write_text(render(results), encoding="utf-8")
    if (results / "memory.json").exists():
        draw(results, page.parent / IMAGE)


if __name__ == "__main__":
    write()
