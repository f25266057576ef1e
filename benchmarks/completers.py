"""Every completer with the same budget on one data set: train, evaluate, and look with each.

    python benchmarks/completers.py --data digits

trains all completers for about five CPU minutes each (one thread), unless they are in the folder
already, compares them by `boed evaluate completer`, and runs `boed benchmark` with each. Single
columns: `--only aipo,flow`; `harmonic`, `ridge`, `tv`, `low-rank` and `patch-match`, which are not
trained, are rows if it names them. A baseline trained on holes, as those of the paper are where
holes are measured, is a row of its own: `--only vaeac,vaeac-holes`. Interrupted, the same command
goes on.

    python benchmarks/completers.py --data digits --long

trains those that AIPO is compared with for as many updates as the shipped AIPO had, on the same
images, and a residual network that judges completions (App. B.3 of the AIPO paper); diversity is
that of many pairs, as in the paper.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from boed.completion.classical.filling import FILLINGS
from boed.foundation.registry import check_known

SETS: dict[str, int] = {"digits": 32, "cifar10_jpeg_32": 32, "kermany_pneumonia_128": 64}
"""Data sets, and the width in pixels at which they are compared."""

STEPS: dict[str, tuple[int, int, int]] = {
    "aipo": (1100, 1000, 740),
    "vae": (1000, 850, 600),
    "aipo-r": (750, 650, 500),
    "flow": (1250, 1250, 1200),
    "diffusion": (1250, 1250, 1200),
    "vaeac": (2100, 1750, 1650),
    "pic": (1850, 1800, 1550),
    "np": (6800, 6200, 6500),
    "anp": (3500, 3400, 3300),
    "ce": (4000, 4000, 2400),
    "gan-latent": (2000, 850, 1200),
    "pc-cnn": (330, 190, 110),
    "pixelcnn-c": (460, 250, 150),
    "pixelcnn-zone": (2700, 900, 2500),
    "row-lstm": (1000, 560, 340),
    "diagonal-bilstm": (740, 420, 230),
    "flattened-row-lstm": (8800, 3900, 4100),
}
"""Updates for each of `SETS` that take about 300 CPU seconds; `vae` and `aipo-r`, which extends
it, take 150 each. Measured with one thread of a 2-core machine while the other core was busy."""

SEARCHED = ("gan-latent",)
"""Left out unless `--only` names them: each completion is a search, an evaluation takes hours."""

HOLES = "-holes"
"""Behind the name of a baseline: trained with few squares hidden, not few seen."""

BASELINES = ("flow", "vaeac", "pic", "anp", "ce")
"""Those that masks are learnt from and that the paper would train on holes; AIPO stays as it is."""

ROWS = (
    *(name for name in STEPS if name != "vae"),
    *(f"{name}{HOLES}" for name in BASELINES),
    *FILLINGS,
)
"""What `--only` may name."""

LONG = {"digits": ("mnist_28", 14000), "kermany_pneumonia_128": ("kermany_pneumonia_128", 10000)}
"""Of `--long`: the images trained on, and the updates (of 32 images) that the shipped AIPO had.
`vae` and `aipo-r`, which extends it, have half of them each."""

COMPARED = ("aipo-r", "vaeac", "anp", "ce")
"""What the paper compares AIPO with, and its closest kin."""

RATES = {"vae": 0.003, "aipo-r": 0.003}
"""Learning rates of `--long` that are not the preset's: that of the shipped AIPO."""

JUDGE = ["--kind", "resnet18", "--patch", 1, "--steps", 1200]
"""How the judge of `--long` is trained."""

MANY = ["--diversity-scenes", 4, "--diversity-completions", 317]
"""Observations, and completions of each for its 50,086 pairs."""

SHIPPED = ("digits", "kermany_pneumonia_128")
"""Sets for which the package has an AIPO that was trained for longer: a row of its own."""

