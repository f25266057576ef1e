"""What Dupont & Suresha 2019 show of completers with a likelihood, with a trained model.

    python benchmarks/pixel_constrained.py --model pc-cnn-28.safetensors --data mnist_28 --size 28

Ranks of the truth among its completions, nats of a scene with nothing seen, and the pictures:
completions by likelihood (Fig. 10), probabilities as pixels are drawn (Fig. 11), editing (Fig. 8),
five masks by several completers (Fig. 9), failures (Fig. 12). `--only` takes some. Scenes are of
the test split; pictures are of digits or of the model's own samples.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from inpainting import grid, observed, picture, resampled
from matplotlib.figure import Figure
from measuring import machine
from torch import Tensor

from boed.benchmark.sweep import scene_rows
from boed.completion import Completer
from boed.completion.autoregressive.base import Autoregressive
from boed.completion.editing import resample
from boed.completion.log_probability import log_prob
from boed.completion.ranking import log_probs, rank_of_truth
from boed.completion.registry import load_completer
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.observation import Observation
from boed.foundation.files import atomic, write_json
from boed.foundation.randomness import derive
from boed.foundation.registry import check_known

COMPLETIONS = 8
"""Of each scene; with the truth nine are ranked."""

RANKED = ("blobs", "top:14", "left:14", "squares")
"""Masks of the ranks: those of training, halves, and those of looks."""

FIVE = ("top:14", "bottom:14", "right:14", "left:14", "blobs")
"""Masks of Fig. 9."""

BATCH = 25
"""Scenes completed at once."""


@dataclass(frozen=True)
class Study:
    """A trained model, the scenes, and how many of them."""

    model: Autoregressive
    test: Dataset
    scenes: int
    seed: int
    others: Mapping[str, Completer]

    def some(self, number: int, start: int = 0) -> Tensor:
        """Test scenes, as the model's levels."""
        rows = torch.from_numpy(scene_rows(len(self.test), start + number)[start:])
        return self.model.quantised(self.test.scenes(rows))

    def observed(self, scenes: Tensor, masks: str) -> Observation:
        """What is seen of scenes under masks of a name, drawn by the study's seed."""
        return observed(scenes, masks, self.seed)


def nats(model: Autoregressive, scenes: Tensor, seen: Observation) -> Tensor:
    """-log p of what is hidden of each scene, `[B]`."""
    parts = [slice(start, start + BATCH) for start in range(0, len(scenes), BATCH)]
    return torch.cat([-log_prob(model, scenes[each], seen[each]) for each in parts])


def ranks(study: Study) -> dict[str, Any]:
    """Ranks of the truth among nine by mask, and nats of the hidden pixels and of whole scenes."""
    scenes = study.some(study.scenes)
    found: dict[str, Any] = {}
    for masks in RANKED:
        seen = study.observed(scenes, masks)
        truth, drawn = [], []
        for start in range(0, len(scenes), BATCH):
            part = slice(start, start + BATCH)
            seeds = [derive(study.seed, "rank", row) for row in range(*part.indices(len(scenes)))]
            samples = study.model.sample(seen[part], COMPLETIONS, seeds)
            both = torch.cat([scenes[None, part], samples])
            log_p = log_probs(study.model, both, seen[part])
            truth.append(log_p[0])
            drawn.append(log_p[1:])
        truths, others = torch.cat(truth), torch.cat(drawn, dim=1)
        rank = rank_of_truth(truths, others)
        hidden = (seen.mask == 0).sum((1, 2, 3))
        found[masks] = {
            "rank": resampled(rank.double().numpy()),
            "first": float((rank == 1).double().mean()),
            "nats_of_truth": resampled(-truths.double().numpy()),
            "nats_of_completions": resampled(-others.mean(0).double().numpy()),
            "hidden_pixels": float(hidden.double().mean()),
        }
        print(masks, json.dumps(found[masks]), flush=True)
    of_whole = nats(study.model, scenes, Observation.nothing_of(scenes))
    found["nothing"] = {"nats_of_truth": resampled(of_whole.double().numpy())}
    print("nothing", json.dumps(found["nothing"]), flush=True)
    return found


TEMPERATURES = (0.8, 1.0, 1.25, 1.5)
"""Of the samples; the likelihood is always the model's own."""


