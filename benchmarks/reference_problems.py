"""Every likelihood-side estimator on every problem with a known EIG, in one table.

    python benchmarks/reference_problems.py            # minutes; writes docs/estimators/reference.*
    python benchmarks/reference_problems.py --quick    # less sampling; writes nothing

Pyro's own estimators stand beside ours. Below the table come the rows of location finding A with
random looks, the bias of nested Monte Carlo and the properties that every estimator must have.
Exits with 1 if a row is out of its tolerance or a property fails.

An estimate agrees if it is within the problem's and the estimator's tolerance plus four standard
errors of the truth, and no bound is on the wrong side of it by more than four standard errors.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pyro
import torch
from reference_plans import PLANS, Plan
from reference_properties import (
    Property,
    best_time,
    bias_shrinks,
    bounds_in_order,
    ceiling,
    looks_add,
    nothing_revealed,
    one_dimension,
)
from reference_rows import HEADER, Row, bias_rows, location_rows, table

from boed.eig.model.model_eig import MODEL_ESTIMATORS

HOME = Path(__file__).parent.parent / "docs" / "estimators"


def save(rows: list[Row], properties: list[Property], plans: list[Plan], seconds: float) -> None:
    """Writes the JSON and the markdown table, each in one move."""
    HOME.mkdir(parents=True, exist_ok=True)
    content = {
        "command": "python benchmarks/reference_problems.py",
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "pyro": pyro.__version__,
        },
        "threads": torch.get_num_threads(),
        "processor_seconds": round(seconds, 1),
        "plans": [asdict(plan) for plan in plans],
        "rows": [{name: _finite(value) for name, value in asdict(row).items()} for row in rows],
        "properties": [asdict(each) for each in properties],
    }
    _replace(HOME / "reference.json", json.dumps(content, indent=1) + "\n")
    _replace(HOME / "reference.md", markdown(rows, properties, plans, seconds))


def markdown(rows: list[Row], properties: list[Property], plans: list[Plan], seconds: float) -> str:
    """The page with the table."""
    lines = [
        "# Estimators on problems with a known EIG",
        "",
        f"`python benchmarks/reference_problems.py`: {seconds:.0f} s of processor time on one "
        "thread. Nats; seconds are of processor time per design, training included. Names with "
        "`pyro_` and posterior, marginal, "
        "marginal_likelihood, lfire, laplace and donsker_varadhan are pyro.contrib.oed's.",
        "",
        HEADER,
        *map(str, rows),
        "",
        "| property | seen | holds |",
        "|---|---|---|",
        *map(str, properties),
        "",
    ]
    for title, which in (("Bound only, or shown only", "loose"), ("Not run", "skip")):
        lines += [f"{title}:", ""]
        for plan in plans:
            reasons: dict[str, str] = getattr(plan, which)
            lines += [f"- {plan.estimator}, {name}: {why}" for name, why in reasons.items()]
        lines.append("")
    return "\n".join(lines)


def _finite(value: object) -> object:
    """JSON has neither infinity nor NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _replace(path: Path, text: str) -> None:
    partial = path.with_suffix(path.suffix + ".partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="less sampling, nothing is written")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", default=None, help="these estimators alone")
    given = parser.parse_args()
    torch.set_num_threads(1)

    began = time.process_time()
    plans = [plan.quick() if given.quick else plan for plan in PLANS]
    unknown = set(given.only or ()) - set(MODEL_ESTIMATORS)
    if unknown:
        parser.error(f"--only: unknown {sorted(unknown)}, expected {', '.join(MODEL_ESTIMATORS)}")
    plans = [plan for plan in plans if given.only is None or plan.estimator in given.only]
    rows: list[Row] = []
    print(HEADER)
    for row in table(plans, given.seed):
        print(row, flush=True)
        rows.append(row)
    properties: list[Property] = []
    if given.only is None:
        for row in (*bias_rows(given.seed), *location_rows(given.seed, given.quick)):
            print(row, flush=True)
            rows.append(row)
        few = 4 if given.quick else 1
        properties = [
            bounds_in_order(rows),
            ceiling(given.seed),
            bias_shrinks(given.seed, 48 // few),
            looks_add(given.seed, 8_000 // few),
            nothing_revealed(rows),
            best_time(given.seed, 8_000 // few),
            one_dimension(),
        ]
        print("\n| property | seen | holds |\n|---|---|---|")
        print(*properties, sep="\n")
    seconds = time.process_time() - began
    wrong = [row for row in rows if not row.within]
    broken = [each for each in properties if not each.holds]
    print(
        f"\n{len(rows)} rows, {len(wrong)} out of tolerance; {len(broken)} properties broken; "
        f"{seconds:.0f} s of processor time"
    )
    if given.only is None and not given.quick:
        save(rows, properties, plans, seconds)
    return 1 if wrong or broken else 0


if __name__ == "__main__":
    sys.exit(main())
