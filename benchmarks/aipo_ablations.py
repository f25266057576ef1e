"""Variants of AIPO on digits at 32 px, each trained on equally many images: App. B.1 and Sec. 3.2.

    python benchmarks/aipo_ablations.py

trains each variant (`--steps` updates of 32 images, one thread) unless that has been done, compares
them on the test digits, and writes the table. Interrupted, the same
command goes on; `--only joint,couplings` for some of them.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
import xarray as xr
from torch import Tensor, nn

from boed.completion.evaluation.plan import Plan
from boed.completion.evaluation.results import by_condition, over_seeds, over_squares
from boed.completion.sources import seen, val_situations
from boed.completion.training import standardised_for, train_vae
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.aipo_r import AIPOR
from boed.completion.vae.presets import SMALL
from boed.completion.vae.vdvae import VDVAE, VDVAEConfig
from boed.data.dataset import Dataset
from boed.data.training_split import training_splits
from boed.foundation.files import atomic, load_weights
from boed.foundation.registry import check_known
from boed.run import evaluate_completers
from boed.training.checkpoints import running_state
from boed.training.config import TrainingConfig
from boed.training.curve import curve_path, read_curve
from boed.training.loop import fit, provenance

SIZE, BATCH = 32, 32

Build = Callable[[VDVAEConfig, VDVAE], AIPO]
"""An untrained model from a configuration, or from a trained VAE."""


def _from_full(config: VDVAEConfig, vae: VDVAE) -> AIPO:
    model = AIPO.from_vae(vae)
    model.start_at_full_posterior()
    return model


VARIANTS: dict[str, tuple[str, Build, float]] = {
    "joint": ("AIPO, trained jointly", lambda config, vae: AIPO.of(config), 1e-3),
    "pretrained": ("AIPO on the frozen VAE", lambda config, vae: AIPO.from_vae(vae), 1e-3),
    "full": ("the same, started from the full encoder", _from_full, 1e-3),
    "aipo-r": ("AIPO-R, started so, too", lambda config, vae: AIPOR.from_vae(vae), 1e-3),
    "couplings": (
        "joint, two couplings behind the Gaussian",
        lambda config, vae: AIPO.of(replace(config, couplings=2)),
        1e-3,
    ),
    "joint-slow": ("joint", lambda config, vae: AIPO.of(config), 3e-4),
    "joint-fast": ("joint", lambda config, vae: AIPO.of(config), 3e-3),
}
"""What each is, how it is built, and its learning rate."""


def settings(steps: int, rate: float) -> TrainingConfig:
    """How each is trained; only the learning rate differs."""
    return TrainingConfig(
        steps=steps, batch=BATCH, lr=rate, skip=400.0, precision="fp32", every=max(steps // 8, 1)
    )


def train(model: AIPO, out: Path, training: TrainingConfig, train: Dataset, val: Dataset) -> None:
    """Train a model on squares and save it, with its curve beside it."""
    model.train()

    def loss(step: int) -> Tensor:
        scenes = train.scenes(torch.randint(len(train), (BATCH,)))
        return model.loss(scenes, seen(scenes, "squares"), step / training.steps)

    def validate(_: nn.Module) -> dict[str, float]:
        scenes, observation = val_situations(val, "squares")
        forward = AIPO.figures(model, scenes, observation)  # AIPO-R's own is another bound
        return forward | model.figures(scenes, observation)

    _, progress = fit(model, loss, training, state=running_state(out), validate=validate)
    header = provenance(train, training, progress)
    model.save(out, {**header, "masks": "squares", "skipped": progress.skipped})
    running_state(out).unlink()


def trained(names: list[str], steps: int, out: Path) -> dict[str, Path]:
    """The checkpoints of some variants, trained where they are not there."""
    images, val = training_splits("mnist_28", SIZE)
    shape = standardised_for(SMALL[SIZE][0], images)
    start = out / "vae.safetensors"
    vae = train_vae(images, val, shape, training=settings(steps, 1e-3), out=start)
    paths = {name: out / f"{name}.safetensors" for name in names}
    for name, path in paths.items():
        if not path.exists():
            _, build, rate = VARIANTS[name]
            torch.manual_seed(0)
            train(build(shape, vae), path, settings(steps, rate), images, val)
        print(f"{name}: {path}", flush=True)
    return paths


def row(name: str, path: Path, results: xr.Dataset) -> list[str]:
    """What the table says of a variant."""
    said, _, rate = VARIANTS[name]
    curve, header = read_curve(curve_path(path)), load_weights(path)[1]
    bounds = [float(each["val_bits_per_dim"]) for each in curve if each["val_bits_per_dim"]]
    norms = [float(each["gradient_norm"]) for each in curve if each["gradient_norm"]]
    mine = results.sel(completer=[name])
    averages = {
        "frechet": mine["frechet"].sel(group="all"),
        "feature_distance": over_squares(by_condition(mine, "feature_distance")),
        "crps": over_squares(by_condition(mine, "crps")),
    }
    told = []
    for variable, digits in {"frechet": 1, "feature_distance": 2, "crps": 4}.items():
        mean, half, _ = over_seeds(averages[variable])
        told.append(f"{float(mean.values[0]):.{digits}f} ± {float(half.values[0]):.{digits}f}")
    curve_told = " ".join(f"{bound:.3f}" for bound in bounds)
    trouble = [f"{max(norms):.3g}", str(header["skipped"])]
    return [f"`{name}`: {said}", f"{rate:g}", curve_told, *trouble, *told, header["cpu_seconds"]]


HEAD = (
    "variant",
    "learning rate",
    "val bound (bits/dim) after each eighth",
    "largest gradient norm",
    "updates skipped",
    "Fréchet, 0 to 5 squares",
    "feature distance",
    "CRPS",
    "CPU seconds",
)


def write_table(paths: dict[str, Path], steps: int, out: Path, target: Path) -> None:
    """Compare what has been trained, and write it down with its budget."""
    plan = Plan(scenes=160, deep=24, n=8, holes=False)
    given = [f"{name}={path}" for name, path in paths.items()]
    results = evaluate_completers(given, out / "evaluation", size=SIZE, plan=plan)
    lines = ["| " + " | ".join(HEAD) + " |", "|---|" + "---:|" * (len(HEAD) - 1)]
    lines += ["| " + " | ".join(map(str, row(*each, results))) + " |" for each in paths.items()]
    vae = load_weights(out / "vae.safetensors")[1]
    floor = float(results["frechet_floor"].sel(group="all"))
    text = f"""# AIPO's variants on digits, {SIZE} px

