"""The command `boed`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Progress

app = typer.Typer(
    help="Bayesian optimal experimental design in sequential sensing: where to look next.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
)
train = typer.Typer(help="Train a completer or a classifier.", no_args_is_help=True)
evaluation = typer.Typer(help="Measure completers.", no_args_is_help=True)
data_app = typer.Typer(help="List and fetch data sets.", no_args_is_help=True)
app.add_typer(train, name="train")
app.add_typer(evaluation, name="evaluate")
app.add_typer(data_app, name="data")

Data = Annotated[str, typer.Option(help="Name (see `boed data list`) or path of a data set.")]
Size = Annotated[int | None, typer.Option(help="Width in pixels to resize scenes to.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]


@contextmanager
def explained() -> Iterator[None]:
    """Turn expected errors into one line on stderr, and Ctrl-C into a word on how to go on."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"boed: {error}", fg="red", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt:
        typer.secho(
            "\nboed: interrupted; what was finished is kept, the same command goes on", err=True
        )
        raise typer.Exit(130) from None


def progress_bar() -> Progress:
    """A progress bar with a rate and an estimate of the end."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )


@app.command()
def benchmark(
    data: Data = "digits",
    size: Size = None,
    policies: Annotated[
        str, typer.Option(help="Comma-separated; see the README for all names.")
    ] = "boed,max_variance,centre_out,random,oracle",
    completer: Annotated[
        str | None, typer.Option(help="retrieval, aipo, flow, or a checkpoint; the data's default.")
    ] = None,
    classifier: Annotated[str | None, typer.Option(help="Path of a checkpoint.")] = None,
    scenes: Annotated[int, typer.Option(help="Number of scenes, 0 for all.")] = 128,
    steps: Annotated[int, typer.Option(help="Looks at each scene.")] = 3,
    completions: Annotated[int, typer.Option(help="Completions for each decision, N.")] = 10,
    grid: Annotated[int, typer.Option(help="Candidate looks along each axis.")] = 17,
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="Repetitions: seed, seed + 1, ...")] = 1,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/benchmark"),
    memory: Annotated[int, typer.Option(help="Bound on images held at once, MiB.")] = 512,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    search: Annotated[
        str,
        typer.Option(
            help="racing (the exhaustive choice from fewer evaluations) or exhaustive; or fewer "
            "still, which may miss the best look: coarse, screen (by the network shipped for the "
            "data), or the path of a screen."
        ),
    ] = "racing",
    precision: Annotated[
        str, typer.Option(help="Of the classifier: fp32, or bf16, faster and rounded.")
    ] = "fp32",
    engine: Annotated[
        str,
        typer.Option(help="local, processes, or ray (the cluster at RAY_ADDRESS, if that is set)."),
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Of processes and ray; one for each CPU core if not given.")
    ] = None,
) -> None:
    """Run policies on the same scenes and report how soon the answer is right.

    Writes results.nc, report.html and summary.json to the run folder. An interrupted run goes on
    when the same command is given again.
    """
    with explained():
        _benchmark(**locals())


def _benchmark(
    out: Path,
    scenes: int,
    steps: int,
    seed: int,
    seeds: int,
    memory: int,
    device: str,
    engine: str,
    workers: int | None,
    **options: Any,
) -> None:
    from datetime import datetime, timezone

    from rich.console import Console

    from boed.benchmark.engines import named
    from boed.benchmark.storage import finish
    from boed.benchmark.sweep import benchmark as run
    from boed.report import write_report
    from boed.report.results import save, table, write_summary
    from boed.report.worked_scenes import worked_examples
    from boed.setup import study

    console = Console()
    try:
        doing = named(engine, workers)
    except ImportError as error:  # the extra that it names is wanted
        raise ValueError(str(error)) from error
    names = [name.strip() for name in options.pop("policies").split(",") if name.strip()]
    with console.status("reading data and checkpoints"):
        made = study(policies=names, memory=memory, device=device, looks=steps, **options)
    number = len(made.test) if scenes == 0 else scenes
    started = datetime.now(timezone.utc).isoformat(timespec="seconds")
    with progress_bar() as bar:
        tasks = {name: bar.add_task(name, total=number * steps * seeds, rate="") for name in names}

        def advance(name: str, looks: int) -> None:
            bar.advance(tasks[name], looks)
            speed = bar.tasks[tasks[name]].speed
            bar.update(tasks[name], rate=f"{speed:.1f} looks/s" if speed else "")

        results = run(
            made.test,
            made.sensor,
            made.classifier,
            policies=made.policies,
            steps=steps,
            seeds=range(seed, seed + seeds),
            scenes=number,
            out=out,
            memory=memory,
            attributes=made.attributes,
            on_progress=advance,
            device=device,
            engine=doing,
        )
    results.attrs["started"] = started
    results.attrs["command"] = command()
    with console.status("writing the report"):
        save(results, out / "results.nc")
        found = write_summary(results, out / "summary.json")
        examples = worked_examples(made, steps, seed)
        if examples is not None:
            save(examples, out / "examples.nc")
        write_report(results, out / "report.html", examples, found=found)
    finish(out)
    console.print(table(found))
    console.print(f"report: {out / 'report.html'}")


def command() -> str:
    """The command as typed, for the record, without the path of the program."""
    return "boed " + " ".join(shlex.quote(argument) for argument in sys.argv[1:])


@app.command()
def scan(
    image: Annotated[Path, typer.Argument(help="PNG, JPEG or DICOM.")],
    model: Annotated[
        str, typer.Option(help="Shipped checkpoints: kermany-64 (chest x-rays) or digits-32.")
    ] = "kermany-64",
    steps: Annotated[int, typer.Option(help="Number of looks.")] = 3,
    completions: Annotated[int, typer.Option(help="Completions for each decision, N.")] = 10,
    grid: Annotated[int, typer.Option(help="Candidate looks along each axis.")] = 17,
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    completer: Annotated[Path | None, typer.Option(help="Your own AIPO checkpoint.")] = None,
    classifier: Annotated[Path | None, typer.Option(help="Your own checkpoint.")] = None,
    invert: Annotated[bool, typer.Option(help="Exchange black and white first.")] = False,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Figure to write.")] = Path("scan.png"),
) -> None:
    """Where to look at one image, step by step, as a figure. Needs no data set."""
    with explained():
        from rich.console import Console
        from rich.table import Table

        from boed.acquire import acquire
        from boed.classifiers import DenseNetClassifier
        from boed.completion import AIPO
        from boed.data.readers.image import read_image
        from boed.foundation.files import atomic
        from boed.foundation.shipped import shipped
        from boed.policies import BOED
        from boed.report.figures import panel_figure
        from boed.report.worked_scenes import describe
        from boed.sensors import PatchSensor

        sampler = AIPO.load(completer or shipped(f"aipo-{model}"))
        judge = DenseNetClassifier.load(classifier or shipped(f"densenet-{model}"))
        size, channels = sampler.config.size, sampler.config.channels
        sensor = PatchSensor(size, patch, grid)
        scene = read_image(image, size, channels)[None].float() / 255
        scene = 1 - scene if invert else scene
        policy = BOED(sampler, judge, n=completions)
        trajectory = acquire(scene, sensor, policy, steps=steps, classifier=judge, seed=seed)
        names = ["absent", "present"] if judge.multi_label else list(judge.label_names)
        panels = describe(trajectory, scene, None, sensor=sensor).assign_coords(answer=names)
        panels.attrs = {"policy": "boed"}
        with atomic(out) as temporary:
            panel_figure(panels, 0).savefig(temporary, dpi=150, bbox_inches="tight")
        table = Table("look", "row", "column", "EIG (nats)", "belief")
        for step in range(steps + 1):
            belief = trajectory.log_beliefs[0, step].exp()
            best = belief.reshape(-1, belief.shape[-1])[-1]  # of several findings the last: any
            where = ["", "", ""]
            if step:
                row, column = trajectory.designs[0, step - 1].tolist()
                where = [str(row), str(column), f"{trajectory.scores[0, step - 1]:.4f}"]
            table.add_row(str(step), *where, f"{names[int(best.argmax())]} {best.max():.2f}")
        console = Console()
        console.print(table)
        console.print(f"figure: {out}")


@app.command()
def sheet(
    data: Data = "digits",
    size: Size = None,
    completer: Annotated[str | None, typer.Option(help="As for benchmark.")] = None,
    split: Annotated[str, typer.Option(help="Split whose scene is completed.")] = "test",
    scene: Annotated[int, typer.Option(help="Which scene; -1 samples one from the model.")] = 0,
    patch: Annotated[float, typer.Option(help="Width of a square over that of the scene.")] = 0.35,
    seed: Seed = 0,
    out: Annotated[Path, typer.Option(help="Figure to write.")] = Path("sheet.png"),
) -> None:
    """Draw completions of one scene for 0 to 5 looks, as in Fig. 8 of the AIPO paper."""
    with explained():
        import torch

        from boed.data.load import load
        from boed.data.masks import squares
        from boed.data.observation import Observation
        from boed.foundation.files import atomic
        from boed.report.figures import completions_figure
        from boed.zoo import DEFAULT_SIZE, completer_for

        size = size or DEFAULT_SIZE.get(data)
        shown, library = load(data, size, split), load(data, size, "train")
        model = completer_for(shown, completer, library)
        if scene >= len(shown):
            raise ValueError(f"scene is {scene}; {shown.name} ({split}) has {len(shown)}")
        if scene < 0:
            blank = Observation.nothing(1, shown.channels, shown.size)
            truth = model.sample(blank, 1, seed)[0]
        else:
            truth = shown.scenes(slice(scene, scene + 1))
        generator = torch.Generator().manual_seed(seed)
        corners = torch.randint(0, 2**31, (5,), generator=generator).tolist()
        masks = [torch.zeros(1, 1, shown.size, shown.size)]
        for each in corners:
            one = squares(
                1,
                shown.size,
                patch,
                counts=torch.ones(1, dtype=torch.long),
                generator=torch.Generator().manual_seed(each),
            )
            masks.append(torch.maximum(masks[-1], one))
        seen = Observation.of(truth.repeat(6, 1, 1, 1), torch.cat(masks))
        samples = model.sample(seen, 5, seed + 1)
        figure = completions_figure(
            seen.values.numpy(),
            seen.mask.numpy(),
            samples.transpose(0, 1).numpy(),
            truth=truth[0].numpy(),
        )
        with atomic(out) as temporary:
            figure.savefig(temporary, dpi=150, bbox_inches="tight")
        typer.echo(f"figure: {out}")


@app.command()
def report(
    run: Annotated[Path, typer.Argument(help="Run folder that `boed benchmark` wrote.")],
    figures: Annotated[
        Path | None, typer.Option(help="Also write curves.png and panel.png to this folder.")
    ] = None,
) -> None:
    """Write the report of a finished run again."""
    with explained():
        from boed.foundation.files import atomic
        from boed.report import write_report
        from boed.report.figures import curves_figure, panel_figure
        from boed.report.results import load as load_results
        from boed.report.results import write_summary

        results = load_results(run / "results.nc")
        panels = run / "examples.nc"
        examples = load_results(panels) if panels.exists() else None
        found = write_summary(results, run / "summary.json")
        write_report(results, run / "report.html", examples, found=found)
        if figures is not None:
            with atomic(figures / "curves.png") as temporary:
                curves_figure(found).savefig(temporary, dpi=130)
        if figures is not None and examples is not None:
            with atomic(figures / "panel.png") as temporary:
                panel_figure(examples, 0).savefig(temporary, dpi=130)
        typer.echo(f"report: {run / 'report.html'}")


@evaluation.command("completer")
def evaluate_completer(
    completers: Annotated[
        list[str],
        typer.Argument(help="aipo, retrieval, other shipped names, or checkpoints ([NAME=]PATH)."),
    ],
    data: Data = "digits",
    size: Size = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    scenes: Annotated[int, typer.Option(help="Scenes for realism, one completion each.")] = 256,
    deep: Annotated[int, typer.Option(help="How many of them get N completions.")] = 64,
    completions: Annotated[int, typer.Option(help="Completions of each of those, N.")] = 10,
    seed: Seed = 0,
    seeds: Annotated[int, typer.Option(help="Sampling seeds: seed, seed + 1, ...")] = 3,
    classifier: Annotated[
        str | None, typer.Option(help="Checkpoint whose features describe scenes.")
    ] = None,
    inception: Annotated[
        Path | None, typer.Option(help="Your weights of the FID's Inception, to use instead.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Run folder.")] = Path("runs/completers"),
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
) -> None:
    """Compare completers: realism, fidelity, diversity, calibration and the answers they imply.

    Writes results.nc, examples.nc, report.html and table.md to the run folder. An interrupted
    run goes on when the same command is given again.
    """
    with explained():
        from datetime import datetime, timezone

        from rich.console import Console

        from boed.completion.evaluation.compare import compare
        from boed.completion.evaluation.evaluate import Plan, completions_each
        from boed.completion.evaluation.results import validate, validate_examples
        from boed.foundation.files import atomic
        from boed.report.completers.page import write_completer_report
        from boed.report.completers.table import markdown
        from boed.report.results import save

        plan = Plan(scenes=scenes, deep=deep, n=completions, seeds=tuple(range(seed, seed + seeds)))
        started = datetime.now(timezone.utc).isoformat(timespec="seconds")
        with progress_bar() as bar:
            total = completions_each(plan) * seeds
            tasks: dict[str, Any] = {}

            def advance(name: str, number: int) -> None:
                if name not in tasks:
                    tasks[name] = bar.add_task(name, total=total, rate="")
                bar.advance(tasks[name], number)
                speed = bar.tasks[tasks[name]].speed
                bar.update(tasks[name], rate=f"{speed:.0f}/s" if speed else "")

            results, pictures = compare(
                completers,
                data,
                size,
                split=split,
                plan=plan,
                classifier=classifier,
                inception=inception,
                out=out,
                device=device,
                advance=advance,
            )
        results.attrs |= {"started": started, "command": command()}
        save(results, out / "results.nc", validate)
        save(pictures, out / "examples.nc", validate_examples)
        write_completer_report(results, out / "report.html", pictures)
        with atomic(out / "table.md") as temporary:
            temporary.write_text(markdown(results), encoding="utf-8")
        Console().print(f"report: {out / 'report.html'}")


Steps = Annotated[int | None, typer.Option(help="Updates; the preset's if not given.")]
Batch = Annotated[int | None, typer.Option(help="Images per update.")]
Rate = Annotated[float | None, typer.Option("--lr", help="Highest learning rate.")]
Minutes = Annotated[float, typer.Option(help="Stop, resumably, after so long; 0 is no limit.")]
Bf16 = Annotated[bool | None, typer.Option(help="bfloat16 autocast in the forward pass.")]
Weights = Annotated[Path, typer.Option(help="Checkpoint to write (.safetensors).")]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Devices = Annotated[int, typer.Option(help="GPUs of this machine that train together.")]
Nodes = Annotated[int, typer.Option(help="Machines that train together; see docs/training.md.")]


@train.command("completer")
def train_completer(
    name: Annotated[
        str,
        typer.Argument(
            help="aipo, aipo-r, flow, diffusion, vaeac, pic, anp, ce, or vae: the unconditional "
            "VD-VAE."
        ),
    ] = "aipo",
    data: Data = "digits",
    size: Size = None,
    vae: Annotated[
        Path | None,
        typer.Option(help="Trained VD-VAE that aipo or aipo-r extends and leaves frozen."),
    ] = None,
    init: Annotated[
        Path | None,
        typer.Option(help="Trained completer to start from; AIPO's perhaps of another size."),
    ] = None,
    masks: Annotated[
        str, typer.Option(help="squares (all hidden but a few squares) or holes (the inverse).")
    ] = "squares",
    architecture: Annotated[
        str,
        typer.Option(
            help="small, or the paper's for aipo, aipo-r and vae: cifar10, ffhq-256, chest-256."
        ),
    ] = "small",
    out: Weights = Path("completer.safetensors"),
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    minutes: Minutes = 0.0,
    bf16: Bf16 = None,
    seed: Seed = 0,
    device: Device = "cpu",
    devices: Devices = 1,
    nodes: Nodes = 1,
) -> None:
    """Train a completer, or an unconditional VD-VAE. Resumes where it stopped."""
    with explained():
        from boed.completion import VDVAE, registry
        from boed.completion.training import preset, train_vae
        from boed.completion.training import train_completer as run

        images, val = _training_data(data, size)
        config, settings = preset(name, images, architecture)
        settings = _changed(settings, steps, batch, lr, minutes, bf16, seed, device, devices, nodes)
        begun = registry.LEARNED[name].load(init) if init is not None else None
        trained = VDVAE.load(vae) if vae is not None else None
        first = settings.ranks().first
        with _training_bar(settings.steps, first) as on_step:
            if name == "vae":
                train_vae(
                    images,
                    val,
                    config,
                    settings=settings,
                    out=out,
                    on_step=on_step,
                    command=command(),
                )
            else:
                run(
                    name,
                    images,
                    val,
                    settings=settings,
                    out=out,
                    config=None if trained else config,
                    vae=trained,
                    init=begun,
                    masks=masks,
                    on_step=on_step,
                    command=command(),
                )
        if first:
            typer.echo(f"checkpoint: {out}")


@train.command("classifier")
def train_classifier(
    data: Data = "digits",
    size: Size = None,
    kind: Annotated[str, typer.Option(help="small, or densenet121 as in the paper.")] = "small",
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    init: Annotated[
        Path | None,
        typer.Option(help="Trained classifier to start from, perhaps of another size."),
    ] = None,
    out: Weights = Path("classifier.safetensors"),
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    minutes: Minutes = 0.0,
    bf16: Bf16 = None,
    seed: Seed = 0,
    device: Device = "cpu",
    devices: Devices = 1,
    nodes: Nodes = 1,
) -> None:
    """Train and calibrate a classifier of partly seen scenes. Resumes where it stopped."""
    with explained():
        from dataclasses import replace

        from rich.console import Console
        from rich.table import Table

        from boed.classifiers.training import preset
        from boed.classifiers.training import train_classifier as run

        images, val = _training_data(data, size)
        config, settings = preset(images)
        config = replace(config, kind=kind)
        settings = _changed(settings, steps, batch, lr, minutes, bf16, seed, device, devices, nodes)
        first = settings.ranks().first
        with _training_bar(settings.steps, first) as on_step:
            model = run(
                images,
                val,
                settings,
                out=out,
                config=config,
                fraction=patch,
                on_step=on_step,
                init=init,
                command=command(),
            )
        if not first:
            return
        table = Table("looks", "AUROC", "accuracy", "NLL (nats)", "ECE", title=f"{data}, val")
        for looks, figures in model.provenance["scores"]["val"].items():
            table.add_row(looks, *(f"{value:.3f}" for value in figures.values()))
        Console().print(table)
        typer.echo(f"checkpoint: {out}")


@train.command("screen")
def train_screen(
    data: Data = "digits",
    size: Size = None,
    classifier: Annotated[
        str | None, typer.Option(help="Path of the checkpoint to distil; the shipped one if none.")
    ] = None,
    patch: Annotated[float, typer.Option(help="Width of a look over that of the scene.")] = 0.25,
    out: Weights = Path("screen.safetensors"),
    steps: Steps = None,
    batch: Batch = None,
    lr: Rate = None,
    minutes: Minutes = 0.0,
    bf16: Bf16 = None,
    seed: Seed = 0,
    device: Device = "cpu",
    devices: Devices = 1,
    nodes: Nodes = 1,
) -> None:
    """Distil a classifier into a screen, for `--search screen`. Resumes where it stopped."""
    with explained():
        from boed.classifiers.distilling import SETTINGS
        from boed.classifiers.distilling import train_screen as run
        from boed.zoo import classifier_for

        images, val = _training_data(data, size)
        judge = classifier_for(val, classifier)
        settings = _changed(SETTINGS, steps, batch, lr, minutes, bf16, seed, device, devices, nodes)
        first = settings.ranks().first
        with _training_bar(settings.steps, first) as on_step:
            screen = run(
                judge,
                images,
                val,
                out=out,
                settings=settings,
                patch=patch,
                on_step=on_step,
                command=command(),
            )
        if not first:
            return
        figures = screen.provenance["scores"]["val"]
        typer.echo(
            f"KL from the classifier on val: {figures['kl']:.4f} nats "
            f"({figures['kl_unchanged']:.4f} if no look changed anything)"
        )
        typer.echo(f"checkpoint: {out}")


def _training_data(data: str, size: int | None) -> tuple[Any, Any]:
    """Train and val images; of full MNIST, never those that `digits` keeps for val and test."""
    from boed.data.load import load
    from boed.data.readers.digits import bordered, without_shipped_test
    from boed.zoo import DEFAULT_SIZE

    size = size or DEFAULT_SIZE.get(data)
    if data == "mnist_28" and size in (28, 32):
        images = without_shipped_test(load(data, 28, "train"))
        return bordered(images) if size == 32 else images, load("digits", size, "val")
    return load(data, size, "train"), load(data, size, "val")


def _changed(
    settings: Any,
    steps: int | None,
    batch: int | None,
    lr: float | None,
    minutes: float,
    bf16: bool | None,
    seed: int,
    device: str = "cpu",
    devices: int = 1,
    nodes: int = 1,
) -> Any:
    from dataclasses import replace

    given = {"steps": steps, "batch": batch, "lr": lr, "bf16": bf16}
    stated: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
    where = {"device": device, "devices": devices, "nodes": nodes}
    return replace(settings, minutes=minutes, seed=seed, **stated, **where)


@contextmanager
def _training_bar(steps: int, shown: bool = True) -> Iterator[Any]:
    bar = progress_bar()
    bar.disable = not shown
    with bar:
        task = bar.add_task("training", total=steps, rate="")

        def on_step(step: int, loss: float) -> None:
            speed = bar.tasks[task].speed
            rate = f"{speed:.1f} steps/s" if speed else ""
            bar.update(task, completed=step, rate=f"loss {loss:.4f} {rate}")

        yield on_step


@data_app.command("list")
def data_list() -> None:
    """What can be loaded by name, and what is there already."""
    with explained():
        from rich.console import Console
        from rich.table import Table

        from boed.data.load import catalogue

        table = Table("name", "what", "pixels", "here", "how to get it")
        for entry in catalogue():
            sizes = "/".join(map(str, entry.sizes))
            table.add_row(
                entry.name, entry.what, sizes, "yes" if entry.available else "", entry.how
            )
        Console().print(table)


@data_app.command("fetch")
def data_fetch(
    name: Annotated[str, typer.Argument(help="pneumoniamnist, chestmnist or cifar10.")],
    size: Annotated[int, typer.Option(help="MedMNIST's: 28, 64, 128 or 224 pixels.")] = 64,
) -> None:
    """Download a data set, resuming what was begun, and check it."""
    with explained():
        from boed.data.readers import cifar10, medmnist

        found = cifar10.fetch() if name == "cifar10" else medmnist.fetch(name, size)
        typer.echo(f"{name}: {found}")


def main() -> None:
    """Entry point of the command."""
    app()


if __name__ == "__main__":
    main()
