"""The tables of benchmarks/README.md about training."""

from __future__ import annotations

from typing import Any

from page_parts import machine, table


def training_speed(found: dict[str, Any]) -> str:
    sizes = sorted({row["size"] for row in found["rows"]})
    by = {(row["model"], row["size"]): row for row in found["rows"]}

    def cells(name: str, size: int) -> list[str]:
        row = by[name, size]
        speeds = (
            f"{row[each]['per_core']:.3g} ({row[each]['per_second']:.3g})"
            for each in ("fp32", "bf16")
        )
        return [*speeds, f"{row['bf16_speedup']:.2f}"]

    rows = [
        [name, *(cell for size in sizes for cell in cells(name, size))]
        for name in dict.fromkeys(row["model"] for row in found["rows"])
    ]
    head = ["model", *(f"{each}, {s} px" for s in sizes for each in ("fp32", "bf16", "bf16/fp32"))]
    ways = [
        [row["way"], f"{row['size']}", f"{row['per_core']:.3g}", f"{row['ratio']:.2f}"]
        for row in found["aipo_ways"]
    ]
    cores = [
        [row["how"], f"{row['size']}", f"{row['per_second']:.3g}", f"{row['ratio']:.2f}"]
        for row in found["aipo_cores"]
    ]
    return f"""## Training

`python benchmarks/training_speed.py --out benchmarks/results/training_speed.json`: images per second
that a core was busy, in brackets per second passed; batches of {found["batch"]}, presets, one channel,
one thread, medians of {found["turns"]} turns of {found["steps"]} steps. The probe by which `auto` chooses
says here that bf16 is {found["probe_bf16_speedup"]:.2f} times as fast as fp32. {machine(found)}

{table(head, rows)}

AIPO in fp32 done in other ways, per core:

{table(["way", "px", "images/s", "ratio"], ways)}

AIPO in fp32 on two cores, per second passed, the same batch:

{table(["how", "px", "images/s", "ratio"], cores)}

`torch.compile` is not used: in a run of its own on an AVX512 Xeon AIPO trained at 99 images/s after
167 s of compiling, and at 105 without.
"""


def training_cost(found: dict[str, Any]) -> str:
    """Operations, bound and shares of a training step; smaller networks after equal images."""
    groups = list(found["costs"][0]["shares"])
    speeds = [
        [
            row["model"],
            f"{row['size']}",
            f"{row['mflop']:,.0f}",
            f"{row['per_core']:,.0f}",
            f"{row['bound']:,.0f}",
            f"{row['bound'] / row['per_core']:.1f}",
            *(f"{row['shares'][group]:.0%}" for group in groups),
        ]
        for row in found["costs"]
    ]
    head = ["model", "px", "Mflop an image", "images/s", "bound", "bound / now", *groups]
    first = {row["kind"]: row["per_core"] for row in reversed(found["smaller"])}
    smaller = [
        [
            row["kind"],
            row["said"],
            f"{row['images']:,}",
            f"{row['per_core'] / first[row['kind']]:.1f}",
            f"`{row['figure']}`",
            *(f"{each:.3f}" for each in row["at"]),
        ]
        for row in found["smaller"]
    ]
    quarters = ["after 1/4", "1/2", "3/4", "the end"]
    return f"""### What bounds a training step

`python benchmarks/training_cost.py --out benchmarks/results/training_cost.json`: single precision, one
thread, batches of {found["batch"]}, images per second that a core was busy. The bound is images a second
if every matrix product and convolution ran at the {found["peak_gflops"]:.0f} Gflop/s of a large matrix
product and nothing else took time; beside it the shares of the time of a step. {machine(found)}

{table(head, speeds)}

Smaller networks after equal images of MNIST at 32 px, one seed; speed as a multiple of the preset's:

{table(["kind", "network", "images", "speed", "val figure", *quarters], smaller)}
"""


def paper_configurations(found: dict[str, Any]) -> str:
    rows = [
        [
            row["configuration"],
            str(row["groups"]),
            f"{row['vae_millions']:.1f}",
            f"{row['partial_millions']:.1f}",
            str(row["batch"]),
            f"{row['peak_gib']:.1f}",
        ]
        for row in found["rows"]
    ]
    head = ["configuration", "groups", "VAE, 10^6", "partial, 10^6", "batch", "GiB"]
    return f"""## The paper's configurations

`python benchmarks/paper_configurations.py --out benchmarks/results/paper_configurations.json`: one
training step of AIPO in fp32; the peak memory of the process.

{table(head, rows)}
"""
