"""Tables and pictures that benchmarks/cifar_inpainting.py puts into docs/cifar_inpainting.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from inpainting import grid, picture
from inpainting_methods import Fill, methods
from inpainting_trainings import MASKS, SIZE
from matplotlib.figure import Figure
from page_parts import machine, table
from pages import bracketed, fill
from torch import Tensor
from trainings import LEVEL

from boed.completion.autoregressive.base import Autoregressive
from boed.completion.learned import LearnedCompleter
from boed.completion.registry import load_completer
from boed.data.masks import named
from boed.data.observation import Observation
from boed.foundation.files import atomic
from boed.foundation.shipped import shipped

REPORTED: dict[str, float] = {
    "l2-cnn": 7.49,
    "wgan": 4.26,
    "pixelcnn-zone, greedy": 6.98,
    "flattened-row-lstm, greedy": 7.63,
}
"""Table 1 of the report; it calls the last one Row LSTM there, and does not say how it draws."""

REPORTED_SWEEP: dict[str, tuple[float, float]] = {
    "2000": (4.21, 8.11),
    "1000": (4.86, 7.46),
    "512": (6.34, 7.2),
    "256": (7.01, 7.94),
}
"""L2 on training and val images by bottleneck (the report, Sec. 7.1)."""

YARDSTICK = "harmonic"
"""The row that needs no training, against which the others are put."""

PICTURED = (
    *("harmonic", "ridge", "l2-cnn", "l2-cnn-overlap", "dcgan", "wgan", "wgan-alpha-1"),
    *("pixelcnn-zone, greedy", "pixelcnn-zone, mean of softmax", "flattened-row-lstm, sampled"),
    *("row-lstm, sampled", "diagonal-bilstm, sampled"),
)
"""Columns of the picture of completions, of those there are."""

PICTURES: dict[str, tuple[str, str]] = {
    "completions": ("Completions by method", "The hole filled in each way."),
    "pmf": (
        "Distributions of a pixel's channels",
        "What `row-lstm` believes of the first pixel of the hole (the white square), in 32 levels\n"
        "where the report's PixelCNN has 256: red, green given red, and blue given both (its Fig.\n"
        "8). The line is the level of the scene itself.",
    ),
}
"""By the name of the file, title and what it shows."""

PMF = "row-lstm"
"""Whose distributions of a pixel are drawn."""

PICTURED_SCENES = 6
SEEDS = 20
"""Seeds of the flow's samples: such as show something."""


def fill_page(path: Path, found: Mapping[str, Any]) -> None:
    """Put tables and pictures where the page has places for them."""
    fill(path, "rows", rows(found))
    fill(path, "sweep", sweep(found))
    fill(path, "trainings", trainings(found))
    fill(path, "pictures", pictures(path.with_suffix("")))


def pictures(folder: Path) -> str:
    """Those that are there, with what they show."""
    return "\n\n".join(
        f"![{title}]({folder.name}/{name}.png)\n\n*{shows}*"
        for name, (title, shows) in PICTURES.items()
        if (folder / f"{name}.png").exists()
    )


def hundredfold(values: list[float]) -> str:
    """A mean of squared errors with its interval, times 100."""
    return bracketed([100 * each for each in values], 2)


def rows(found: Mapping[str, Any]) -> str:
    """The report's Table 1, again, the lowest L2 first."""
    measured, lines = found["rows"], []
    for name in sorted(measured, key=lambda each: measured[each]["l2"][0]):
        row = measured[name]
        training = found["trainings"].get(name.partition(",")[0])
        lines.append(
            [
                f"{name} (not level)" if training and training["short"] else name,
                f"{row['l2'][0]:.4f}",
                hundredfold(row["l2"]),
                f"{REPORTED[name]:.2f}" if name in REPORTED else "",
                f"{row['psnr_hole_db']:.1f}",
                f"{row['maem'][0]:.1%}",
                f"{row['cpu_milliseconds']:.2g}",
            ]
        )
    head = ["fills the hole", "L2", "100 L2", "report", "PSNR of the hole, dB", "MAEM", "CPU ms"]
    _, low, high = measured[YARDSTICK]["l2"]
    better = [name for name, row in measured.items() if row["l2"][2] < low]
    worse = [name for name, row in measured.items() if row["l2"][1] > high]
    return "\n\n".join(
        [
            f"{found['scenes']:,} images of the {found['split']} split of `{found['data']}`. "
            f"{machine(dict(found))} {elsewhere(found)}"
            "[The numbers](../benchmarks/results/cifar_inpainting.json).",
            table(head, lines),
            f"With an interval below that of `{YARDSTICK}`: {'; '.join(better) or 'none'}. Above: "
            f"{'; '.join(worse) or 'none'}.",
        ]
    )


def elsewhere(found: Mapping[str, Any]) -> str:
    """Which rows were measured on another machine."""
    here, others = found["machine"]["processor"], defaultdict(list)
    for name, row in found["rows"].items():
        if row["processor"] != here:
            others[row["processor"]].append(name)
    return "".join(f"On another ({it}): {'; '.join(names)}. " for it, names in others.items())


