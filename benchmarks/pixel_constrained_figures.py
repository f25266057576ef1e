"""The pictures of benchmarks/pixel_constrained.py."""

from __future__ import annotations

from collections.abc import Callable

import torch
from inpainting import grid, picture, worst_figure
from matplotlib import colormaps
from matplotlib.figure import Figure
from pixel_constrained_study import COMPLETIONS, Study
from torch import Tensor

from boed.completion.editing import resample
from boed.completion.ranking import log_probs
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.randomness import derive

FIVE = ("top", "bottom", "right", "left", "blobs")
"""Masks of Fig. 9: halves, and blobs."""


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
    drawn by then, which is one for every pixel. What was seen is grey.
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
                shown = torch.where(known > 0, whole, expected)[0, 0]
                coloured = colormaps["plasma"](shown.numpy())[..., :3]
                given = seen.mask[0, 0].bool().numpy()
                coloured[given] = 0.25 + 0.6 * shown.numpy()[given, None]
                axes[row, column].imshow(coloured)
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
    shown, beside = 4, 4
    named = list(study.completers.items())
    bands = [named[start : start + beside] for start in range(0, len(named), beside)]
    figure, axes = grid(len(FIVE) * len(bands), 2 + shown * min(beside, len(named)), size=0.7)
    for row, masks in enumerate(FIVE):
        scene = study.some(1, start=10 + row)
        seen = study.observed(scene, masks)
        for band, completers in enumerate(bands):
            places = axes[band * len(FIVE) + row]
            places[0].imshow(picture(scene[0], seen.mask[0]))
            places[1].imshow(picture(scene[0]))
            for block, (name, each) in enumerate(completers):
                samples = each.sample(seen, shown, [derive(study.seed, "five", row)])
                for k in range(shown):
                    places[2 + shown * block + k].imshow(picture(samples[k, 0]))
                if row == 0:
                    places[2 + shown * block].set_title(name, fontsize=7, loc="left")
    return figure


def failures(study: Study) -> Figure:
    """Of many completions the least likely for their number of hidden pixels: Fig. 12."""
    scenes = study.some(60, start=20)
    seen = study.observed(scenes, "blobs")
    samples = study.model.sample(seen, 1, study.seed)
    nats = log_probs(study.model, samples, seen)[0] / (seen.mask == 0).sum((1, 2, 3))
    worst = nats.argsort()[:10].tolist()
    return worst_figure(worst, seen, scenes, made=(samples[0],))


def two_squares(study: Study) -> Figure:
    """Completions of ten digits, of which two squares of 35 % of the width are seen."""
    scenes, size = study.some(10, start=40), study.test.size
    generator = torch.Generator().manual_seed(derive(study.seed, "two squares"))
    mask = squares(len(scenes), size, count=2, overhang=False, generator=generator)
    seen = Observation.of(scenes, mask)
    samples = study.model.sample(seen, COMPLETIONS, study.seed)
    figure, axes = grid(len(scenes), COMPLETIONS + 2, size=0.6)
    for row, scene in enumerate(scenes):
        axes[row, 0].imshow(picture(scene, mask[row]))
        axes[row, 1].imshow(picture(scene))
        for column, sample in enumerate(samples[:, row], start=2):
            axes[row, column].imshow(picture(sample))
    return figure


FIGURES: dict[str, Callable[[Study], Figure]] = {
    "by-likelihood": by_likelihood,
    "probabilities": probabilities,
    "editing": editing,
    "two-squares": two_squares,
    "five-masks": five_masks,
    "failures": failures,
}
