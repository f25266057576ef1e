"""What Yeh et al. 2017 show of semantic inpainting: Table 1 and its ablations, on our data.

    python benchmarks/latent_search.py --data digits --train
    python benchmarks/latent_search.py --data digits

The first trains the GAN and a Context Encoder for each of the four masks into
`runs/latent_search/DATA`, going on where it was interrupted; the second measures: PSNR and SSIM of
the hole and the whole image by mask and method, PSNR against iterations, the two loss terms, CPU
seconds, and the errors of Dupont & Suresha 2019 (Sec. 5.3) under blobs. A search takes seconds for
each completion: scenes are few. Measured parts stay in the JSON, so an interrupted run goes on. It
writes benchmarks/results/latent_search-DATA.json and the tables in docs/latent_search.md; pictures
are of digits alone.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from completers import boed
from inpainting import decibels, grid, of_several, picture, resampled
from latent_search_tables import DATA_NAMES, iterations_figure, write_tables
from matplotlib.figure import Figure
from measuring import machine
from torch import Tensor

from boed.benchmark.sweep import scene_rows
from boed.completion import Completer, complete
from boed.completion.adversarial.latent_search import GANLatent, Searched
from boed.completion.classical.blending import poisson_blend
from boed.completion.evaluation import psnr, ssim
from boed.completion.registry import load_completer
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.masks import named
from boed.data.observation import Observation
from boed.foundation.files import atomic, write_json
from boed.foundation.randomness import derive
from boed.sensors import PatchSensor
from boed.zoo import Context

SETS = {"digits": 32, "kermany_pneumonia_128": 64, "cifar10_jpeg_32": 32}
"""Data sets, and the width in pixels of their scenes."""

MASKS = {
    "centre": "centre_hole:0.5",
    "pattern": "pattern:0.25",
    "random 80 %": "dropped:0.8",
    "half": "half",
}
"""The paper's four, by the names of its Table 1."""

STEPS = {"gan-latent": (8000, 4000, 5000), "ce": (4000, 2400, 4000)}
"""Updates for each of `SETS`: about 20, 35 and 30 CPU minutes for the GAN, 5 for each encoder."""

SEARCHES: dict[str, dict[str, Any]] = {
    "gan-latent": {},
    "without prior": {"prior": 0.0},
    "unweighted": {"weighted": False},
}
"""Ways to search, which differ from the first in one thing; overlaying is told from the same."""

FITTED = ("tv", "low-rank", "patch-match", "harmonic")
"""Methods without training beside the nearest scene and the mirror image."""

CURVE = (25, 50, 100, 200, 400, 800, 1500)
"""Iterations at which PSNR is asked for, up to the paper's."""

COMPLETIONS = 8
"""Of each scene under blobs, as in Dupont & Suresha 2019."""


@dataclass(frozen=True)
class Study:
    """A trained model, the scenes, and what else is measured."""

    model: GANLatent
    test: Dataset
    context: Context
    models: Path
    scenes: int
    seed: int

    def truth(self, number: int, start: int = 0) -> Tensor:
        """Test scenes, fewer always the first of more."""
        rows = torch.from_numpy(scene_rows(len(self.test), start + number)[start:])
        return self.test.scenes(rows)

    def observed(self, scenes: Tensor, masks: str) -> Observation:
        """What is seen under masks of a name."""
        generator = torch.Generator().manual_seed(derive(self.seed, "masks", masks))
        mask = named(masks)(len(scenes), self.test.size, generator=generator)
        return Observation.of(scenes, mask)

    def seeds(self, masks: str, number: int) -> list[int]:
        return [derive(self.seed, masks, row) for row in range(number)]

    def changed(self, **changes: Any) -> GANLatent:
        """The model with another search."""
        model = GANLatent(replace(self.model.config, **changes)).eval()
        model.load_state_dict(self.model.state_dict())
        return model


class Mirror:
    """The other half of a scene of which one was seen, turned over."""

    deterministic = True

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        """Scenes `[n, B, C, H, W]`; black where the mirrored pixel was not seen."""
        scenes = observation.values
        for axis in (-1, -2):
            other = observation.mask.flip(axis)
            whole = torch.maximum(other, observation.mask).amin((1, 2, 3), keepdim=True) > 0
            scenes = torch.where(whole & (other > 0), observation.values.flip(axis), scenes)
        return observation.composite(scenes).expand(n, -1, -1, -1, -1)


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


