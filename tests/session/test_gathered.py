"""Many sessions as one run: what their logs say together is what happened in each."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from boed.acquire import acquire
from boed.cli import app
from boed.data.readers.sessions import read_sessions
from boed.policies import CentreOut, Random
from boed.report import results as benchmark_results
from boed.report.page import timing
from boed.sensors import Features, KSpaceLines, PatchSensor, Sensor
from boed.sensors.reading import read
from boed.session import Session
from boed.session.gathered import gathered, report_sessions
from boed.session.report import report_log
from tests.doubles import ClueClassifier, Clues, Constant, FindingsClassifier

SENSOR = PatchSensor(16, 0.25, 4)
DATA = Clues(((8, 4), (0, 8))).dataset(6)
EVEN = Constant((-0.693147, -0.693147))


def session(path: Path, row: int, policy: Any = None) -> Session:
    return Session(
        SENSOR, policy or CentreOut(), ClueClassifier(), path=path, shape=(1, 16, 16), seed=row
    )


def take(run: Session, row: int, number: int) -> None:
    """So many looks at a scene, one after another."""
    for _ in range(number):
        (look,) = run.suggest()
        run.ingest(look, read(SENSOR, DATA.scenes([row]), torch.tensor(look.design)))


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six sessions of one to three looks, of which one knows no truth and one has read nothing."""
    folder = tmp_path_factory.mktemp("logs")
    for row in range(6):
        with session(folder / f"scene-{row}", row) as run:
            if row == 1:  # a look that failed is none
                run.ingest(run.suggest()[0], None)
            take(run, row, (3, 2, 1, 3, 3, 0)[row])
            if row != 4:
                run.label(int(DATA.labels[row]))
    return folder


def test_they_are_what_acquire_does_at_the_same_scenes(logs: Path) -> None:
    found = gathered(logs)
    assert found["scene"].values.tolist() == ["scene-0", "scene-1", "scene-2", "scene-3"]
    assert found["looks"].values[0, 0].tolist() == [3, 2, 1, 3]
    assert found["label"].values.tolist() == DATA.labels[:4].tolist()
    path = acquire(
        DATA.scenes([0, 3]), SENSOR, CentreOut(), steps=3, classifier=ClueClassifier(), seed=[0, 3]
    )
    for number, name in enumerate(("scene-0", "scene-3")):
        one = found.sel(scene=name).isel(policy=0, seed=0)
        assert np.allclose(one["log_belief"], path.log_beliefs[number], atol=1e-6)
        assert np.array_equal(one["design"], path.designs[number])
        assert np.allclose(one["cost"], SENSOR.cost(path.designs[number]))
    short = found.sel(scene="scene-2").isel(policy=0, seed=0)
    assert np.isnan(short["design"].values[1:]).all()
    assert np.array_equal(short["log_belief"][2], short["log_belief"][1])
    taken = {tuple(row) for row in found["candidates"].values.tolist()}
    seen = found["design"].values.reshape(-1, 2)
    assert taken == {tuple(row) for row in seen[~np.isnan(seen).any(1)].tolist()}
    assert (found["candidate_mask"].sum(("y", "x")) == 16).all()


class Promising:
    """Says of each look that it is worth a nat, a quarter of which is too much."""

    deterministic = True

    def choose(self, observation: Any, sensor: Sensor, seed: Any = 0, **_: Any) -> Any:
        decision = CentreOut().choose(observation, sensor, seed)
        scores = torch.ones(len(observation), len(decision.candidates))
        curse = torch.full((len(observation),), 0.25)
        return replace(decision, scores=scores, winners_curse=curse)


def test_what_was_expected_of_several_looks_together_is_not_told_of_one(tmp_path: Path) -> None:
    with session(tmp_path / "logs" / "one", 0, Promising()) as run:
        (alone,), (second,) = run.suggest(), run.suggest()
        for look in (second, alone):
            run.ingest(look, read(SENSOR, DATA.scenes([0]), torch.tensor(look.design)))
        take(run, 0, 1)
        run.label(0)
    eig = [each.eig for each in run.looks]
    assert None not in eig
    results = gathered(tmp_path / "logs")
    assert results["score"].values.ravel().tolist() == pytest.approx(
        [np.nan, eig[0], eig[2]], nan_ok=True
    )
    assert [each.winners_curse for each in run.looks] == [0.25] * 3
    assert results["winners_curse"].values.ravel().tolist() == pytest.approx(
        [np.nan, 0.25, 0.25], nan_ok=True
    )
    report_log(tmp_path / "logs" / "one")
    page = (tmp_path / "logs" / "one" / "report.html").read_text()
    assert page.count('<td class="n">0.250</td>') == 3


