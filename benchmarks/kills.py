"""Kills at random moments: what was interrupted ends with the results of an undisturbed run.

    python benchmarks/kills.py --kills 30 --out benchmarks/results/kills.json

Runs of `boed benchmark` with each engine, of `boed evaluate` and of `boed train` are ended by
SIGKILL, SIGTERM or SIGINT at moments drawn uniformly over the time of an undisturbed run, begun
again by the same command, and in the end compared with that run: designs, beliefs, figures and
weights bit for bit. Counted besides: processes and temporary files that a kill left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tomli_w
import xarray as xr
from measuring import machine
from safetensors.torch import load_file

from boed.foundation.files import write_json
from boed.training.checkpoints import best_path
from boed.training.curve import curve_path, read_curve

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
TIMES = ("seconds",)
"""Variables of results that are times, which differ from run to run."""

ROOT = Path(__file__).parents[1]


def benchmark(engine: str, scenes: int) -> list[str]:
    """What is typed for a benchmark."""
    return [
        *("benchmark", "--scenes", str(scenes), "--steps", "2", "--grid", "5"),
        *("--policies", "boed,random", "--completions", "4", "--engine", engine),
        *([] if engine == "local" else ["--workers", "2"]),
    ]


def evaluation(scenes: int) -> list[str]:
    """What is typed for an evaluation of completers."""
    return [
        *("evaluate", "completer", "retrieval", "aipo", "--scenes", str(scenes)),
        *("--deep", "8", "--completions", "4", "--seeds", "2"),
    ]


def training(folder: Path, source: str, changes: dict[str, Any], steps: int) -> list[str]:
    """What is typed for a training: a shipped recipe of fewer steps, from scratch."""
    recipe = tomllib.loads((ROOT / source / "recipe.toml").read_text())
    recipe.pop("init", None)
    recipe["training"] |= {"steps": steps, "every": 5, "batch": 8}
    recipe["architecture"] |= changes
    path = folder / f"{Path(source).name}.toml"
    path.write_text(tomli_w.dumps(recipe))
    return ["train", "recipe", str(path)]


def same_results(ours: Path, theirs: Path) -> bool:
    """Whether two run folders hold the same results, times apart."""
    with xr.open_dataset(ours / "results.nc") as a, xr.open_dataset(theirs / "results.nc") as b:
        return a.drop_vars(TIMES).equals(b.drop_vars(TIMES))


def same_weights(ours: Path, theirs: Path) -> bool:
    """Whether two checkpoints hold the same tensors."""
    a, b = load_file(ours), load_file(theirs)
    return a.keys() == b.keys() and all(bool((a[key] == b[key]).all()) for key in a)


def same_training(ours: Path, theirs: Path) -> bool:
    """Whether two trainings left the same weights, last and best, and curves of the same steps."""
    pairs = [(ours, theirs), (best_path(ours), best_path(theirs))]
    steps = [[int(row["step"]) for row in read_curve(curve_path(each))] for each in pairs[0]]
    return steps[0] == steps[1] and all(
        one.exists() == other.exists() and (not one.exists() or same_weights(one, other))
        for one, other in pairs
    )


@dataclass
class Case:
    """A command, and how its output is compared."""

    command: list[str]
    out: str
    same: Callable[[Path, Path], bool]
    kills: list[dict[str, Any]] = field(default_factory=list)


def start(case: Case, out: Path, temporary: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, whose descendants can be told by their environment."""
    temporary.mkdir(exist_ok=True)
    with open(out.parent / f"{out.name}.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "boed", *case.command, "--out", str(out)],
            env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def descendants(temporary: Path) -> list[int]:
    """Processes that were started with this folder for temporary files."""
    alive = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if f"TMPDIR={temporary}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    alive.append(int(entry.name))
            except OSError:
                continue  # ended meanwhile, or another user's
    return alive


def gone(temporary: Path, patience: float = 30) -> bool:
    """Whether all descendants end by themselves."""
    until = time.monotonic() + patience
    while alive := descendants(temporary):
        if time.monotonic() > until:
            for each in alive:
                os.kill(each, signal.SIGKILL)
            return False
        time.sleep(0.2)
    return True


def left_files(temporary: Path) -> list[str]:
    """Temporary files that are there after a run; Ray's logs and torch's empty cache are theirs."""
    theirs = ("ray", "torchinductor_")
    return sorted(each.name for each in temporary.iterdir() if not each.name.startswith(theirs))


def tried(case: Case, folder: Path, kills: int, chance: random.Random) -> dict[str, Any]:
    """An undisturbed run, and one that is killed so often before it may end."""
    undisturbed, disturbed = folder / "undisturbed" / case.out, folder / "disturbed" / case.out
    for each in (undisturbed, disturbed):
        each.parent.mkdir(parents=True)
    began = time.monotonic()
    if start(case, undisturbed, folder / "tmp-undisturbed").wait():
        log = undisturbed.parent / f"{undisturbed.name}.log"
        raise RuntimeError(f"boed {' '.join(case.command)} failed:\n{log.read_text()[-2000:]}")
    seconds = time.monotonic() - began
    temporary, same = folder / "tmp-disturbed", True
    while len(case.kills) < kills:
        moment, number = chance.uniform(0, seconds), chance.choice(SIGNALS)
        process = start(case, disturbed, temporary)
        try:
            process.wait(moment)
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            process.wait(60)
            kill = {"after": round(moment, 2), "by": number.name, "rc": process.returncode}
            case.kills.append({**kill, "no_process": gone(temporary)})
        else:  # it came to its end: compared, and begun anew
            same &= process.returncode == 0 and case.same(disturbed, undisturbed)
            discard(disturbed)
    rc = start(case, disturbed, temporary).wait()
    return {
        "command": f"boed {' '.join(case.command)}".replace(f"{folder.parent}/", ""),
        "undisturbed_seconds": round(seconds, 1),
        "kills": case.kills,
        "same": same and rc == 0 and case.same(disturbed, undisturbed),
        "temporary_files_left": left_files(temporary) + left_files(folder / "tmp-undisturbed"),
    }


def discard(out: Path) -> None:
    """Remove a run folder, or a checkpoint with what lies beside it."""
    if out.is_dir():
        shutil.rmtree(out)
        return
    for each in out.parent.glob(f"{out.stem}*"):
        if each.suffix != ".log":
            each.unlink()


def cases(folder: Path, scenes: int, steps: int) -> dict[str, Case]:
    """All that is killed, by name."""
    small = {"encoder": "16x1,16d2,8x1,8d8,1x1", "decoder": "1x1,8m1,8x1,16m8,16x1", "width": 16}
    train = {
        "train classifier": training(folder, "classifiers/densenet-digits-32", {}, steps),
        "train completer": training(folder, "completion/aipo-digits-32", small, steps),
    }
    return {
        **{
            f"benchmark, {engine}": Case(benchmark(engine, scenes), "run", same_results)
            for engine in ("local", "processes", "ray")
        },
        "evaluate": Case(evaluation(scenes), "run", same_results),
        **{
            name: Case(command, "model.safetensors", same_training)
            for name, command in train.items()
        },
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=30, help="in all")
    parser.add_argument("--scenes", type=int, default=32)
    parser.add_argument("--steps", type=int, default=24, help="of trainings")
    parser.add_argument("--only", help="cases with this in their name")
    parser.add_argument("--seed", type=int, default=0, help="of moments and signals")
    parser.add_argument("--out", type=Path, default=Path("runs/kills.json"))
    options = parser.parse_args(arguments)
    chance = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as work:
        made = cases(Path(work), options.scenes, options.steps)
        made = {name: case for name, case in made.items() if (options.only or "") in name}
        done = {}
        for index, (name, case) in enumerate(made.items()):
            share = options.kills * (index + 1) // len(made) - options.kills * index // len(made)
            done[name] = tried(case, Path(work) / f"case-{index}", share, chance)
            print(
                name, "same" if done[name]["same"] else "DIFFERS", done[name]["kills"], flush=True
            )
    study = {key: value for key, value in vars(options).items() if key != "out"}
    write_json(options.out, {"machine": machine(), "study": study, "cases": done})
    if not all(each["same"] for each in done.values()):
        sys.exit("results differ after a kill")


if __name__ == "__main__":
    main()
