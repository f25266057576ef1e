"""Three sensors that see no patches: informed looks against random ones and a fixed design.

    python benchmarks/sensors.py --out runs/sensors --docs docs/sensors

Lines of k-space and blocks of pixels on digits, features on tables of scikit-learn. Settings are
chosen on val splits, the fixed design on train; test scenes are looked at once. The classifiers
are trained where `--out` does not hold them yet (about five minutes each on one idle core), and
an interrupted run goes on where it stopped. `--quick` runs everything on very little.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import xarray as xr
from jaxtyping import Float, Int64
from torch import Tensor

from boed.benchmark.sweep import benchmark, scene_rows
from boed.classifiers.classifier import Classifier, DenseNetClassifier, cross_entropy
from boed.classifiers.tabular import TabularClassifier
from boed.classifiers.training import EVERYTHING, preset, train_classifier
from boed.completion.classical.gaussian import GaussianMixture
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer
from boed.completion.vae.aipo import AIPO
from boed.data.dataset import Dataset
from boed.data.load import load
from boed.data.observation import Observation
from boed.data.readers.tables import FOLDS, feature_names, table
from boed.foundation.files import atomic, write_json
from boed.foundation.shipped import shipped
from boed.policies import BOED, CentreOut, FirstLook, Policy, Random
from boed.policies.fixed import FixedDesign, optimise_fixed_design
from boed.report.figures import curves_figure
from boed.report.results import save, summary, with_interval
from boed.sensors.direct import DirectSensor
from boed.sensors.features import Features
from boed.sensors.indirect import IndirectSensor
from boed.sensors.kspace import KSpaceLines
from boed.sensors.pixels import PixelBlocks
from boed.setup import versions

IMAGES = ("kspace", "pixels")
BANDWIDTHS = (0.01, 0.02, 0.05, 0.1, 0.2)
NOISES = (0.02, 0.05, 0.1, 0.2, 0.4)


@dataclass(frozen=True)
class Scale:
    """How much is done.

    Attributes:
        scenes: test scenes of the image sensors.
        looks: at most, on images and on tables.
        completions: for each decision.
        first: completions for the first look.
        steps: of training.
        train: images to train on and to retrieve from.
        folds: of the tables.
    """

    scenes: int = 256
    looks: tuple[int, int] = (6, 8)
    completions: int = 10
    first: int = 200
    steps: int = 3000
    train: int = 4000
    folds: int = FOLDS


QUICK = Scale(scenes=4, looks=(2, 2), completions=3, first=10, steps=4, train=200, folds=2)


def whole_reconstruction(observation: Observation) -> Observation:
    """The same readings with a mask of ones once there are any: all of the picture counts.

    A `DenseNetClassifier` looks at values under the mask alone, and a line of k-space, which the
    mask shows, changes the picture everywhere.
    """
    if observation.taken is None:
        return observation
    begun = observation.taken.amax(1)[:, None, None, None].expand_as(observation.mask)
    return Observation(
        observation.values, begun, readings=observation.readings, taken=observation.taken
    )


@dataclass(frozen=True)
class OfReconstruction:
    """A classifier of what can be made of readings."""

    classifier: DenseNetClassifier

    def log_probs(self, observation: Observation) -> Float[Tensor, "B K"]:
        return self.classifier.log_probs(whole_reconstruction(observation))


@dataclass(frozen=True, eq=False)
class RandomLooks:
    """Random looks of a sensor, some spread evenly and some crowded around the middle.

    Policies crowd: a classifier trained on uniformly random looks alone has hardly ever seen what
    they look at.

    Attributes:
        sensor: without noise; all its candidates together see the whole scene.
        off_centre: distance of each candidate from the middle, 0 to 1, `[D]`.
    """

    sensor: DirectSensor | IndirectSensor
    off_centre: Float[Tensor, " D"]

    def __repr__(self) -> str:
        return f"random looks of {type(self.sensor).__name__}, uniform to central"

    def __call__(
        self,
        scenes: Float[Tensor, "B C H W"],
        counts: Int64[Tensor, " B"],
        generator: torch.Generator | None = None,
    ) -> Observation:
        number = len(self.off_centre)
        width = torch.rand(len(scenes), 1, generator=generator).mul(4).sub(2.5).exp()
        ticket = -torch.rand(len(scenes), number, generator=generator).log()
        order = (ticket.log() + self.off_centre / width).argsort(1).argsort(1)
        chosen = order < torch.where(counts == EVERYTHING, number, counts)[:, None]
        blank = Observation.nothing(number, scenes.shape[1], self.sensor.shape)
        each = self.sensor.observe(blank, blank.values, self.sensor.designs(blank)).seen
        seen = (chosen.float() @ each > 0).float()
        if isinstance(self.sensor, DirectSensor):
            return Observation.of(scenes, seen.unflatten(1, scenes.shape[-2:])[:, None])
        readings = self.sensor.forward(scenes) * seen
        picture = self.sensor.reconstruct(readings, seen)
        found = Observation(picture, self.sensor.shown(seen), readings=readings, taken=seen)
        return whole_reconstruction(found)


def off_centre(sensor: DirectSensor | IndirectSensor) -> Float[Tensor, " D"]:
    """Distance of each line from zero frequency, or of each block from the middle; 0 to 1."""
    designs = sensor.designs(Observation.nothing(1, 1, sensor.shape)).float()
    if isinstance(sensor, Features):
        return torch.zeros(len(designs))
    block = sensor.block if isinstance(sensor, PixelBlocks) else 0
    middle = torch.tensor(sensor.shape[-designs.shape[1] :]) / 2 - block / 2
    distance = (designs - middle).norm(dim=1)
    return distance / distance.max()


def low_frequencies_first(lines: int) -> KSpaceLines:
    """Lines of k-space in the order of a low-pass scan.

    On one side of zero first: the other side repeats it, since scenes are real.
    """
    half = lines // 2
    order = [*range(half, -1, -1), *range(half + 1, lines)]
    return KSpaceLines(lines, designs=torch.tensor(order)[:, None])


def chosen(
    make: Callable[[float], Completer], settings: Sequence[float], seen: Observation, labels: Tensor
) -> tuple[Completer, float]:
    """The setting under which the completer itself says most of the labels of val scenes."""
    losses = []
    for setting in settings:
        model = make(setting)
        if isinstance(model, Retrieval):
            weights = (-model.distances(seen) / (2 * setting**2)).softmax(1)
            classes = torch.nn.functional.one_hot(model.library.labels).float()
            belief = (weights @ classes + 1e-3).log().log_softmax(1)
        else:
            assert isinstance(model, GaussianMixture)
            belief = model.log_probs(seen)
        losses.append(float(cross_entropy(belief, labels).mean()))
    best = settings[losses.index(min(losses))]
    return make(best), best


def completers(
    library: Dataset, val: Dataset, sensor: DirectSensor | IndirectSensor, looks: int
) -> dict[str, tuple[Completer, float]]:
    """The completers that need no training, each with its setting chosen on val."""
    transform = sensor.forward if isinstance(sensor, IndirectSensor) else None
    looking = RandomLooks(sensor, off_centre(sensor))
    val = val.subset(scene_rows(len(val), 200)) if len(val) > 200 else val
    generator = torch.Generator().manual_seed(0)
    counts = torch.randint(1, looks + 1, (len(val),), generator=generator)
    seen = looking(val.scenes(), counts, generator)

    fitted = GaussianMixture(library, transform=transform)  # the noise plays no part in that

    def mixture(noise: float) -> Completer:
        model = copy.copy(fitted)
        model.noise = noise
        return model

    def retrieval(bandwidth: float) -> Completer:
        return Retrieval(library, bandwidth, transform)

    return {
        "gaussian": chosen(mixture, NOISES, seen, val.labels),
        "retrieval": chosen(retrieval, BANDWIDTHS, seen, val.labels),
    }


def fixed_design(
    train: Dataset,
    sensor: DirectSensor | IndirectSensor,
    classifier: Classifier,
    looks: int,
    known: Path,
) -> FixedDesign:
    """The best sequence of looks for the train scenes; kept in the file `known`."""
    if known.exists():
        return FixedDesign(torch.tensor(json.loads(known.read_text())))
    found = optimise_fixed_design(train, sensor, classifier, looks=looks, scenes=400)
    write_json(known, found.designs.tolist())
    return found


def run(
    name: str,
    test: Dataset,
    library: Dataset,
    val: Dataset,
    sensor: DirectSensor | IndirectSensor,
    classifier: Classifier,
    scale: Scale,
    out: Path,
    further: dict[str, Completer] | None = None,
) -> xr.Dataset:
    """Every policy on the test scenes of one sensor."""
    looks = scale.looks[name not in IMAGES]
    found = completers(library, val, sensor, looks)
    fixed = fixed_design(library, sensor, classifier, looks, out / "fixed_design.json")

    def informed(completer: Completer, estimator: str, first: Completer | None = None) -> Policy:
        number = min(scale.first, len(library))
        return BOED(
            completer,
            classifier,
            estimator=estimator,
            n=scale.completions,
            first_look=FirstLook(first, number),
        )

    policies: dict[str, Policy] = {}
    for kind, (completer, _) in found.items():
        policies[f"boed_{kind}"] = informed(completer, "variational")
        if kind == "gaussian" or name not in IMAGES:
            policies[f"boed_{kind}_entropy"] = informed(completer, "entropy")
    for kind, completer in (further or {}).items():
        policies[f"boed_{kind}"] = informed(completer, "variational", found["retrieval"][0])
    policies["fixed"] = fixed
    if name == "kspace":
        blank = Observation.nothing(1, test.channels, sensor.shape)
        policies["low_pass"] = FixedDesign(sensor.designs(blank)[:looks])
    if name == "pixels":
        policies["centre_out"] = CentreOut()
    policies["random"] = Random()
    attributes = {
        "completions": scale.completions,
        "chosen_on_val": {kind: setting for kind, (_, setting) in found.items()},
        "fixed_design": fixed.designs.tolist(),
        "versions": versions(),
    }
    return benchmark(
        test,
        sensor,
        classifier,
        policies=policies,
        steps=looks,
        scenes=min(scale.scenes, len(test)) if name in IMAGES else None,
        out=out / "run",
        attributes=attributes,
        on_progress=lambda policy, number: print(f"{out.name}: {policy}, {number}", flush=True),
    )


def on_digits(name: str, scale: Scale, out: Path) -> xr.Dataset:
    """Lines of k-space or blocks of 4 pixels on digits of 32 pixels."""
    library, val, test = (load("digits", 32, split) for split in ("train", "val", "test"))
    if scale.train < len(library):
        library = library.subset(scene_rows(len(library), scale.train))
    sensor = low_frequencies_first(32) if name == "kspace" else PixelBlocks(32, 4)
    weights = out / name / "classifier.safetensors"
    if not weights.exists():
        settings = replace(preset(library)[1], steps=scale.steps, batch=64)
        looking = RandomLooks(sensor, off_centre(sensor))
        train_classifier(library, val, settings, out=weights, looking=looking)
    network = DenseNetClassifier.load(weights)
    classifier: Classifier = network if name == "pixels" else OfReconstruction(network)
    further: dict[str, Completer] = {}
    if name == "pixels":
        further["aipo"] = AIPO.load(shipped("aipo-digits-32"))
    return run(name, test, library, val, sensor, classifier, scale, out / name, further)


def on_table(name: str, scale: Scale, out: Path) -> xr.Dataset:
    """Features of a table, each row tested once over the folds."""
    parts = []
    for fold in range(scale.folds):
        train, val, test = (table(name, split, fold) for split in ("train", "val", "test"))
        classifier = TabularClassifier(train, val)
        sensor = Features(feature_names(name))
        parts.append(run(name, test, train, val, sensor, classifier, scale, out / f"{name}-{fold}"))
    joined = xr.concat(
        [part.drop_vars(["scene", "seconds"]) for part in parts],
        dim="scene",
        data_vars="minimal",
        coords="minimal",
        compat="equals",
        combine_attrs="override",
    )
    joined["seconds"] = sum(part["seconds"] for part in parts)
    joined.attrs["seconds"] = float(joined["seconds"].sum())
    for key in ("chosen_on_val", "fixed_design", "sha256"):
        joined.attrs[key] = str([part.attrs[key] for part in parts])
    return joined.assign_coords(scene=range(joined.sizes["scene"]))


TITLES = {
    "kspace": "Lines of k-space, digits",
    "pixels": "Blocks of 4 x 4 pixels, digits",
    "breast_cancer": "Features, breast cancer",
    "wine": "Features, wine",
}

INTRODUCTION = """# Sensors that see no patches