@torch.no_grad()
def explained(study: Study, number: int = 200) -> dict[str, Any]:
    """What moves the rank of the truth under blobs: how samples are drawn, and a fault of code.

    The public reference code scores the rows of a batch by the pixel values of its first one. With
    the truth there, all completions are asked for the probability of the truth's pixels.
    """
    scenes = study.some(number)
    seen = study.observed(scenes, "blobs")
    found: dict[str, Any] = {"scenes": number}
    for temperature in TEMPERATURES:
        config = replace(study.model.config, temperature=temperature)
        warmer = type(study.model)(config).eval()
        warmer.load_state_dict(study.model.state_dict())
        right, faulty = [], []
        for start in range(0, number, BATCH):
            part = slice(start, start + BATCH)
            seeds = [derive(study.seed, "rank", row) for row in range(*part.indices(number))]
            samples = warmer.sample(seen[part], COMPLETIONS, seeds)
            both = torch.cat([scenes[None, part], samples])
            nats = log_probs(study.model, both, seen[part])
            right.append(rank_of_truth(nats[0], nats[1:]))
            if temperature == 1:
                faulty.append(scored_by_the_first(study, both, seen[part]))
        name = f"temperature {temperature:g}"
        found[name] = resampled(torch.cat(right).double().numpy())
        print(name, found[name], flush=True)
        if faulty:
            found["reference code"] = resampled(torch.cat(faulty).double().numpy())
            print("reference code", found["reference code"], flush=True)
    return found


def scored_by_the_first(study: Study, both: Tensor, seen: Observation) -> Tensor:
    """Ranks of the truth if every row is asked for the pixels of the first, the truth."""
    model, hidden = study.model, (seen.mask == 0).double()
    condition = model.condition(seen)
    nats = []
    for image in both:
        each = model.cross_entropy(model.logits(model.quantised(image), condition), both[0])
        nats.append(-(each * hidden).flatten(1).sum(1))
    return rank_of_truth(nats[0], torch.stack(nats[1:]))


def by_likelihood(study: Study) -> Figure:
    """Completions from the most to the least likely, with bars: Fig. 10."""
    scenes = study.some(5)
    seen = study.observed(scenes, "blobs")
    samples = study.model.sample(seen, COMPLETIONS, study.seed)
    nats = log_probs(study.model, samples, seen)
    figure, axes = grid(2 * len(scenes), COMPLETIONS + 2, size=0.75)
    orders = nats.argsort(0, descending=True).T
    for row, (scene, order) in enumerate(zip(scenes, orders, strict=True)):
        axes[2 * row, 0].imshow(picture(scene, seen.mask[row]))
        axes[2 * row, 1].imshow(picture(scene))
        share = (nats[:, row] - nats[:, row].min()) / (nats[:, row].max() - nats[:, row].min())
        for column, index in enumerate(order.tolist(), start=2):
            axes[2 * row, column].imshow(picture(samples[index, row]))
            bar = axes[2 * row + 1, column]
            height = float(share[index])
            bar.bar([0], [height], width=0.6, color=(0.1, 0.25 + 0.5 * height, 0.7))
            bar.set(xlim=(-1, 1), ylim=(0, 1.05))
            bar.set_title(f"{float(nats[index, row]):.0f}", fontsize=6, pad=1)
    for column, name in enumerate(("seen", "truth")):
        axes[0, column].set_title(name, fontsize=7)
    axes[0, 2].set_title("likeliest", fontsize=7)
    axes[0, -1].set_title("least", fontsize=7)
    return figure


def whites(study: Study, image: Tensor, condition: Tensor) -> Tensor:
    """The mean level of each pixel given all before it, `[B, 1, H, W]`."""
    levels = torch.linspace(0, 1, study.model.levels).view(1, -1, 1, 1, 1)
    chances = study.model.logits(image, condition).float().softmax(1)
    return (chances * levels).sum(1)


def probabilities(study: Study) -> Figure:
    """How bright pixels are expected to be as more of them are drawn: Fig. 11, and what it hides.

    Above, as in the paper: the network's output while all pixels not drawn yet are 0. Only that of
    the next pixel is a probability of something. Below, the mean of completions of what has been
    drawn by then, which is one for every pixel.
    """
    scene = study.some(1, start=1)
    seen = study.observed(scene, "squares")
    with torch.no_grad():
        condition = study.model.condition(seen)
        whole = study.model.sample(seen, 1, study.seed)[0]
        figure, axes = grid(2, 7, size=1.0)
        for column, share in enumerate((0.0, 0.2, 0.35, 0.5, 0.65, 0.8, 1.0)):
            drawn = torch.zeros(1, 1, *seen.shape)
            drawn[:, :, : round(share * seen.shape[0])] = 1
            known = torch.maximum(drawn, seen.mask)
            output = whites(study, whole * known, condition)
            partly = Observation.of(whole, known)
            honest = study.model.sample(partly, 64, study.seed).mean(0)
            for row, expected in enumerate((output, honest)):
                axes[row, column].imshow(
                    torch.where(known > 0, whole, expected)[0, 0].numpy(),
                    cmap="plasma",
                    vmin=0,
                    vmax=1,
                )
            axes[0, column].set_title(f"{share:.0%} drawn", fontsize=7)
    return figure


