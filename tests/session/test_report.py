"""The report of a session says what its log says, whatever its sensor and question."""

from __future__ import annotations

import csv
import io
import re
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from boed.cli.report import report
from boed.policies import CentreOut, Random
from boed.sensors import Features, KSpaceLines, PatchSensor, Sensor
from boed.sensors.reading import read
from boed.session import Session
from boed.session.report import report_log
from tests.doubles import Constant, FindingsClassifier

EVEN = Constant((-0.693147, -0.693147))

KINDS: dict[str, tuple[Callable[[], Sensor], tuple[int, int, int], object, object]] = {
    "patch": (lambda: PatchSensor(16, 0.25, 4), (1, 16, 16), Constant((-0.105361, -2.302585)), 1),
    "features": (lambda: Features(9), (1, 1, 9), EVEN, 0),
    "colour": (lambda: PatchSensor(16, 0.5, 4), (3, 16, 16), EVEN, None),
    "findings": (lambda: PatchSensor(16, 0.25, 4), (1, 16, 16), FindingsClassifier(), [1, 0]),
    "no pixels": (lambda: KSpaceLines((6, 8)), (1, 6, 8), EVEN, None),
}  # fmt: skip


def ran(path: Path | None, name: str) -> Session:
    """Taken, failed, vetoed, undone, unasked and pending looks."""
    make, shape, classifier, label = KINDS[name]
    sensor, scene = make(), torch.rand(1, *shape)
    session = Session(sensor, Random(), classifier, path=path, shape=shape, seed=2)  # type: ignore[arg-type]
    first, second, third, fourth = session.suggest(4)
    session.ingest(second, read(sensor, scene, torch.tensor(second.design)))
    session.ingest(first, None, cost=0.25)
    session.undo()
    session.ingest(first, read(sensor, scene, torch.tensor(first.design)), cost=0.25)
    session.ingest(third, None)
    session.veto(fourth)
    session.suggest()
    if label is not None:
        session.label(label)  # type: ignore[arg-type]
    return session


def table(page: str) -> list[dict[str, str]]:
    """The page's table of looks."""
    (data,) = re.findall(r'download="looks.csv" href="data:text/csv;base64,([^"]+)"', page)
    return list(csv.DictReader(io.StringIO(b64decode(data).decode())))


@pytest.mark.parametrize("name", KINDS)
def test_a_log_alone_tells_what_the_session_knows(name: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    session = ran(log, name)
    report(log, tmp_path / "figures")  # while the session goes on
    page = (log / "report.html").read_text()
    if name == "findings":
        session.report(tmp_path / "own.html")
        assert (tmp_path / "own.html").read_text() == page
    assert "Looks: 2 taken, 1 failed, 1 vetoed, 1 pending" in page
    assert f"at a cost of {session.spent:.3f}" in page
    rows = table(page)
    assert [(int(row["look"]), row["status"]) for row in rows] == [
        (1, "taken"), (0, "taken"), (2, "failed"), (3, "vetoed"), (4, "pending"),
    ]  # fmt: skip
    assert [float(row["cost"]) for row in rows] == pytest.approx(
        [session.looks[int(row["look"])].cost for row in rows], abs=1e-3
    )
    assert float(rows[2]["cost so far"]) == pytest.approx(session.spent, abs=1e-3)
    label = KINDS[name][3]
    if label is not None:
        belief = session.beliefs().log()[[1, 2]]
        truth = torch.tensor(label).expand(belief.shape[:-1])[..., None]
        expected = -belief.gather(-1, truth).flatten(1).mean(1)
        told = torch.tensor([float(row["log loss after it"]) for row in rows[:2]])
        torch.testing.assert_close(told, expected, atol=1e-3, rtol=0)
    assert ("reads no pixels" in page) == (name == "no pixels")
    drawn = {each.name for each in (tmp_path / "figures").iterdir()}
    assert drawn == {"beliefs.png"} | ({"seen.png"} if name != "no pixels" else set())
    assert not re.search(r'(src|href)="(?!data:)', page)
    session.close()
    with Session(
        KINDS[name][0](),
        Random(),
        KINDS[name][2],
        path=log,
        shape=KINDS[name][1],
        seed=2,  # type: ignore[arg-type]
    ) as again:  # a report in its folder is none of the log's business
        assert again.looks == session.looks


def test_a_picture_of_somebody_else_stays(tmp_path: Path) -> None:
    ran(tmp_path / "log", "features")
    (tmp_path / "beliefs.png").write_text("mine")
    with pytest.raises(ValueError, match=r"figures: .*beliefs.png exists and was not written by"):
        report(tmp_path / "log", tmp_path)
    assert not (tmp_path / "seen.png").exists()


def test_answers_have_their_names(tmp_path: Path) -> None:
    session = ran(None, "patch")
    session.report(tmp_path / "page.html", answers=["<healthy>", "ill"])
    page = (tmp_path / "page.html").read_text()
    assert "&lt;healthy&gt;: 0.90" in page
    assert "The truth is ill" in page
    with pytest.raises(ValueError, match="answers are 3 names, expected 2"):
        session.report(tmp_path / "page.html", answers=["a", "b", "c"])


def test_what_is_no_log_or_damaged_is_refused(tmp_path: Path) -> None:
    with Session(PatchSensor(8), CentreOut(), EVEN, path=tmp_path / "log") as one:
        one.suggest()
    report_log(tmp_path / "log")
    (tmp_path / "log" / "000000.log_belief.npy").unlink()
    with pytest.raises(ValueError, match=r"000000.log_belief.npy \(log_belief\) is missing"):
        report_log(tmp_path / "log")
    (tmp_path / "log" / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"log .*log has no beginning"):
        report_log(tmp_path / "log")
    (tmp_path / "log" / "log.jsonl").unlink()
    with pytest.raises(ValueError, match=r"which has neither run\.json nor log\.jsonl"):
        report(tmp_path / "log", None)