def sweep(found: Mapping[str, Any]) -> str:
    """L2 by bottleneck beside the report's."""
    lines = [
        [
            bottleneck,
            *(hundredfold(found["sweep"][bottleneck][split]) for split in ("train", "val")),
            *(f"{each:.2f}" for each in reported),
        ]
        for bottleneck, reported in REPORTED_SWEEP.items()
        if bottleneck in found["sweep"]
    ]
    head = ["bottleneck", "100 L2, train", "100 L2, val", "report, train", "report, val"]
    return table(head, lines)


def trainings(found: Mapping[str, Any]) -> str:
    """What each model was trained for, and whether that was enough."""
    lines = [
        [
            name,
            f"{each['parameters']:,}",
            f"{each['steps']:,} of {each['of']:,} x {each['batch']}",
            f"{each['used']:,}",
            f"{each['cpu_seconds'] / 60:.0f}",
            f"{each['merit']} {each['last'][each['merit']]:.4g}",
            each["short"] or "yes",
        ]
        for name, each in found["trainings"].items()
    ]
    head = [
        "model",
        "parameters",
        "steps x images",
        "weights of",
        "CPU min",
        "last on val",
        "level",
    ]
    told = (
        "Level: all steps of the script were made, and loss and figures on val over the last\n"
        f"fifth of them are within {LEVEL:.0%}, or two standard errors, of those over the fifth\n"
        "before."
    )
    return f"{table(head, lines)}\n\n{told}"


def write_figures(
    folder: Path, models: Mapping[str, LearnedCompleter], anchors: Mapping[str, Fill], seed: int
) -> None:
    """Write the pictures; that of probabilities if there is a model that has them."""
    scenes = sampled_scenes()
    made = {"completions": completions(models, anchors, scenes, seed)}
    drawing = models.get(PMF)
    if isinstance(drawing, Autoregressive):
        made["pmf"] = probabilities(drawing, scenes)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in made.items():
        with atomic(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, dpi=110)


def sampled_scenes() -> Tensor:
    """Samples of the shipped flow, since originals may not be shown."""
    flow = load_completer(shipped("flow-cifar10-32"))
    return flow.sample(Observation.nothing(PICTURED_SCENES, 3, SIZE), 1, SEEDS)[0]


def completions(
    models: Mapping[str, LearnedCompleter],
    anchors: Mapping[str, Fill],
    scenes: Tensor,
    seed: int,
) -> Figure:
    """What is seen, the scene, and a column for each way to fill the hole."""
    fills = {**anchors, **dict(methods(models, seed))}
    shown = [name for name in PICTURED if name in fills]
    seen = Observation.of(scenes, named(MASKS)(len(scenes), SIZE))
    columns = [("seen", seen.values, seen.mask), ("scene", scenes, torch.ones_like(seen.mask))]
    columns += [(name, seen.composite(fills[name](seen)), torch.ones_like(seen.mask))
                for name in shown]  # fmt: skip
    figure, axes = grid(len(scenes), len(columns), size=0.95)
    for column, (name, images, masks) in enumerate(columns):
        axes[0, column].set_title(name.replace(", ", "\n"), fontsize=6)
        for row, (image, mask) in enumerate(zip(images, masks, strict=True)):
            axes[row, column].imshow(picture(image, mask))
    return figure


@torch.no_grad()
def probabilities(model: Autoregressive, scenes: Tensor) -> Figure:
    """The distributions of a pixel's red, green given red, and blue given both: Fig. 8.

    Of the first pixel of the hole, of which all pixels before are seen.
    """
    shown = scenes[:3]
    mask = named(MASKS)(len(shown), SIZE)
    row, column = (mask[0, 0] == 0).nonzero()[0].tolist()
    seen = Observation.of(shown, mask)
    image = model.quantised(shown)
    chances = model.logits(image, model.condition(seen)).float().softmax(1)[..., row, column]
    figure = Figure(figsize=(8, 1.7 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 4, squeeze=False, width_ratios=(1, 2, 2, 2))
    for index, of_scene in enumerate(chances):
        axes[index, 0].imshow(picture(image[index], seen.mask[index]))
        axes[index, 0].plot(column, row, "s", mfc="none", mec="white", ms=4)
        axes[index, 0].set_axis_off()
        for channel, colour in enumerate(("red", "green", "blue")):
            axis = axes[index, 1 + channel]
            levels = 255 * torch.arange(model.levels) / (model.levels - 1)
            width = 255 / model.levels
            axis.bar(levels.numpy(), of_scene[:, channel].numpy(), width, color=f"tab:{colour}")
            axis.axvline(255 * float(image[index, channel, row, column]), color="black", lw=0.8)
            axis.tick_params(labelsize=6)
    for channel, said in enumerate(("red", "green, given red", "blue, given both"), start=1):
        axes[0, channel].set_title(said, fontsize=7)
    return figure
