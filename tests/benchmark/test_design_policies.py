"""The benchmark of the literature's table: its page, and a small run of everything."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from boed.deep_adaptive import PolicyTrainingConfig, train_design_policy
from boed.problems import LITERATURE
from boed.problems.names import problem_facts, problem_named

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PAGE = BENCHMARKS.parent / "docs" / "deep_adaptive"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("design_policies_table")


def result(policy: str, lower: float = 1.0, method: str = "random") -> dict[str, Any]:
    return {
        "policy": policy,
        "method": method,
        "lower": lower,
        "lower_error": 0.1,
        "upper": lower + 0.5,
        "upper_error": 0.2,
        "gap": 0.5,
        "ceiling": 4.61,
        "roll_outs": 2000,
        "training": None,
        "machine": None,
    }


def test_the_page_is_what_its_numbers_make_of_it(table: Any) -> None:
    rows = json.loads((PAGE / "summary.json").read_text())["tasks"]
    text = (PAGE / "README.md").read_text(encoding="utf-8")
    place = text.split("<!-- table -->")[1].split("<!-- end of table -->")[0]
    assert place == f"\n\n{table.sections(rows).strip()}\n\n"


def test_every_mark_stands_in_the_table_with_its_source(table: Any) -> None:
    sharper = {"lower": 6.9, "lower_error": 0.1, "upper": 6.95, "upper_error": 0.1}
    mine = result("mine", 6.5, "dad") | {"adapted": sharper}
    text = table.sections({"location-finding-10": [mine]})
    for name, task in LITERATURE.items():
        assert f"### {name}, T = {task.looks}" in text
        for mark in task.marks:
            assert f"{mark.lower:.2f}" in text
            assert mark.source in text
    row = next(line for line in text.splitlines() if "| mine |" in line)
    assert "| 6.50 ± 0.10 | 7.00 ± 0.20 | 4.61 | 6.90 ± 0.10 | 6.95 ± 0.10 | 2,000 |" in row
    assert "7.97, Ivanova et al. 2021, arXiv 2111.02329: not confirmed" in row


def test_trainings_that_differ_by_their_seed_have_a_row_together(table: Any) -> None:
    def trained(policy: str, lower: float, **settings: int) -> dict[str, Any]:
        row = result(policy, lower, "dad")
        told = {"minutes": 3.0, "updates": 100, "machine": {"processor": "abacus"}}
        about = {"settings": settings, "init": None}
        return row | {"training": told | {"settings": about}}

    rows = [trained(f"mine-{seed}", 6.0 + seed, seed=seed, steps=5) for seed in range(3)]
    other = trained("other", 3.0, seed=7, steps=6)
    text = table.sections({"location-finding-10": [*rows, other]})
    assert "| *dad, seeds 0, 1, 2* | 7.00 ± 0.58 | 7.50 ± 0.58 | – |" in text
    assert text.count("seeds") == 1
    assert "| 100 updates, 3.0 min (abacus) |" in text


@pytest.mark.parametrize("name", LITERATURE)
def test_the_command_line_spells_each_task_s_problem(name: str) -> None:
    task = LITERATURE[name]
    assert problem_facts(problem_named(task.asked)) == problem_facts(task.problem)


def test_rows_of_other_policies_stay(table: Any, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("top\n<!-- table -->\nold\n<!-- end of table -->\nend\n")
    table.document({"death-process": [result("random"), result("fixed")]}, docs=tmp_path)
    table.document({"death-process": [result("fixed", 2.0)]}, docs=tmp_path)
    rows = json.loads((tmp_path / "summary.json").read_text())["tasks"]["death-process"]
    assert {row["policy"]: row["lower"] for row in rows} == {"fixed": 2.0, "random": 1.0}
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("top\n")
    assert text.endswith("end\n")
    assert "old" not in text


def test_a_page_without_a_place_for_the_table_is_refused(table: Any, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="has no place <!-- table -->"):
        table.document({}, docs=tmp_path)
    assert not (tmp_path / "summary.json").exists()


def test_shipped_policies_are_found_by_what_they_were_trained_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("design_policies")
    paths = list(BENCHMARKS.parent.glob("policies/*/weights.safetensors"))
    found = bench.trained_policies(LITERATURE["location-finding-10"], paths)
    assert {"deep-adaptive-location-finding-10", "fixed-location-finding-10"} <= set(found)
    assert not bench.trained_policies(LITERATURE["death-process"], paths)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:contrasts is 20")
def test_a_small_run_goes_on_where_it_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    bench = importlib.import_module("design_policies")
    tasks = ["death-process", "prey-population"]
    monkeypatch.setattr(bench, "ASCENT", 2)
    monkeypatch.setattr(bench, "ADAPTED", 20)
    monkeypatch.setattr(bench, "REFINING", bench.REFINING | {"steps": 3, "warmup": 1})
    for name, few in {"STARTS": 64, "CENTRES": 4, "CLIMB": 3, "RISE": 2}.items():
        monkeypatch.setattr(f"boed.eig.model.proposal.{name}", few)
    own = tmp_path / "dad.safetensors"
    settings = PolicyTrainingConfig(looks=4, steps=2, batch=8, contrasts=15)
    train_design_policy(LITERATURE["death-process"].problem, settings=settings, out=own)
    given = bench.parser().parse_args(
        ["--samples=8", "--slow-samples=2", "--contrasts=20", "--minutes=0.02", "--tasks", *tasks]
    )
    given.out, given.trained = tmp_path, [own]
    rows = bench.compute(given)
    assert {name: [row["policy"] for row in each] for name, each in rows.items()} == {
        "death-process": ["random", "fixed", "greedy", "ascent", "dad", "dad step-dad"],
        "prey-population": ["random", "fixed", "greedy"],  # a set has no gradient
    }
    for row in (row for each in rows.values() for row in each):
        assert row["lower"] <= row["ceiling"] + 1e-5
        assert row["gap"] == row["upper"] - row["lower"]
        assert "designs" not in row
        assert row["adapted"]["contrasts"] == 20
    monkeypatch.setattr(bench, "evaluated", None)  # it would fail if it were called
    assert bench.compute(given) == rows
