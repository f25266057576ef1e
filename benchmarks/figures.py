"""The pictures of docs that trained models draw: Fig. 4, 6, 7, 8, 9 and 12 of the AIPO paper.

    python benchmarks/figures.py

Scenes are test digits, and on x-rays samples of a model, since originals may not be shown. Beside
the pictures, and one of all masks by name, it prints the table of reconstructions of images of
other kinds; `--only masks` draws some.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import torch
import xarray as xr
from inpainting import grid, picture
from matplotlib.figure import Figure
from torch import Tensor

from boed.acquire import acquire
from boed.completion import Completer
from boed.completion.evaluation.pictures import foreign, free_form, growing, hand_made
from boed.completion.registry import load_completer
from boed.completion.vae.aipo import AIPO
from boed.data.load import load
from boed.data.masks import MASKS, named, squares
from boed.data.observation import Observation
from boed.foundation.files import atomic
from boed.foundation.registry import check_known
from boed.foundation.shipped import shipped
from boed.report.completers.figures import foreign_figure, free_figure
from boed.report.figures import UNSEEN, completions_figure, panel_figure
from boed.report.worked_scenes import describe, named_answers, with_whole_maps
from boed.sensors import PatchSensor
from boed.setup import setup
from boed.zoo import Context, named_completers

AXES = ("channel", "row", "column")
PAINTED = 2
"""Free-form masks beside those made by hand."""

MASKED, PER_NAME = 32, 3
"""Pixels and draws of each distribution of masks."""

SAMPLED = 3
"""X-rays whose looks are shown."""

DRAWS = 8
"""Reconstructions of each image of another kind, whose squared error is averaged."""

LOOKS, TWO = 5, 2
"""Squares seen of each digit, and completions of it by each model."""

SHOWN = ("digit", "x-ray", "text", "stripes", "uniform noise")
"""Kinds in the figure; the photograph is somebody's."""


def xrays(number: int, seed: int = 0) -> Tensor:
    """Samples of the flow of x-rays, `[number, 1, 64, 64]`."""
    flow = load_completer(shipped("flow-kermany-64"))
    return flow.sample(Observation.nothing(number, 1, 64), 1, seed)[0]


def masks_figure(completers: Mapping[str, Completer], scenes: Tensor) -> Figure:
    """Masks made by hand and painted ones, a column for each completer: Fig. 4 and 12."""
    size = scenes.shape[-1]
    named = hand_made(size)
    strokes = torch.maximum(*(free_form(PAINTED, size, seed=seed) for seed in (3, 4)))
    masks = torch.cat([torch.stack(list(named.values())), strokes])
    seen = Observation.of(scenes, masks)
    samples = torch.stack([each.sample(seen, 2, 0) for each in completers.values()])
    names = [*named, *(f"painted {index + 1}" for index in range(PAINTED))]
    variables = {
        "free_truth": (("f", *AXES), scenes.numpy()),
        "free_mask": (("f", "row", "column"), masks[:, 0].numpy()),
        "free_sample": (("completer", "f", "k", *AXES), samples.transpose(1, 2).numpy()),
    }
    return free_figure(xr.Dataset(variables, coords={"completer": list(completers), "f": names}))


def masks_of_digits() -> Figure:
    """Masks on digits."""
    test = load("digits", 32, "test")
    context = Context(test, PatchSensor(32), library=load("digits", 32, "train"))
    names = ("aipo", "flow", "flow-distilled")
    given = [*(f"{name}={shipped(f'{name}-digits-32')}" for name in names), "retrieval"]
    rows = [int((test.labels == digit).nonzero()[0]) for digit in (2, 3, 4, 5, 6, 8, 9)]
    return masks_figure(named_completers(given, context), test.scenes(torch.tensor(rows)))


def masks_of_xrays() -> Figure:
    """Masks on sampled x-rays."""
    names = ("aipo", "flow", "flow-distilled")
    models = {name: load_completer(shipped(f"{name}-kermany-64")) for name in names}
    return masks_figure(models, xrays(5 + PAINTED))


def masks_by_name() -> Figure:
    """Every distribution of masks on a test digit, a column for each, three draws below another."""
    test = load("digits", MASKED, "test")
    scene = test.scenes((test.labels == 5).nonzero()[:1, 0])
    unseen = torch.tensor([int(UNSEEN[i : i + 2], 16) / 255 for i in (1, 3, 5)]).view(3, 1, 1)
    across = len(MASKS) // 2
    figure = Figure(figsize=(1.1 * across, 1.17 * 2 * PER_NAME), layout="constrained")
    axes = figure.subplots(2 * PER_NAME, across)
    for axis in axes.flat:
        axis.set_axis_off()
    for index, name in enumerate(MASKS):
        generator = torch.Generator().manual_seed(index)
        masks = named(name)(PER_NAME, MASKED, generator=generator)
        block, column = divmod(index, across)
        axes[PER_NAME * block, column].set_title(name, fontsize=9, family="monospace")
        for row, image in enumerate(masks * scene + (1 - masks) * unseen, PER_NAME * block):
            axes[row, column].imshow(image.permute(1, 2, 0).numpy(), vmin=0, vmax=1)
    return figure


