"""Many sessions as one run: what came of their looks, from their logs alone."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from boed.benchmark.thumbnails import small
from boed.data.readers.sessions import logs_in, seen_after, shown_by
from boed.foundation.events import Event, effective, read_events
from boed.foundation.identity import RESULTS
from boed.report import results as benchmark_results
from boed.report.again import write_benchmark
from boed.report.results import INSTRUMENT
from boed.session.account import Account, Look, begun

if TYPE_CHECKING:
    import xarray as xr

UNSEEN = 0.5
"""Grey of what no look has shown, in the pictures of scenes."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Told:
    """A session whose truth is known.

    Attributes:
        log: its folder.
        begin: facts of its beginning.
        account: what happened.
        alone: EIG of each reading's look in nats, NaN where none was estimated or other looks were
            pending when it was suggested, whose information that estimate has in it.
        curses: how much too high each of them is on average.
        shown: which pixels each reading showed, `[T, H, W]`; None of sensors that read no pixels.
        picture: what was seen in the end, `[C, H, W]`.
    """

    log: Path
    begin: dict[str, Any]
    account: Account
    alone: list[float]
    curses: list[float]
    shown: NDArray[np.bool_] | None
    picture: torch.Tensor

    @classmethod
    def of(cls, log: Path) -> Told | None:
        """That of a log; None if its truth is not known, or nothing has been read.

        Raises:
            ValueError: the log is damaged.
        """
        events, _ = read_events(log)
        if not events:  # it was killed before its beginning was on the disk
            return None
        account, together = _replayed(events, f"log {log}")
        if account.label is None or not account.taken:
            return None
        looks = [account.looks[each] for each in account.taken]
        shown, picture = _pictures(events, log)
        return cls(
            log=log,
            begin=events[0].facts,
            account=account,
            alone=[_alone(each.eig, each, together) for each in looks],
            curses=[_alone(each.winners_curse, each, together) for each in looks],
            shown=shown,
            picture=picture,
        )

    @property
    def same(self) -> dict[str, Any]:
        """What has to be the same for all that are told of together."""
        design = self.account.looks[self.account.taken[0]].design
        return {
            "sensor": self.begin["sensor"],
            "classifier": self.begin["classifier"],
            "scene": self.begin["shape"],
            "belief": list(self.account.beliefs[0].shape),
            "numbers of a design": len(design),
        }


def report_sessions(folder: Path, figures: Path | None = None) -> xr.Dataset:
    """Write `report.html`, `results.nc` and tables of many sessions into the folder of their logs.

    Raises:
        ValueError: see `gathered`; or a picture that is not boed's lies where a figure would.
        OSError: a file cannot be written.
    """
    results = gathered(folder)
    benchmark_results.save(results, folder / RESULTS)
    write_benchmark(folder, results, figures=figures)
    return results


def gathered(folder: Path) -> xr.Dataset:
    """The sessions of a folder whose truth is known as Results, of one policy and one seed.

    Looks count in the order of their readings; what failed or was vetoed is left out, and so are
    the costs of it. There is no belief on whole scenes, since nobody saw them.

    Args:
        folder: of logs, each a folder with `log.jsonl`.

    Raises:
        ValueError: a log is damaged, no truth is known, or sessions are of different sensors,
            classifiers or scenes.
    """
    logs = logs_in(folder)
    told = [each for each in map(Told.of, logs) if each is not None]
    if not told:
        raise ValueError(
            f"run is '{folder}': of {len(logs)} sessions none has read anything and knows the "
            "truth; tell it by Session.label, also of a session that has ended"
        )
    for each in told:
        for what, value in each.same.items():
            if value != told[0].same[what]:
                raise ValueError(
                    f"log {each.log} is of {what} {value}, {told[0].log} of "
                    f"{told[0].same[what]}; expected one for all sessions of a report"
                )
    return _results(folder, told, sessions=len(logs))