Informed looks against random ones and against the best fixed sequence of looks, which is
optimised on the train split. All of it again, settings chosen on val included:

    python benchmarks/sensors.py --out runs/sensors --docs docs/sensors

Brackets hold 95 % intervals (bootstrap over scenes, paired for differences); NLL is in nats.
`boed_gaussian` draws completions from a Gaussian mixture with one component per class,
`boed_retrieval` from the train images, `boed_aipo` from the shipped network (for its first look
from the train images, as in the paper); they use the variational estimator, and those
called `entropy` Eq. 17. `fixed` is the optimised sequence,
`low_pass` reads lines from zero frequency on, `centre_out` blocks from the middle on. A look costs
the same wherever it goes. Of a table every row is tested once, over five folds; settings and the
fixed sequence are those of each fold.
"""


def section(name: str, found: dict[str, Any]) -> str:
    """What the README says of one sensor."""
    looks = sorted({max(found["looks"] * part // 3, 1) for part in (1, 2, 3)})
    metrics = {"accuracy": "accuracy", "nll": "NLL"}
    titles = [f"{shown}, {look}" for shown in metrics.values() for look in looks]

    def row(title: str, curve: dict[str, Any], signed: bool = False) -> str:
        cells = [with_interval(curve[key], look, signed) for key in metrics for look in looks]
        return f"| {title} | " + " | ".join(cells) + " |"

    rule = "|---" * (len(titles) + 1) + "|"
    plain = (" fixed", " centre_out", " low_pass", " random")
    pairs = {pair: curve for pair, curve in found["paired"].items() if pair.startswith("boed")}
    compared = [row(pair, pairs[pair], True) for pair in pairs if pair.endswith(plain)]
    used = found["settings"]
    rows = [row(policy, curve) for policy, curve in found["policies"].items()]
    whole = ", ".join(f"{shown} {found['full_image'][key]:.3f}" for key, shown in metrics.items())
    lines = [
        f"## {TITLES.get(name, name)}",
        f"{found['scenes']} scenes of `{found['data']}` ({used['split']}), "
        f"{used['candidates']} candidates, {used['completions']} completions, seed 0. "
        f"On whole scenes: {whole}. "
        f"Chosen on val (noise of the mixture, bandwidth of retrieval): {used['chosen_on_val']}.",
        f"![curves]({name}/curves.png)",
        "\n".join(["| policy, looks | " + " | ".join(titles) + " |", rule, *rows]),
        "\n".join(["| difference, looks | " + " | ".join(titles) + " |", rule, *compared]),
    ]
    return "\n\n".join(lines) + "\n"


def report(name: str, results: xr.Dataset, docs: Path, resamples: int) -> None:
    """Write a sensor's summary and curves, and the README of all sensors done so far."""
    kept = ("split", "completions", "chosen_on_val", "fixed_design", "steps")
    settings = {key: results.attrs[key] for key in kept}
    settings["candidates"] = results.sizes["candidate"]
    write_json(docs / name / "summary.json", {**summary(results, resamples), "settings": settings})
    files = {each: docs / each / "summary.json" for each in TITLES}
    found = {each: json.loads(file.read_text()) for each, file in files.items() if file.exists()}
    with atomic(docs / name / "curves.png") as temporary:
        figure = curves_figure(found[name], ("accuracy", "nll"), stacked=True)
        figure.savefig(temporary, dpi=110)
    with atomic(docs / "README.md") as temporary:
        sections = [section(each, content) for each, content in found.items()]
        temporary.write_text("\n".join([INTRODUCTION, *sections]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sensors", nargs="*", help=f"of {', '.join(TITLES)}; all by default")
    parser.add_argument("--out", type=Path, default=Path("runs/sensors"))
    parser.add_argument("--docs", type=Path, help="for summaries and figures; --out by default")
    parser.add_argument("--scenes", type=int, default=Scale.scenes, help="test images")
    parser.add_argument("--quick", action="store_true", help="very little of everything")
    given = parser.parse_args(arguments)
    torch.set_num_threads(1)
    scale = QUICK if given.quick else Scale(given.scenes)
    for name in given.sensors or TITLES:
        if name not in TITLES:
            parser.error(f"sensor {name!r} is none of {', '.join(TITLES)}")
        results = (on_digits if name in IMAGES else on_table)(name, scale, given.out)
        save(results, given.out / name / "results.nc")
        report(name, results, given.docs or given.out, 200 if given.quick else 2000)


if __name__ == "__main__":
    main()