PLAN = ["--scenes", 160, "--deep", 24, "--completions", 8, "--seeds", 3]
"""Of the evaluation: N for realism, scenes with several completions, how many, sampling seeds."""

LOOKS = ["--scenes", 128, "--grid", 9, "--steps", 3]
"""Of the runs in use; one seed."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """What is trained and compared: a data set, a folder, and how long each is trained.

    Attributes:
        data: the set on which all are compared.
        out: the folder.
        updates: of each, to try it; None is `STEPS`.
        long: train as `LONG` says.
    """

    data: str
    out: Path
    updates: int | None = None
    long: bool = False

    @property
    def name(self) -> str:
        """Of its table."""
        return f"completers-{self.data}" + "-long" * self.long

    def checkpoint(self, name: str) -> Path:
        """Where a completer's weights are."""
        return self.out / f"{name}.safetensors"

    def training(self, kind: str) -> list[object]:
        """Options of a training: its images, and for how long."""
        updates = STEPS[kind][list(SETS).index(self.data)]
        options: list[object] = []
        if self.long:
            updates = LONG[self.data][1] // (1 + (kind in ("vae", "aipo-r")))
            options = ["--lr", RATES[kind]] if kind in RATES else []
        return [*self.images(), "--steps", self.updates or updates, *options]

    def images(self) -> list[object]:
        """Options of a training: what is learnt from."""
        images = LONG[self.data][0] if self.long else self.data
        return ["--data", images, "--size", SETS[self.data]]


def train(name: str, study: Study) -> None:
    """Train one completer, if that has not been done."""
    if name in FILLINGS:
        return
    target = study.checkpoint(name)
    if target.exists() and not target.with_suffix(".training.safetensors").exists():
        print(f"{name}: {target} is there")
        return
    kind = name.removesuffix(HOLES)
    options = [*study.training(kind), "--out", target]
    if name == "aipo-r":
        train("vae", study)
        options += ["--vae", study.checkpoint("vae")]
    if name != kind:
        options += ["--masks", "holes"]
    boed("train", "completer", kind, *options)


def candidates(names: list[str], study: Study) -> dict[str, object]:
    """What to compare, by name: those trained here, retrieval, and the shipped AIPO beside them."""
    found: dict[str, object] = {
        name: study.checkpoint(name) for name in names if study.checkpoint(name).exists()
    }
    found |= {name: name for name in names if name in FILLINGS}
    found["retrieval"] = "retrieval"
    if study.data in SHIPPED:
        found["aipo-shipped"] = "aipo"
    return found


def evaluate(names: list[str], study: Study) -> None:
    """Measure all that have been trained, and retrieval, on the test split."""
    given = [f"{name}={where}" for name, where in candidates(names, study).items()]
    options = ["--data", study.data, "--size", SETS[study.data], *PLAN]
    options += ["--out", study.out / "evaluation", *features(study.data)]
    if study.long:
        judge = study.checkpoint("judge")
        if not judge.exists():
            boed("train", "classifier", *study.images(), *JUDGE, "--out", judge)
        options += ["--judge", judge, *MANY]
    boed("evaluate", "completer", *given, *options)


def use(names: list[str], study: Study) -> None:
    """Look at the same scenes with each completer: the same classifier, the same candidates.

    Looks are squares, of which those trained on holes know nothing: they are left out.
    """
    looking = [name for name in names if not name.endswith(HOLES)]
    data = study.data
    for name, where in candidates(looking, study).items():
        folder = study.out / "use" / name
        if (folder / "summary.json").exists():
            continue
        options = ["--completer", where, "--data", data, "--size", SETS[data], *LOOKS]
        boed("benchmark", "--policies", "boed", *options, "--out", folder, *features(data))