`python benchmarks/aipo_ablations.py --steps {steps}`: {steps:,} updates of {BATCH} MNIST digits
each, {steps * BATCH:,} images, one thread, one training seed; the frozen VAE the same before
({vae["cpu_seconds"]:.0f} CPU seconds, bound {vae["scores"]["val_bits_per_dim"]:.3f} bits/dim). So
short trainings say how fast and how steadily each learns, not where it ends.

"""
    tail = f"""

The bound is that of log p(scene | observation) on 256 val digits (Eq. 10), for AIPO-R, which does
not learn by it, too. Fréchet distance by the features of the shipped classifier, N =
{plan.scenes} test digits, real against real {floor:.1f}; {plan.deep} scenes with {plan.n}
completions for diversity and CRPS; means over {len(plan.seeds)} sampling seeds ± half of the 95 %
Student t interval, which do not include the luck of training. Gradients of a norm above 200 are
scaled down, above 400 skipped; the largest norm is that of means over {max(steps // 200, 1)}
updates.
"""
    with atomic(target) as temporary:
        temporary.write_text(text + "\n".join(lines) + tail, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(VARIANTS))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--out", type=Path, default=Path("runs/aipo_ablations"))
    parser.add_argument("--table", type=Path, default=Path("benchmarks/results/aipo_ablations.md"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.only.split(",")
    for name in names:
        check_known("only", name, VARIANTS)
    paths = trained(names, options.steps, options.out)
    write_table(paths, options.steps, options.out, options.table)


if __name__ == "__main__":
    main()
