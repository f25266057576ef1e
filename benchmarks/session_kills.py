"""Sessions killed at random points: none loses an acknowledged reading, all resume as undisturbed.

    python benchmarks/session_kills.py --sessions 200 --out benchmarks/results/session_kills.json

Each session is about a digit, with two looks pending, readings out of order and looks that fail. It
runs in a process of its own, which says what was acknowledged, and is ended in one of three ways:
SIGKILL at a moment drawn uniformly over the time of an undisturbed session; a disk that is full
after so many bytes of a file (a limit of the system: what fits is written, then an error); and the
same limit, at which the system ends the process in the middle of what it writes. Then it is resumed
and compared with an undisturbed session: designs, EIG, costs, beliefs and what was seen, bit for
bit.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from measuring import machine

from boed.foundation.events import EVENTS, effective, read_events
from boed.foundation.files import write_json
from boed.live.simulated import Simulated
from boed.session import Session
from boed.setup import Setup, setup

WAYS = ("killed", "disk full", "half-written")

Say = Callable[[dict[str, Any]], None]


def begun(run: Setup, policy: str, row: int, folder: Path) -> Session:
    """The session about a scene, begun or resumed."""
    where = {"path": folder, "shape": (1, 32, 32), "seed": row}
    return Session(run.sensor, run.policies[policy], run.classifier, **where)  # type: ignore[arg-type]


def go_on(session: Session, run: Setup, row: int, *, looks: int, say: Say) -> None:
    """Look until so many readings are taken; what is next depends on what is known alone."""
    instrument = Simulated(run.sensor, run.data.scenes([row]), truth=0, seed=row)
    while len(session.beliefs()) <= looks:
        missing = 2 - len(session.pending)
        if missing > 0 and (suggested := session.suggest(missing)):
            for each in suggested:
                say({"suggested": each.id, "design": each.design})
            continue
        if not session.pending:
            return
        look = session.pending[len(session.looks) % len(session.pending)]
        session.ingest(look, None if look.id % 4 == 3 else instrument.read(look.design))
        say({"ingested": look.id})


def known(session: Session) -> dict[str, Any]:
    """All that has to be the same."""
    return {
        "looks": [vars(each) for each in session.looks],
        "beliefs": session.beliefs(),
        "values": session.observation.values,
        "mask": session.observation.mask,
        "spent": session.spent,
    }


def same(ours: dict[str, Any], theirs: dict[str, Any]) -> bool:
    """Whether two sessions know the same, bit for bit."""
    return all(
        torch.equal(ours[name], part) if isinstance(part, torch.Tensor) else ours[name] == part
        for name, part in theirs.items()
    )


def disturbed(work: Callable[[Say], None], way: str, at: float) -> tuple[list[dict[str, Any]], str]:
    """What a process acknowledged before it was ended, and how it ended.

    Args:
        work: what it does.
        way: one of `WAYS`.
        at: seconds, or bytes that a file may have.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if way != "killed":
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(at), int(at)))
        if way == "half-written":
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        try:
            work(lambda told: _write(writer, told))
        except OSError:
            os._exit(3)
        except BaseException:
            os._exit(4)
        os._exit(0)
    os.close(writer)
    if way == "killed":
        time.sleep(at)
        os.kill(process, signal.SIGKILL)
    with open(reader) as stream:
        told = [json.loads(line) for line in stream]
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        return told, signal.Signals(os.WTERMSIG(status)).name
    return told, {0: "finished", 3: "error", 4: "failed"}[os.WEXITSTATUS(status)]


def _write(writer: int, told: dict[str, Any]) -> None:
    os.write(writer, (json.dumps(told) + "\n").encode())


def lost(told: list[dict[str, Any]], folder: Path) -> list[dict[str, Any]]:
    """What was acknowledged and is not in the log."""
    events = effective(read_events(folder)[0] or [])
    ingested = {each.facts["look"] for each in events if each.kind in ("reading", "failed")}
    suggested = {each.facts["id"]: each.facts for each in events if each.kind == "suggestion"}
    return [
        each
        for each in told
        if (each["ingested"] not in ingested if "ingested" in each else
            suggested.get(each["suggested"], {}).get("design") != each["design"])
    ]  # fmt: skip


def tried(
    run: Setup, policy: str, row: int, *, looks: int, folder: Path, way: str, chance: random.Random
) -> dict[str, Any]:
    """An undisturbed session, and one that is ended once and resumed."""
    began = time.monotonic()
    with begun(run, policy, row, folder / "undisturbed") as session:
        go_on(session, run, row, looks=looks, say=lambda told: None)
        expected = known(session)
    seconds, size = time.monotonic() - began, (folder / "undisturbed" / EVENTS).stat().st_size
    log = folder / "disturbed"

    def work(say: Say) -> None:
        go_on(begun(run, policy, row, log), run, row, looks=looks, say=say)

    ended = "finished"
    while ended == "finished":  # drawn again where it came to its end before
        shutil.rmtree(log, ignore_errors=True)
        at = chance.uniform(0, seconds) if way == "killed" else chance.randrange(1, size)
        told, ended = disturbed(work, way, at)
    end = (log / EVENTS).read_bytes()[-1:] if (log / EVENTS).exists() else b"\n"
    missing = lost(told, log)
    with begun(run, policy, row, log) as session:
        before = len(session.history)
        go_on(session, run, row, looks=looks, say=lambda told: None)
        alike = same(known(session), expected)
    return {
        "policy": policy, "scene": row, "way": way, "at": round(at, 3), "ended": ended,
        "acknowledged": len(told), "events_at_end": before, "lost": missing, "same": alike,
        "half_a_line_left": end not in (b"", b"\n"),
    }  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--looks", type=int, default=6, help="readings of each session")
    parser.add_argument("--completions", type=int, default=4)
    parser.add_argument("--grid", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of moments and sizes")
    parser.add_argument("--out", type=Path, default=Path("runs/session_kills.json"))
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)  # a process that is forked has no more
    chance, names = random.Random(options.seed), ("boed", "random")
    run = setup(
        "digits",
        sensor=f"patch,grid={options.grid}",
        policies=names,
        completions=options.completions,
    )
    for policy in run.policies.values():  # the first look is computed once for all scenes
        Session(run.sensor, policy, run.classifier).suggest()
    done = []
    with tempfile.TemporaryDirectory() as work:
        for number in range(options.sessions):
            each = tried(
                run,
                names[number % 2],
                number % len(run.data),
                looks=options.looks,
                folder=Path(work) / str(number),
                way=WAYS[number % 3],
                chance=chance,
            )
            done.append(each)
            print(number, *(f"{key} {value}" for key, value in each.items()), flush=True)
    totals = {
        way: {
            "sessions": len(rows),
            "ended": Counter(each["ended"] for each in rows),
            "acknowledged": sum(each["acknowledged"] for each in rows),
            "half_a_line_left": sum(each["half_a_line_left"] for each in rows),
            "lost": sum(len(each["lost"]) for each in rows),
            "same": sum(each["same"] for each in rows),
        }
        for way in WAYS
        if (rows := [each for each in done if each["way"] == way])
    }
    study = {key: value for key, value in vars(options).items() if key != "out"}
    write_json(
        options.out, {"machine": machine(), "study": study, "totals": totals, "sessions": done}
    )
    print(json.dumps(totals, indent=1))
    if any(each["lost"] or not each["same"] for each in done):
        sys.exit("a session lost something, or went on otherwise")


if __name__ == "__main__":
    main()