KINDS: dict[str, tuple[Callable[[], Sensor], tuple[int, int, int], object, object]] = {
    "features": (lambda: Features(9), (1, 1, 9), EVEN, 0),
    "colour": (lambda: PatchSensor(16, 0.5, 4), (3, 16, 16), EVEN, 1),
    "findings": (lambda: PatchSensor(16, 0.25, 4), (1, 16, 16), FindingsClassifier(), [1, 0]),
    "no pixels": (lambda: KSpaceLines((6, 8)), (1, 6, 8), EVEN, 1),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_session_has_its_report(name: str, tmp_path: Path) -> None:
    make, shape, classifier, label = KINDS[name]
    sensor, scene = make(), torch.rand(1, *shape)
    for number in range(3):
        with Session(
            sensor, Random(), classifier, path=tmp_path / "logs" / str(number), shape=shape  # type: ignore[arg-type]
        ) as run:  # fmt: skip
            for _ in range(number + 1):
                (look,) = run.suggest()
                run.ingest(look, read(sensor, scene, torch.tensor(look.design)))
            run.label(label)  # type: ignore[arg-type]
    report_sessions(tmp_path / "logs", tmp_path / "figures")
    page = (tmp_path / "logs" / "report.html").read_text()
    assert "3 of 3 sessions" in page
    assert "whole scene" not in page
    assert (tmp_path / "figures" / "curves.png").exists()
    stored = benchmark_results.load(tmp_path / "logs" / "results.nc")
    assert stored["looks"].values.ravel().tolist() == [1, 2, 3]


def test_the_command_tells_of_a_folder_of_logs(logs: Path) -> None:
    for _ in range(2):  # what it wrote is no log
        said = CliRunner().invoke(app, ["report", str(logs)])
        assert said.exit_code == 0, said.output
    summary = json.loads((logs / "summary.json").read_text())
    assert summary["scenes"] == 4
    ((_, seconds, each),) = timing(gathered(logs))
    assert each == pytest.approx(seconds / 9)  # the looks that were taken, 3 + 2 + 1 + 3
    found = gathered(logs).isel(policy=0, seed=0, look=3)
    truth = found["log_belief"].isel(answer=found["label"])
    assert summary["policies"]["sessions"]["nll"]["mean"][3] == pytest.approx(-float(truth.mean()))
    assert summary["full_image"] == {"auroc": None, "accuracy": None, "nll": None}


def test_sessions_that_cannot_be_told_of_together_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    with session(folder / "a", 0) as run:
        take(run, 0, 1)
    with pytest.raises(ValueError, match=r"of 1 sessions none has read anything and knows the tru"):
        gathered(folder)
    with session(folder / "a", 0) as run:
        run.label(0)
    other = PatchSensor(16, 0.25, 7)
    with Session(other, Random(), ClueClassifier(), path=folder / "b", shape=(1, 16, 16)) as run:
        (look,) = run.suggest()
        run.ingest(look, read(other, DATA.scenes([0]), torch.tensor(look.design)))
        run.label(0)
    with pytest.raises(
        ValueError, match=r"log .*b is of sensor PatchSensor .*, .*a of PatchSensor"
    ):
        gathered(folder)
    said = CliRunner().invoke(app, ["report", str(tmp_path)])
    assert said.exit_code == 2
    assert "or a folder of such logs" in " ".join(said.output.split())


def test_a_log_that_was_never_begun_is_passed_over_and_one_of_another_kind_named(
    tmp_path: Path,
) -> None:
    for split in ("train", "val"):
        with session(tmp_path / "logs" / split / "a", 0) as run:
            take(run, 0, 1)
            run.label(0)
    killed = tmp_path / "logs" / "killed" / "log.jsonl"  # before its first line was written
    killed.parent.mkdir()
    killed.touch()
    assert gathered(tmp_path / "logs")["scene"].values.tolist() == ["train/a", "val/a"]
    assert len(read_sessions(tmp_path / "logs", "train")[0]) == 1
    killed.write_text('{"n": 0, "event": "begin", "session": "model"}\n')
    for reads in (gathered, lambda folder: read_sessions(folder, "train")):
        with pytest.raises(
            ValueError,
            match=r"log .*killed (is of a session with a Pyro|has no beginning with a scene)",
        ):
            reads(tmp_path / "logs")