def others(study: Study, mask: str) -> dict[str, Callable[[], Completer]]:
    """What else can complete scenes under a mask, made when it is needed."""
    methods: dict[str, Callable[[], Completer]] = {}
    encoder = checkpoint(study.models, "ce", mask)
    if encoder.exists():
        methods["ce"] = partial(load_completer, encoder)
    for name in FITTED:
        if name != "patch-match" or mask != "random 80 %":  # under which no patch is seen whole
            methods[name] = partial(study.context.fitted, name)
    methods["nearest"] = partial(study.context.fitted, "retrieval")
    if mask == "half":
        methods["mirror"] = Mirror
    return methods


def by_iterations(study: Study, number: int, steps: Sequence[int]) -> dict[str, list[float]]:
    """PSNR of the hole in the centre after so many iterations."""
    truth = study.truth(number)
    masks = MASKS["centre"]
    seen = study.observed(truth, masks)
    curve = {}
    for iterations in steps:
        model = study.changed(iterations=iterations)
        scenes = model.sample(seen, 1, study.seeds(masks, number))
        curve[str(iterations)] = decibels(psnr(scenes, truth, 1 - seen.mask)[0])
        print(iterations, curve[str(iterations)], flush=True)
    return curve


def under_blobs(study: Study, number: int, completer: Completer) -> dict[str, list[float]]:
    """The errors of Dupont & Suresha 2019 (Sec. 5.3), one random mask for each scene."""
    truth = study.truth(number)
    seen = study.observed(truth, "blobs")
    scenes = completer.sample(seen, COMPLETIONS, study.seeds("blobs", number))
    return of_several(scenes, truth)


def methods_figure(study: Study) -> Figure:
    """A digit under each mask by each method: Fig. 1, 4 to 7."""
    columns = ["seen", "truth", *SEARCHES, "overlay", "ce", *FITTED, "nearest", "mirror"]
    figure, axes = grid(len(MASKS), len(columns), size=0.75, extra=0.15)
    for row, (mask, masks) in enumerate(MASKS.items()):
        truth = study.truth(1, start=row)
        seen, seeds = study.observed(truth, masks), study.seeds(masks, 1)
        pictures = {"seen": picture(truth[0], seen.mask[0]), "truth": picture(truth[0])}
        for way, changes in SEARCHES.items():
            pictures[way] = picture(study.changed(**changes).sample(seen, 1, seeds)[0, 0])
        overlaid = study.changed(blend="overlay").sample(seen, 1, seeds)
        pictures["overlay"] = picture(overlaid[0, 0])
        for name, make in others(study, mask).items():
            pictures[name] = picture(complete(make(), seen, 1, seed=seeds).scenes[0, 0])
        for column, name in enumerate(columns):
            if name in pictures:
                axes[row, column].imshow(pictures[name])
            if row == 0:
                axes[row, column].set_title(name, fontsize=6)
    return figure


def search_figure(study: Study, steps: Sequence[int]) -> Figure:
    """What a search has come to after more and more iterations, not blended: Fig. 3."""
    figure, axes = grid(4, len(steps) + 2, size=0.8, extra=0.1)
    truth = study.truth(4, start=8)
    masks = MASKS["centre"]
    seen = study.observed(truth, masks)
    for row in range(4):
        axes[row, 0].imshow(picture(truth[row], seen.mask[row]))
        axes[row, -1].imshow(picture(truth[row]))
    for column, iterations in enumerate(steps, start=1):
        ended = study.changed(iterations=iterations).search(seen, 1, study.seeds(masks, 4))
        for row in range(4):
            axes[row, column].imshow(picture(ended.made[0, row]))
        axes[0, column].set_title(f"{iterations}", fontsize=7)
    return figure


def checkpoint(models: Path, kind: str, mask: str | None = None) -> Path:
    """Where the weights of the GAN, or of the encoder for a mask, lie."""
    own = "" if mask is None else f"-{mask.split()[0]}"
    return models / f"{kind}{own}.safetensors"


def train(data: str, models: Path, steps: int | None) -> None:
    """Train what is not there yet; what was interrupted goes on."""
    wanted: list[tuple[str, str | None]] = [("gan-latent", None), *(("ce", mask) for mask in MASKS)]
    for kind, mask in wanted:
        number = steps or STEPS[kind][list(SETS).index(data)]
        masks = [] if mask is None else ["--masks", MASKS[mask]]
        out = checkpoint(models, kind, mask)
        options = ["--data", data, "--size", SETS[data], "--steps", number, "--out", out]
        boed("train", "completer", kind, *options, *masks)


