"""From checkpoints to the comparison of completers: data, extractor, pictures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from boed.classifiers.classifier import DenseNetClassifier
from boed.classifiers.extractor import ClassifierExtractor
from boed.completion.completer import Completer
from boed.completion.evaluation.evaluate import Extractor, Plan, evaluate
from boed.completion.evaluation.inception import InceptionExtractor
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.vdvae import VDVAE
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.masks import squares
from boed.data.observation import Observation
from boed.foundation.randomness import derive
from boed.sensors import PatchSensor
from boed.setup import versions
from boed.zoo import DEFAULT_SIZE, Context, classifier_for, completer_for

if TYPE_CHECKING:
    import xarray as xr


def named_completers(given: Sequence[str], test: Dataset, library: Dataset) -> dict[str, Completer]:
    """Completers from what was typed: `aipo`, `retrieval`, PATH or NAME=PATH.

    Raises:
        ValueError: nothing or the same name twice, or a checkpoint that does not fit the data.
    """
    found: dict[str, Completer] = {}
    context = Context(test, PatchSensor(test.size), library=library)
    for each in given:
        name, _, where = each.rpartition("=")
        name = name or Path(where).stem
        if name in found:
            raise ValueError(f"completer {name!r} is given twice; write NAME={where}")
        found[name] = completer_for(context, where)
    if not found:
        raise ValueError("no completer is given: expected aipo, retrieval, or checkpoints")
    return found


def compare(
    given: Sequence[str],
    data: str,
    size: int | None,
    *,
    split: str,
    plan: Plan,
    classifier: str | None = None,
    inception: Path | None = None,
    out: Path | None = None,
    device: str = "cpu",
    advance: Callable[[str, int], None] | None = None,
) -> tuple[xr.Dataset, xr.Dataset]:
    """Measure completers and draw examples with them.

    Args:
        given: completers, as `named_completers` takes them.
        data, size, split: scenes to complete; the train split is what retrieval retrieves from.
        plan: what is measured on how many scenes.
        classifier: checkpoint of the classifier whose features describe scenes; the shipped one
            if not given.
        inception: weights of the FID's Inception, whose features then describe scenes.
        out: run folder, for the parts that are finished.
        device: where the models run.
        advance: told completer and completions drawn.

    Returns:
        The figures, and the examples (`boed.report.completers.page`).

    Raises:
        ValueError: whatever of this is not as expected.
    """
    size = size or DEFAULT_SIZE.get(data)
    test, library = load(data, size, split), load(data, size, "train")
    completers = named_completers(given, test, library)
    judge = classifier_for(Context(test, PatchSensor(test.size)), classifier)
    if not isinstance(judge, DenseNetClassifier):
        raise ValueError(f"classifier is {classifier}, expected one with features")
    for model in (judge, *completers.values()):
        if hasattr(model, "to"):
            model.to(device)
    extractor: Extractor = ClassifierExtractor(judge, Path(classifier or "shipped").stem)
    if inception is not None:
        extractor = InceptionExtractor(inception, extractor)
    results = evaluate(
        completers, test, library, extractor=extractor, plan=plan, folder=out, advance=advance
    )
    _add_training(results, completers)
    results.attrs["versions"] = json.dumps(versions())
    return results, examples(completers, test, library, seed=plan.seeds[0])


def _add_training(results: xr.Dataset, completers: Mapping[str, Completer]) -> None:
    """How long each was trained, on what, and how large it is."""
    about = {}
    columns: dict[str, list[float]] = {
        "training_cpu_seconds": [],
        "training_steps": [],
        "parameters": [],
    }
    for name, completer in completers.items():
        header: dict[str, Any] = getattr(completer, "provenance", {})
        columns["training_cpu_seconds"].append(_cpu_seconds(header))
        columns["training_steps"].append(float(header.get("steps", math.nan)))
        is_module = isinstance(completer, torch.nn.Module)
        model = completer if is_module else getattr(completer, "vae", None)
        weights = model.parameters() if isinstance(model, torch.nn.Module) else []
        columns["parameters"].append(float(sum(p.numel() for p in weights)) or math.nan)
        kept = ("kind", "objective", "steps", "cpu_seconds", "masks", "data", "command")
        about[name] = {k: header[k] for k in kept if k in header} or {
            "kind": type(completer).__name__
        }
    for name, values in columns.items():
        results[name] = (("completer",), values)
    results.attrs["checkpoints"] = json.dumps(about)


def _cpu_seconds(header: Mapping[str, Any]) -> float:
    """Of this training and, where it began with a trained VAE, of that."""
    own = float(header.get("cpu_seconds", math.nan))
    before = header.get("vae") or {}
    return own + float(before.get("cpu_seconds", 0.0))


def examples(
    completers: Mapping[str, Completer], test: Dataset, library: Dataset, *, seed: int
) -> xr.Dataset:
    """Pictures: a scene after 0 to 5 squares, free-form masks, images of other kinds (Fig. 7)."""
    import xarray as xr

    names = list(completers)
    scene = test.scenes(slice(0, 1))
    masks = _growing(test.size, derive("examples", seed))
    sheet = Observation.of(scene.expand(len(masks), -1, -1, -1), masks)
    free_truth = test.scenes(slice(0, 4))
    free = Observation.of(free_truth, free_form(4, test.size, derive("examples", seed, "free")))
    drawn = {
        "sheet_sample": [each.sample(sheet, 3, seed) for each in completers.values()],
        "free_sample": [each.sample(free, 3, seed) for each in completers.values()],
    }
    coordinates: dict[str, Any] = {"completer": names}
    axes = ("channel", "row", "column")
    variables: dict[str, Any] = {
        "sheet_truth": (axes, scene[0].numpy()),
        "sheet_observed": (("look", *axes), sheet.values.numpy()),
        "sheet_mask": (("look", "row", "column"), masks[:, 0].numpy()),
        "sheet_sample": (
            ("completer", "look", "k", *axes),
            torch.stack(drawn["sheet_sample"]).transpose(1, 2).numpy(),
        ),
        "free_truth": (("f", *axes), free_truth.numpy()),
        "free_mask": (("f", "row", "column"), free.mask[:, 0].numpy()),
        "free_sample": (
            ("completer", "f", "k", *axes),
            torch.stack(drawn["free_sample"]).transpose(1, 2).numpy(),
        ),
    }
    vaes = {name: vae for name, each in completers.items() if (vae := _vae(each)) is not None}
    if vaes:
        kinds = foreign(test.size, test.channels)
        images = torch.stack(list(kinds.values()))
        coordinates |= {"model": list(vaes), "foreign": list(kinds)}
        variables["foreign_image"] = (("foreign", *axes), images.numpy())
        variables["foreign_reconstruction"] = (
            ("model", "foreign", *axes),
            torch.stack([vae.reconstruct(images, seed) for vae in vaes.values()]).numpy(),
        )
    return xr.Dataset(variables, coords=coordinates)


def _vae(completer: Completer) -> VDVAE | None:
    """The VAE inside a completer, if it has an encoder that has been trained."""
    vae = getattr(completer, "vae", None)
    return vae if isinstance(vae, VDVAE) and isinstance(completer, AIPO) else None


def _growing(size: int, seed: int) -> Tensor:
    """Masks of 0 to 5 squares, each with those before it."""
    generator = torch.Generator().manual_seed(seed)
    masks = [torch.zeros(1, 1, size, size)]
    for _ in range(5):
        one = squares(1, size, counts=torch.ones(1, dtype=torch.long), generator=generator)
        masks.append(torch.maximum(masks[-1], one))
    return torch.cat(masks)


def free_form(batch: int, size: int, seed: int) -> Tensor:
    """Masks of thick brush strokes that are seen, unlike any in training: `[B, 1, H, W]`."""
    generator = torch.Generator().manual_seed(seed)
    pixel = torch.arange(size) + 0.5
    masks = torch.zeros(batch, 1, size, size)
    for row in range(batch):
        at = torch.rand(2, generator=generator) * size
        angle = float(torch.rand(1, generator=generator)) * 2 * math.pi
        for _ in range(size):
            angle += float(torch.randn(1, generator=generator)) * 0.35
            at = (at + 1.2 * torch.tensor([math.sin(angle), math.cos(angle)])).clamp(0, size)
            near = (pixel[:, None] - at[0]) ** 2 + (pixel[None] - at[1]) ** 2
            masks[row, 0] = torch.maximum(masks[row, 0], (near < (size / 14) ** 2).float())
    return masks


def foreign(size: int, channels: int) -> dict[str, Tensor]:
    """Images of other kinds: a digit, a photograph, text, stripes and uniform noise."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.datasets import load_sample_image

    from boed.data.resize import centre_square, resize

    def fitted(picture: Any) -> Tensor:
        square = resize(centre_square(np.ascontiguousarray(picture)[None], False), size)[0]
        image = torch.from_numpy(square.transpose(2, 0, 1).copy()).float() / 255
        return image.mean(0, keepdim=True) if channels == 1 else image

    figure = Figure(figsize=(2, 2), dpi=64)
    figure.text(0.5, 0.5, "where\nto look\nnext", ha="center", va="center", fontsize=24)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    digit = load("digits", 32, "test").scenes(slice(3, 4))
    digit = torch.nn.functional.interpolate(digit, (size, size), mode="bilinear")[0]
    generator = torch.Generator().manual_seed(0)
    wave = 0.5 + 0.5 * torch.sin(torch.arange(size) * 2 * math.pi / 8)
    return {
        "digit": digit.expand(channels, -1, -1),
        "photograph": fitted(load_sample_image("flower.jpg")),
        "text": fitted(np.asarray(canvas.buffer_rgba())[..., :3]),
        "stripes": wave.expand(channels, size, size).contiguous(),
        "uniform noise": torch.rand(channels, size, size, generator=generator),
    }