def _results(folder: Path, told: list[Told], *, sessions: int) -> xr.Dataset:
    import xarray as xr

    steps = max(len(each.account.taken) for each in told)
    findings = told[0].account.beliefs[0].ndim == 2
    question = ["finding", "answer"] if findings else ["answer"]
    designs = np.full((len(told), steps, told[0].same["numbers of a design"]), np.nan)
    score, curse, cost = np.full((3, len(told), steps), np.nan)
    beliefs = []
    for row, each in enumerate(told):
        account, number = each.account, len(each.account.taken)
        looks = [account.looks[taken] for taken in account.taken]
        designs[row, :number] = [look.design for look in looks]
        score[row, :number], curse[row, :number] = each.alone, each.curses
        cost[row, :number] = [look.cost for look in looks]
        known = torch.stack(account.beliefs).double()
        beliefs.append(torch.cat([known, known[-1:].expand(steps - number, *known.shape[1:])]))
    candidates, masks = _candidates(told)
    both: tuple[int, ...] = (1, 1)

    def one(values: Any) -> NDArray[Any]:
        """As of one policy and one seed."""
        values = np.asarray(values)
        return values.reshape(both + values.shape)

    axes = ["row", "column"] if designs.shape[-1] == 2 else None
    answers = [f"answer {k}" for k in range(told[0].account.beliefs[0].shape[-1])]
    results = xr.Dataset(
        {
            "log_belief": (
                ["policy", "seed", "scene", "look", *question], one(torch.stack(beliefs))
            ),
            "design": (["policy", "seed", "scene", "step", "axis"], one(designs)),
            "score": (["policy", "seed", "scene", "step"], one(score)),
            "winners_curse": (["policy", "seed", "scene", "step"], one(curse)),
            "cost": (["policy", "seed", "scene", "step"], one(np.nan_to_num(cost))),
            "looks": (["policy", "seed", "scene"], one([len(e.account.taken) for e in told])),
            "label": (["scene", *question[:-1]], np.array([each.account.label for each in told])),
            "seconds": (["policy", "seed"], one(sum(each.account.seconds for each in told))),
            "candidates": (["candidate", "axis"], candidates),
            "candidate_mask": (["candidate", "y", "x"], masks),
            "thumbnail": (
                ["scene", "channel", "v", "u"], small(torch.stack([e.picture for e in told])),
            ),
        },
        coords={
            "policy": [INSTRUMENT],
            "seed": [0],
            "scene": [each.log.relative_to(folder).as_posix() for each in told],
            "look": np.arange(steps + 1),
            "step": np.arange(1, steps + 1),
            "axis": axes or [f"design_{k}" for k in range(designs.shape[-1])],
            "answer": ["absent", "present"] if findings else answers,
        },
        attrs={
            "data": folder.resolve().name,
            "sessions": sessions,
            "sensor_name": told[0].begin["sensor"],
            "classifier_name": told[0].begin["classifier"],
            "decided": ", ".join(sorted({each.begin["policy"] for each in told})),
            "size": told[0].begin["shape"][-1],
            "direct": told[0].shown is not None,
        },
    )  # fmt: skip
    if findings:
        names = [f"finding {k}" for k in range(results.sizes["finding"])]
        results = results.assign_coords(finding=names)
    return results


def _alone(value: float | None, look: Look, together: Container[int]) -> float:
    return np.nan if value is None or look.id in together else value


def _replayed(events: list[Event], where: str) -> tuple[Account, set[int]]:
    """What happened, and the looks that were suggested while others were pending."""
    account = begun(events, where)
    together = set()
    for event in effective(events):
        if event.kind == "suggestion" and account.pending:
            together.add(event.facts["id"])
        account.go_on([events[0], event])
    return account, together


def _pictures(events: list[Event], log: Path) -> tuple[NDArray[np.bool_] | None, torch.Tensor]:
    """What each reading showed, and the picture of all of it."""
    channels, height, width = events[0].facts["shape"]
    readings = [event for event in effective(events) if event.kind == "reading"]
    if not all("shown" in each.arrays for each in readings):
        return None, torch.full((channels, height, width), UNSEEN)
    shown = [shown_by(each, (height, width)) for each in readings]
    values, mask = seen_after(events, f"log {log}")[-1]
    return np.array(shown, dtype=bool), torch.where(mask > 0, values.clamp(0, 1), UNSEEN)


def _candidates(told: list[Told]) -> tuple[NDArray[Any], NDArray[np.float32]]:
    """The different looks that were taken, and what each showed: all, where that is unknown."""
    masks: dict[tuple[float, ...], NDArray[np.float32]] = {}
    _, height, width = told[0].begin["shape"]
    for each in told:
        for number, look in enumerate(each.account.taken):
            design = each.account.looks[look].design
            whole = np.ones((height, width), np.float32)
            masks[design] = whole if each.shown is None else each.shown[number].astype(np.float32)
    return np.array(list(masks), dtype=float), np.stack(list(masks.values()))