class Measured:
    """Parts of a result, each written as soon as it is measured, and only once.

    Args:
        path: JSON; what is there counts if it was measured with the same settings.
        settings: of all parts.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        before = json.loads(path.read_text()) if path.exists() else {}
        same = before.get("settings") == json.loads(json.dumps(settings))
        self.results: dict[str, Any] = before
        if not same:
            self.results = {"settings": settings, "machine": machine()}

    def part(self, keys: Sequence[str], measure: Callable[[], Any]) -> None:
        """Measure one part, at the place of some keys, if that has not been done."""
        *outer, last = keys
        place = self.results
        for key in outer:
            place = place.setdefault(key, {})
        if last not in place:
            place[last] = measure()
            print(*keys, json.dumps(place[last]), flush=True)
            write_json(self.path, self.results)


def measure(study: Study, out: Path, settings: dict[str, Any], also: dict[str, Completer]) -> None:
    """Everything there is to measure, part by part."""
    measured = Measured(out, settings)
    for mask, masks in MASKS.items():
        for name, make in others(study, mask).items():
            measured.part(["masks", mask, name], partial(completed, study, masks, make))
        for way in SEARCHES:
            measured.part(["masks", mask, way], partial(searched, study, masks, way))
    few = settings["few"]
    for name, completer in {"gan-latent": study.model, **also}.items():
        measured.part(["blobs", name], partial(under_blobs, study, few, completer))
    steps = [each for each in CURVE if each <= settings["most"]]
    measured.part(["iterations"], partial(by_iterations, study, few, steps))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=list(SETS), default="digits")
    parser.add_argument("--models", type=Path, help="runs/latent_search/DATA if not given")
    parser.add_argument("--train", action="store_true", help="train what is missing, and stop")
    parser.add_argument("--steps", type=int, help="updates of each model, to try it")
    parser.add_argument("--scenes", type=int, default=32, help="under each of the four masks")
    parser.add_argument("--few", type=int, default=16, help="by iterations, and under blobs")
    parser.add_argument("--iterations", type=int, default=500, help="of a search")
    parser.add_argument("--most", type=int, default=CURVE[-1], help="iterations of the curve")
    parser.add_argument("--also", nargs="*", default=[], help="NAME=PATH of others, under blobs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    parser.add_argument("--docs", type=Path, default=Path("docs/latent_search.md"))
    options = parser.parse_args()
    data = options.data
    models = options.models or Path("runs/latent_search") / data
    if options.train:
        train(data, models, options.steps)
        return
    model = load_completer(checkpoint(models, "gan-latent"))
    if not isinstance(model, GANLatent):
        parser.error(f"{models} holds a {type(model).__name__}, expected a GANLatent")
    test, library = (load(data, SETS[data], split) for split in ("test", "train"))
    context = Context(test, PatchSensor(SETS[data]), library=library)
    study = Study(model, test, context, models, options.scenes, options.seed)
    study = replace(study, model=study.changed(iterations=options.iterations))
    given = (each.partition("=") for each in options.also)
    also = {name: load_completer(path) for name, _, path in given}
    settings = {
        "data": data,
        "size": SETS[data],
        "split": test.split,
        **{key: getattr(options, key) for key in ("scenes", "few", "iterations", "most", "seed")},
        "also": sorted(also),
        "model": {k: model.provenance.get(k) for k in ("steps", "cpu_seconds", "data")},
    }
    out = options.out / f"latent_search-{data}.json"
    measure(study, out, settings, also)
    pictures = options.docs.with_suffix("")
    pictures.mkdir(parents=True, exist_ok=True)
    results = json.loads(out.read_text())
    drawn = {f"iterations-{data}": iterations_figure(results, DATA_NAMES[data])}
    if data == "digits":  # of the other sets no originals may be shown
        steps = [each for each in CURVE if each <= options.most]
        drawn |= {"methods": methods_figure(study), "search": search_figure(study, steps)}
    for name, figure in drawn.items():
        with atomic(pictures / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=100)
    write_tables(options.docs, results, pictures)


if __name__ == "__main__":
    main()