def editing(study: Study) -> Figure:
    """Thirds of a scene drawn anew one after another: Fig. 8."""
    size = study.test.size
    regions = []
    for third in range(3):
        region = torch.zeros(size, size)
        region[third * size // 3 : (third + 1) * size // 3] = 1
        regions.append(region)
    scenes = study.some(6, start=3)
    steps = resample(study.model, scenes, regions, seed=study.seed)
    figure, axes = grid(len(scenes), 7, size=0.8)
    for row, scene in enumerate(scenes):
        before = scene
        for step, (after, region) in enumerate(zip(steps, regions, strict=True)):
            axes[row, 2 * step].imshow(picture(before, (1 - region)[None]))
            axes[row, 2 * step + 1].imshow(picture(after[row]))
            before = after[row]
        axes[row, 6].imshow(picture(scene))
    for column, name in enumerate(("hidden", "drawn") * 3 + ("at first",)):
        axes[0, column].set_title(name, fontsize=7)
    return figure


def five_masks(study: Study) -> Figure:
    """Four completions under each of five masks by each completer: Fig. 9."""
    shown, completers = 4, {study.model.name: study.model, **study.others}
    figure, axes = grid(len(FIVE), 2 + shown * len(completers), size=0.7)
    for row, masks in enumerate(FIVE):
        scene = study.some(1, start=10 + row)
        seen = study.observed(scene, masks)
        axes[row, 0].imshow(picture(scene[0], seen.mask[0]))
        axes[row, 1].imshow(picture(scene[0]))
        for block, each in enumerate(completers.values()):
            samples = each.sample(seen, shown, [derive(study.seed, "five", row)])
            for k in range(shown):
                axes[row, 2 + shown * block + k].imshow(picture(samples[k, 0]))
    for block, name in enumerate(completers):
        axes[0, 2 + shown * block].set_title(name, fontsize=7, loc="left")
    return figure


def failures(study: Study) -> Figure:
    """Of many completions the least likely for their number of hidden pixels: Fig. 12."""
    scenes = study.some(60, start=20)
    seen = study.observed(scenes, "blobs")
    samples = study.model.sample(seen, 1, study.seed)
    nats = log_probs(study.model, samples, seen)[0] / (seen.mask == 0).sum((1, 2, 3))
    worst = nats.argsort()[:10].tolist()
    figure, axes = grid(3, len(worst), size=0.75)
    for column, index in enumerate(worst):
        axes[0, column].imshow(picture(scenes[index], seen.mask[index]))
        axes[1, column].imshow(picture(samples[0, index]))
        axes[2, column].imshow(picture(scenes[index]))
    return figure


FIGURES: dict[str, Callable[[Study], Figure]] = {
    "by-likelihood": by_likelihood,
    "probabilities": probabilities,
    "editing": editing,
    "five-masks": five_masks,
    "failures": failures,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--also", nargs="*", default=[], help="NAME=PATH of others, for five-masks")
    parser.add_argument("--data", default="mnist_28")
    parser.add_argument("--size", type=int, default=28)
    parser.add_argument("--scenes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default=",".join(("ranks", *FIGURES)))
    parser.add_argument("--out", type=Path, default=Path("docs/pixel_constrained"))
    options = parser.parse_args()
    wanted = options.only.split(",")
    for name in wanted:
        check_known("only", name, ("ranks", *FIGURES))
    model = load_completer(options.model)
    if not isinstance(model, Autoregressive):
        parser.error(f"--model is a {type(model).__name__}, expected one that draws pixel by pixel")
    given = (each.partition("=") for each in options.also)
    others = {name: load_completer(path) for name, _, path in given}
    test = load(options.data, options.size, "test")
    study = Study(model.eval(), test, options.scenes, options.seed, others)
    options.out.mkdir(parents=True, exist_ok=True)
    if "ranks" in wanted:
        found = {
            "machine": machine(),
            "data": f"{test.name} ({test.split})",
            "scenes": options.scenes,
            "seed": options.seed,
            "levels": model.levels,
            "completions": COMPLETIONS,
            "chance": (COMPLETIONS + 2) / 2,
            "model": {k: model.provenance.get(k) for k in ("kind", "steps", "cpu_seconds", "data")},
            "masks": ranks(study),
            "explained": explained(study),
        }
        write_json(options.out / "ranks.json", found)
    for name in wanted:
        if name in FIGURES:
            with atomic(options.out / f"{name}.png") as temporary:
                FIGURES[name](study).savefig(temporary, dpi=100)


if __name__ == "__main__":
    main()
