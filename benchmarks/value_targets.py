"""What a value network is best taught: label, whole scene's belief, moved belief, completer's map.

    python benchmarks/value_targets.py --page docs/learned_policies.md

Trains `value` on digits (9 x 9 looks, T = 4) once with each target, alike otherwise and for as many
updates, going on where it was interrupted; then runs all of them on the same val scenes. Primary,
stated beforehand: NLL after two looks, each target less `label`, paired. A map costs N completions
of each scene and as many passes of the classifier for each candidate: its time is told beside.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from both_schools import by_scene, swept, told
from inpainting import resampled
from measuring import machine
from pages import bracketed, check_place, publish
from trainings import best_of

from boed.foundation.files import load_weights, write_json
from boed.setup import setup
from boed.training import Recipe
from boed.zoo import train_recipe

DATA, SIZE, LOOKS = "mnist_28", 32, 4
SENSOR = {"name": "patch", "grid": 9}
TARGETS: dict[str, dict[str, Any]] = {
    "label": {},
    "belief": {},
    "information": {},
    "map": {"completer": "flow-distilled-digits-32"},
}
"""By name, with what the recipe has beside it."""

REFERENCE = "label"
PRIMARY = 2


def trained(targets: Sequence[str], folder: Path, *, steps: int, batch: int) -> dict[str, Path]:
    """The network of each target."""
    paths = {}
    for target in targets:
        training = {"looks": LOOKS, "target": target, "steps": steps, "batch": batch}
        recipe = Recipe(
            kind="policy",
            name="value",
            data=DATA,
            size=SIZE,
            sensor=dict(SENSOR),
            training=training,
            **TARGETS[target],
        )
        paths[target] = folder / f"value-{target}.safetensors"
        train_recipe(recipe, paths[target], on_step=told(target))
        paths[target] = best_of(paths[target])
    return paths


def measured(paths: Mapping[str, Path], scenes: int, out: Path) -> dict[str, Any]:
    """A row for each target: NLL and accuracy by look, and what its training took."""
    made = setup(
        DATA,
        size=SIZE,
        split="val",
        sensor=SENSOR,
        policies=[f"{target}={path}" for target, path in paths.items()],
        steps=LOOKS,
    )
    results = swept(
        made, made.policies, steps=LOOKS, scenes=scenes, out=out, primary=f"nll@{PRIMARY}"
    )
    reference, right, _ = by_scene(results, REFERENCE)
    rows = {}
    for target, path in paths.items():
        nll, hit, _ = by_scene(results, target)
        header = load_weights(path)[1]
        rows[target] = {
            "nll": [resampled(nll[:, look]) for look in range(LOOKS + 1)],
            "accuracy": [resampled(hit[:, look]) for look in range(LOOKS + 1)],
            "nll_minus_label": [
                resampled(nll[:, look] - reference[:, look]) for look in range(LOOKS + 1)
            ],
            "accuracy_minus_label": [
                resampled(hit[:, look] - right[:, look]) for look in range(LOOKS + 1)
            ],
            **{key: header.get(key) for key in ("steps", "cpu_seconds", "processor", "best")},
        }
    return rows


def page(found: Mapping[str, Any]) -> str:
    """The table."""
    looks = range(1, LOOKS + 1)
    lines = [
        f"{found['steps']:,} updates of {found['batch']} scenes each, {found['scenes']:,} val "
        f"scenes of `{DATA}`, one training seed; {found['machine']['processor']}.",
        "",
        "| target | training, CPU s | NLL after 1 / 2 / 3 / 4 looks "
        f"| less that of `{REFERENCE}` after {PRIMARY} | after {LOOKS} | accuracy |",
        "|---|---:|---|---:|---:|---|",
    ]
    for target, row in found["rows"].items():
        nll, hits = (
            " / ".join(f"{row[key][look][0]:.3f}" for look in looks) for key in ("nll", "accuracy")
        )
        apart = [
            "–" if target == REFERENCE else bracketed(row["nll_minus_label"][look], 3)
            for look in (PRIMARY, LOOKS)
        ]
        lines.append(
            f"| `{target}` | {row['cpu_seconds']:,} | {nll} | {apart[0]} | {apart[1]} | {hits} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--only", nargs="*", choices=TARGETS, default=list(TARGETS), help=f"Beside {REFERENCE}."
    )
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--scenes", type=int, default=2048)
    parser.add_argument("--folder", type=Path, default=Path("runs/value_targets"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.page is not None:
        check_place(options.page, "targets")
    targets = [each for each in TARGETS if each == REFERENCE or each in options.only]
    paths = trained(targets, options.folder, steps=options.steps, batch=options.batch)
    found = {
        "machine": machine(),
        **{key: getattr(options, key) for key in ("steps", "batch", "scenes")},
        "rows": measured(paths, options.scenes, options.folder / "run"),
    }
    write_json(options.out / "value_targets.json", found)
    publish(page(found), options.page, "targets")


if __name__ == "__main__":
    main()
