"""What Yeh et al. 2017 show of semantic inpainting: Table 1 and its ablations, on our data.

    python benchmarks/latent_search.py --data digits --train
    python benchmarks/latent_search.py --data digits

The first trains the GAN, unless one is shipped, and a Context Encoder for each of the four masks
into `runs/latent_search/DATA`, going on where it was interrupted; the second measures: PSNR and
SSIM of the hole and the whole image by mask and method, PSNR against iterations, the two loss
terms and CPU seconds. A search takes seconds for each completion: scenes are few. Measured parts
stay in the JSON, so an interrupted run goes on, and what has been trained since is added. It writes
benchmarks/results/latent_search-DATA.json and the tables in docs/latent_search.md; pictures are of
digits alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from completers import boed
from inpainting import Measured, decibels, resampled
from latent_search_figures import FIGURES
from latent_search_study import CURVE, MASKS, SEARCHES, SETS, Study, checkpoint, gan, others
from latent_search_tables import DATA_NAMES, iterations_figure, write_tables
from torch import Tensor

from boed.completion import Completer, complete
from boed.completion.adversarial.latent_search import GANLatent, Searched
from boed.completion.classical.blending import poisson_blend
from boed.completion.evaluation import psnr, ssim
from boed.completion.registry import load_completer
from boed.data.load import load
from boed.data.observation import Observation
from boed.foundation.files import atomic
from boed.sensors import PatchSensor
from boed.zoo import Context

STEPS = {"gan-latent": (12000, 6000, 8000), "ce": (4000, 2400, 4000)}
"""Updates for each of `SETS`: about 15 to 25 CPU minutes for the GAN, 5 for each encoder."""


def figures(scenes: Tensor, truth: Tensor, seen: Observation, seconds: float) -> dict[str, Any]:
    """PSNR and SSIM of completions `[B, C, H, W]`, of whole images and of what was hidden."""
    hidden, made = 1 - seen.mask, scenes[None]
    return {
        "psnr": decibels(psnr(made, truth)[0]),
        "psnr_hidden": decibels(psnr(made, truth, hidden)[0]),
        "ssim": resampled(ssim(made, truth)[0].double().numpy()),
        "ssim_hidden": resampled(ssim(made, truth, hidden)[0].double().numpy()),
        "seconds": seconds / len(truth),
    }


def searched(study: Study, masks: str, way: str) -> dict[str, Any]:
    """One way to search under one kind of masks, and of the first what overlaying makes of it."""
    truth = study.truth(study.scenes)
    seen = study.observed(truth, masks)
    began = time.process_time()
    model = study.changed(**SEARCHES[way])
    ended: Searched = model.search(seen, 1, study.seeds(masks, len(truth)))
    blended = poisson_blend(ended.made, seen)[0]
    seconds = time.process_time() - began
    hidden = (seen.mask == 0).expand_as(blended)
    outside = (blended < 0) | (blended > 1)
    row = figures(seen.composite(blended.clamp(0, 1)), truth, seen, seconds)
    row["clamped"] = float(outside[hidden].double().mean())
    row["context"], row["prior"] = (float(each.mean()) for each in (ended.context, ended.prior))
    if way == "gan-latent":
        row["overlay"] = figures(seen.composite(ended.made[0]), truth, seen, seconds)
    return row


def completed(study: Study, masks: str, make: Callable[[], Completer]) -> dict[str, Any]:
    """Another method under one kind of masks; the first of its completions."""
    truth, completer = study.truth(study.scenes), make()
    seen = study.observed(truth, masks)
    began = time.process_time()
    scenes = complete(completer, seen, 1, seed=study.seeds(masks, len(truth))).scenes[0]
    return figures(scenes, truth, seen, time.process_time() - began)


def by_iterations(study: Study, number: int) -> dict[str, list[float]]:
    """PSNR of the hole in the centre after so many iterations."""
    truth = study.truth(number)
    masks = MASKS["centre"]
    seen = study.observed(truth, masks)
    curve = {}
    for iterations in (each for each in CURVE if each <= study.most):
        model = study.changed(iterations=iterations)
        scenes = model.sample(seen, 1, study.seeds(masks, number))
        curve[str(iterations)] = decibels(psnr(scenes, truth, 1 - seen.mask)[0])
        print(iterations, curve[str(iterations)], flush=True)
    return curve


def train(data: str, models: Path, steps: int | None) -> None:
    """Train what is not there yet; what was interrupted goes on."""
    wanted: list[tuple[str, str | None]] = [("gan-latent", None), *(("ce", mask) for mask in MASKS)]
    if gan(models, data).parent != models:  # it is shipped
        wanted = wanted[1:]
    for kind, mask in wanted:
        number = steps or STEPS[kind][list(SETS).index(data)]
        masks = [] if mask is None else ["--masks", MASKS[mask]]
        out = checkpoint(models, kind, mask)
        options = ["--data", data, "--size", SETS[data], "--steps", number, "--out", out]
        boed("train", "completer", kind, *options, *masks)


def measure(study: Study, out: Path, settings: dict[str, Any]) -> None:
    """Everything there is to measure, part by part."""
    measured = Measured(out, settings)
    measured.part(["iterations"], partial(by_iterations, study, settings["few"]))
    for mask, masks in MASKS.items():
        for name, make in others(study, mask).items():
            measured.part(["masks", mask, name], partial(completed, study, masks, make))
        for way in SEARCHES:
            measured.part(["masks", mask, way], partial(searched, study, masks, way))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=list(SETS), default="digits")
    parser.add_argument("--models", type=Path, help="runs/latent_search/DATA if not given")
    parser.add_argument("--train", action="store_true", help="train what is missing, and stop")
    parser.add_argument("--steps", type=int, help="updates of each model, to try it")
    parser.add_argument("--scenes", type=int, default=64, help="under each of the four masks")
    parser.add_argument("--few", type=int, default=24, help="scenes of the curve by iterations")
    parser.add_argument("--iterations", type=int, default=500, help="of a search")
    parser.add_argument("--most", type=int, default=CURVE[-1], help="iterations of the curve")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, default=Path("docs/latent_search.md"))
    options = parser.parse_args()
    data = options.data
    models = options.models or Path("runs/latent_search") / data
    if options.train:
        train(data, models, options.steps)
        return
    model = load_completer(gan(models, data))
    if not isinstance(model, GANLatent):
        parser.error(f"{models} holds a {type(model).__name__}, expected a GANLatent")
    test, library = (load(data, SETS[data], split) for split in ("test", "train"))
    context = Context(test, PatchSensor(SETS[data]), library=library)
    counts = {key: getattr(options, key) for key in ("scenes", "most", "seed")}
    study = Study(model, test, context, models=models, **counts)
    study = replace(study, model=study.changed(iterations=options.iterations))
    settings = {
        "data": data,
        "size": SETS[data],
        "split": test.split,
        **{key: getattr(options, key) for key in ("scenes", "few", "iterations", "most", "seed")},
        "model": {k: model.provenance.get(k) for k in ("steps", "cpu_seconds", "data")},
    }
    out = options.out / f"latent_search-{data}.json"
    measure(study, out, settings)
    pictures = options.docs.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    results = json.loads(out.read_text())
    drawn = {f"iterations-{data}": iterations_figure(results, DATA_NAMES[data])}
    if data == "digits":  # of the other sets no originals may be shown
        drawn |= {name: draw(study) for name, draw in FIGURES.items()}
    for name, figure in drawn.items():
        with atomic(pictures / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=100)
    write_tables(options.docs, results, pictures)


if __name__ == "__main__":
    main()
