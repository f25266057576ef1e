"""What a sweep costs: the page docs/sweeps.md, from what was measured.

    python benchmarks/sweep_cost.py --out docs/sweeps.md

Reads benchmarks/results/eig_speed.json and decisions.json. Seconds here are measured; those of
GPUs are planned from the arithmetic of a map and a stated share of the card's published peak.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from boed.foundation.files import atomic

RESULTS = Path(__file__).parent / "results"
READ = ("eig_speed", "decisions")

H100_PEAK = 989e12
"""Dense bf16 operations per second of an H100 SXM, by NVIDIA's data sheet."""

SHARE = 0.2
"""Of the peak, that a plan counts on; not measured."""

SWEEPS = [
    ("one chest x-ray, 3 looks", 1, 3),
    ("256 scenes, 3 looks", 256, 3),
    ("NIH ChestX-ray14 test, 25,596 scenes, 3 looks", 25596, 3),
    ("the same, 5 looks", 25596, 5),
]
"""Name, scenes and looks."""


def time_of(seconds: float) -> str:
    """Seconds in the unit a person would use."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} s" if seconds >= 0.5 else f"{1000 * seconds:.0f} ms"


def rows_of(speed: dict[str, Any], size: int, scenes: str) -> dict[str, dict[str, Any]]:
    return {
        row["what"]: row for row in speed["rows"] if row["size"] == size and row["scenes"] == scenes
    }


def in_one_pass(decisions: dict[str, Any]) -> list[str]:
    """What decisions by each policy cost, in one run."""
    machine, together = decisions["machine"], decisions["together"]
    lines = [
        "",
        f"## Measured: what each policy costs ({machine['processor']}, {machine['threads']} "
        f"thread, torch {machine['torch']})",
        "",
        "`python benchmarks/decisions.py --out benchmarks/results/decisions.json`: all in one run, "
        "CPU seconds of the second look of one scene, the same classifier, candidates and "
        f"completions (retrieved) as above; `boed` is the exact fp32 map. Learned policies read "
        f"{together} scenes at once for sweeps, which are scaled from it.",
        "",
        "| px | policy | passes of the classifier | one decision | decisions a second | "
        + " | ".join(name for name, *_ in SWEEPS[1:])
        + " |",
        "|---|---|---|---|---|" + "---|" * len(SWEEPS[1:]),
    ]
    for row in decisions["rows"]:
        each = row.get("seconds_together", row["seconds"])
        costs = [time_of(each * number * (looks - 1)) for _, number, looks in SWEEPS[1:]]
        lines.append(
            f"| {row['size']} | `{row['policy']}` | {row['passes']:,.0f} "
            f"| {time_of(row['seconds'])} | {1 / each:,.3g} | {' | '.join(costs)} |"
        )
    return lines


def page(speed: dict[str, Any], decisions: dict[str, Any]) -> str:
    """The page in Markdown."""
    machine = speed["machine"]
    where = f"{machine['processor']}, {machine['threads']} threads, torch {machine['torch']}"
    lines = [
        "# What a sweep costs",
        "",
        "`python benchmarks/sweep_cost.py --out docs/sweeps.md` writes this page from "
        "`benchmarks/results/eig_speed.json` and `decisions.json`.",
        "",
        "A sweep asks for",
        "",
        "    scenes x (looks - 1) x candidates x completions x seeds x policies",
        "",
        "beliefs. The first look is the same for all scenes: it is computed once (500 completions, "
        "so as much as 50 other maps) and kept on disk for later runs with the same models, data, "
        "sensor and code. Time is linear in each factor (`benchmarks/README.md`), so one map's "
        "time is all that a plan needs. The completer's time comes on top.",
        "",
        f"## Measured: DenseNet-121, 289 candidates, 10 completions ({where})",
        "",
        "Seconds of one EIG map, and of sweeps of it with one policy and one seed, without the "
        "first look and the completer. Searches are counted with the beliefs they needed here.",
        "",
        "| px | engine | one map | " + " | ".join(name for name, *_ in SWEEPS) + " |",
        "|---|---|---|" + "---|" * len(SWEEPS),
    ]
    kinds = {(row["size"], row["scenes"]) for row in speed["rows"]}
    for size in sorted({size for size, _ in kinds}):
        scenes = "real" if (size, "real") in kinds else "random"
        for what, row in rows_of(speed, size, scenes).items():
            each = row["seconds"]
            costs = [time_of(each * number * (looks - 1)) for _, number, looks in SWEEPS]
            lines.append(f"| {size} | {what[2:]} | {time_of(each)} | {' | '.join(costs)} |")
    lines += [
        "",
        "With W workers (`--engine processes` or `ray`) divide by W times the cores of each, over "
        f"{machine['threads']}: blocks of 16 scenes are independent.",
        *in_one_pass(decisions),
        "",
        "## Planned: 8 GPUs",
        "",
        f"Not measured: no GPU could be used. Counted is the exact bf16 map's arithmetic at "
        f"{SHARE:.0%} of an H100's published dense peak ({H100_PEAK / 1e12:.0f} Tflop/s), shared "
        "by 8 cards through Ray (`boed benchmark --engine ray --workers 8 --device cuda`). "
        "Starting kernels and reading data are not counted; at 64 px they may well cost more.",
        "",
        "| px | Tflop per map | one card, one map | "
        + " | ".join(f"8 cards: {name}" for name, *_ in SWEEPS[1:])
        + " |",
        "|---|---|---|" + "---|" * (len(SWEEPS) - 1),
    ]
    for size in sorted({size for size, _ in kinds}):
        work = rows_of(speed, size, "random")["c exact, bf16"]["gflop"] * 1e9
        each = work / (SHARE * H100_PEAK)
        costs = [time_of(each * number * (looks - 1) / 8) for _, number, looks in SWEEPS[1:]]
        lines.append(f"| {size} | {work / 1e12:.1f} | {time_of(each)} | {' | '.join(costs)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    made = page(*(json.loads((RESULTS / f"{name}.json").read_text()) for name in READ))
    print(made)
    if given.out is not None:
        with atomic(given.out) as temporary:
            temporary.write_text(made)


if __name__ == "__main__":
    main()