def looks(scene: int) -> Figure:
    """A sampled x-ray after 0 to 5 looks, and completions by the flow: Fig. 8."""
    flow = load_completer(shipped("flow-kermany-64"))
    truth = xrays(2, seed=5)[scene]
    masks = growing(64, seed=scene)
    seen = Observation.of(truth.expand(len(masks), -1, -1, -1), masks)
    samples = flow.sample(seen, 4, 1).transpose(0, 1)
    shown = (seen.values.numpy(), seen.mask.numpy(), samples.numpy())
    return completions_figure(*shown, truth=truth.numpy())


def five_looks() -> Figure:
    """A test digit of each class of which five squares are seen, two completions by each model."""
    test = load("digits", 32, "test")
    context = Context(test, PatchSensor(32), library=load("digits", 32, "train"))
    names = ("aipo", "flow", "flow-distilled", "pc-cnn", "gan-latent")
    given = [*(f"{name}={shipped(f'{name}-digits-32')}" for name in names), "retrieval"]
    completers = named_completers(given, context)
    scenes = test.scenes(torch.stack([(test.labels == k).nonzero()[1, 0] for k in range(10)]))
    generator = torch.Generator().manual_seed(0)
    counts = torch.full((len(scenes),), LOOKS)
    masks = squares(len(scenes), 32, counts=counts, generator=generator)
    seen = Observation.of(scenes, masks)
    figure, axes = grid(len(scenes), 2 + TWO * len(completers), size=0.7)
    for row, (scene, mask) in enumerate(zip(scenes, masks, strict=True)):
        axes[row, 0].imshow(picture(scene, mask))
        axes[row, 1].imshow(picture(scene))
    for block, (name, each) in enumerate(completers.items()):
        for k, made in enumerate(each.sample(seen, TWO, 0)):
            for row, image in enumerate(made):
                axes[row, 2 + TWO * block + k].imshow(picture(image))
        axes[0, 2 + TWO * block].set_title(name, fontsize=7, loc="left")
    return figure


def reconstructions(name: str, size: int) -> Figure:
    """Images of other kinds by the VAE of an AIPO: Fig. 7; prints their errors."""
    vae = AIPO.load(shipped(name)).vae
    kinds = foreign(size, 1)
    images = torch.stack(list(kinds.values()))
    made = torch.stack([vae.reconstruct(images, seed) for seed in range(DRAWS)])
    squared = (made - images).square().mean((0, 2, 3, 4))
    for kind, each in zip(kinds, squared, strict=True):
        print(f"| `{name}` | {kind} | {each:.4f} | {-10 * each.log10():.1f} |", flush=True)
    chosen = [list(kinds).index(kind) for kind in SHOWN]
    variables = {
        "foreign_image": (("foreign", *AXES), images[chosen].numpy()),
        "foreign_reconstruction": (("model", "foreign", *AXES), made[:1, chosen].numpy()),
    }
    coordinates = {"model": [name], "foreign": list(SHOWN)}
    return foreign_figure(xr.Dataset(variables, coords=coordinates))


def worked(scene: int) -> Figure:
    """Three looks at a sampled x-ray, 17 x 17 candidates, N = 10: Fig. 6 and 9."""
    made = setup("kermany_pneumonia_128", size=64, sensor="patch,grid=17", policies=("boed",))
    boed = with_whole_maps(made.policies["boed"])
    scenes = xrays(SAMPLED, seed=9)[scene : scene + 1]
    found = acquire(scenes, made.sensor, boed, steps=3, classifier=made.classifier, seed=scene)
    panels = describe(found, scenes, None, sensor=made.sensor)
    return panel_figure(named_answers(panels, made.data))


FIGURES: dict[str, Callable[[], Figure]] = {
    "masks": masks_by_name,
    "masks-digits": masks_of_digits,
    "masks-kermany": masks_of_xrays,
    "five-looks-digits": five_looks,
    "looks-kermany-1": lambda: looks(0),
    "looks-kermany-2": lambda: looks(1),
    **{f"panel-kermany-{k + 1}": partial(worked, k) for k in range(SAMPLED)},
    "foreign-digits": lambda: reconstructions("aipo-digits-32", 32),
    "foreign-kermany": lambda: reconstructions("aipo-kermany-64", 64),
}
"""By the name of the file."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(FIGURES))
    parser.add_argument("--out", type=Path, default=Path("docs/completers"))
    options = parser.parse_args()
    for name in options.only.split(","):
        check_known("only", name, FIGURES)
        with atomic(options.out / f"{name}.png") as temporary:
            FIGURES[name]().savefig(temporary, dpi=75)


if __name__ == "__main__":
    main()