def join(names: list[str], study: Study) -> None:
    """Add what was seen in use to the results of the evaluation, and write its report again."""
    import numpy as np

    from boed.classifiers.evaluation.metrics import accuracy, auroc, nll
    from boed.completion.evaluation.results import EXAMPLES, RESULTS
    from boed.foundation import netcdf
    from boed.foundation.files import atomic
    from boed.report.completers.figures import curves_figure, sheet_figure
    from boed.report.completers.page import write_completer_report
    from boed.report.completers.table import markdown
    from boed.report.results import load

    folder, data, out = study.out / "evaluation", study.data, study.out
    results = netcdf.load(folder / "results.nc", RESULTS)
    examples = netcdf.load(folder / "examples.nc", EXAMPLES)
    metrics = {"use_accuracy": accuracy, "use_auroc": auroc, "use_nll": nll}
    used = {
        name: load(out / "use" / name / "results.nc").sel(policy="boed")
        for name in map(str, results["completer"].values)
        if (out / "use" / name / "results.nc").exists()
    }
    for variable, metric in metrics.items():
        looks = max((run.sizes["look"] for run in used.values()), default=1)
        shape = (results.sizes["completer"], results.sizes["seed"], looks)
        values = np.full(shape, np.nan)  # one seed of looking, several of sampling
        for row, name in enumerate(map(str, results["completer"].values)):
            if name in used:
                beliefs, labels = used[name]["log_belief"].values, used[name]["label"].values
                for seed, each in enumerate(beliefs):  # [scene, look, K]
                    values[row, seed] = [float(metric(each[:, k], labels)) for k in range(looks)]
        results = results.drop_vars(variable, errors="ignore")
        if used:
            results[variable] = (("completer", "seed", "look"), values)
    netcdf.save(results, folder / "results.nc", RESULTS)
    write_completer_report(results, folder / "report.html", examples)
    head = f"# Completers on {data}, {SETS[data]} px\n\n`{results.attrs['command']}`\n\n"
    with atomic(Path("benchmarks/results") / f"{study.name}.md") as temporary:
        temporary.write_text(head + markdown(results), encoding="utf-8")
    pictures = Path("docs/completers")
    if study.long:
        return
    with atomic(pictures / f"{data}.png") as temporary:
        curves_figure(results).savefig(temporary, dpi=110)
    if data == "digits":  # of the other sets no originals may be shown
        with atomic(pictures / "sheet.png") as temporary:
            sheet_figure(examples).savefig(temporary, dpi=80)


def features(data: str) -> list[object]:
    """Options for the classifier that describes scenes: the shipped one, if there is one."""
    own = Path("runs/completers") / data / "classifier.safetensors"
    return ["--classifier", own] if own.exists() else []


def boed(*arguments: object) -> None:
    """Run the command `boed` with one thread, and stop if it fails."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "boed.cli", *map(str, arguments)]
    print("boed", *arguments, flush=True)
    subprocess.run(command, check=True, env=environment)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", choices=list(SETS), default="digits")
    parser.add_argument("--only", default=None)
    parser.add_argument("--long", action="store_true", help="as many updates as the shipped AIPO")
    parser.add_argument("--steps", type=int, default=None, help="updates of each, to try it")
    parser.add_argument("--out", type=Path, default=None, help="runs/completers/DATA if not given")
    parser.add_argument("--stages", default="train,evaluate,use,join")
    options = parser.parse_args()
    if options.long and options.data not in LONG:
        parser.error(f"--long is for {', '.join(LONG)}")
    out = options.out or Path("runs/completers") / (options.data + "-long" * options.long)
    study = Study(data=options.data, out=out, updates=options.steps, long=options.long)
    usual = COMPARED if options.long else [e for e in STEPS if e not in ("vae", *SEARCHED)]
    names = options.only.split(",") if options.only else list(usual)
    for name in names:
        check_known("only", name, ROWS)
    stages = options.stages.split(",")
    if "train" in stages:
        for name in names:
            train(name, study)
    for stage, run in {"evaluate": evaluate, "use": use, "join": join}.items():
        if stage in stages:
            run(names, study)


if __name__ == "__main__":
    main()
