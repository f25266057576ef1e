"""Parts of the user's own by `module:Class`: made, used, and what cannot be made is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from boed import run, setup

MODULE = """
import torch

class Grey:
    deterministic = True

    def sample(self, observation, n, seed=0):
        return observation.composite(torch.full((n, *observation.values.shape), 0.5))

class Even:
    def log_probs(self, observation):
        return torch.full((len(observation), 10), 0.1).log()

class Left:
    def choose(self, observation, sensor, seed=0, *, truth=None):
        from boed.policies import CentreOut
        return CentreOut().choose(observation, sensor, seed)

class Likely(Grey):
    log_prob_is, levels, counts = "exact", 2, "hidden"

    def log_prob(self, scene, observation):
        return scene.flatten(1).sum(1)

class Wants:
    def __init__(self, something):
        pass

class Nothing:
    pass
"""

GIVEN: dict[str, str] = {"completer": "Grey", "classifier": "Even", "policies": "Left"}


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / f"parts_of_{tmp_path.name}.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"parts_of_{tmp_path.name}"


def made(**given: Any) -> Any:
    named = {"policies": "boed,random", **given}
    return setup("digits", sensor="patch,grid=3", steps=1, completions=2, **named)


def test_each_part_may_be_of_a_users_module(module: str, tmp_path: Path) -> None:
    named = {part: f"{module}:{name}" for part, name in GIVEN.items()}
    named["policies"] = f"boed,{named['policies']}"
    put_together = made(**named)
    assert type(put_together.classifier).__name__ == "Even"
    assert type(put_together.policies["boed"].completer).__name__ == "Grey"
    results = run(put_together, tmp_path / "run", scenes=2)
    assert results["policy"].values.tolist() == list(put_together.policies)


def test_completions_are_weighted_by_another_completer(module: str, tmp_path: Path) -> None:
    given = {"completer": f"{module}:Grey", "reweight": f"{module}:Even"}
    with pytest.raises(ValueError, match="without sample"):
        made(**given)
    given["reweight"] = f"{module}:Likely"
    put_together = made(**given, policies="boed,random")
    assert type(put_together.completer).__name__ == "Weighted"
    assert put_together.about["checkpoints"]["reweight"]["kind"] == "Likely"
    assert put_together.about["checkpoints"]["completer"]["kind"] == "Grey"
    results = run(put_together, tmp_path / "run", scenes=2)
    assert (results["effective"].sel(policy="boed") >= 1).all()
    assert (results["winners_curse"].sel(policy="boed") >= 0).all()
    with pytest.raises(ValueError, match="reweight np has no log_prob; expected one with a likel"):
        made(completer=f"{module}:Grey", reweight="np")
    with pytest.raises(ValueError, match="reweight is 'agreemnt': did you mean 'agreement'"):
        made(completer=f"{module}:Grey", reweight="agreemnt")
    with pytest.warns(UserWarning, match="reweight has no effect"):
        made(reweight=f"{module}:Likely", policies="random")


@pytest.mark.parametrize("part", GIVEN)
@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("Wants", "cannot be made without arguments: TypeError"),
        ("Nothing", "without (sample|log_probs|choose)"),
        ("Gray", "is '.*:Gray'.*Expected one of|expected one of"),
    ],
)
def test_what_cannot_be_made_is_told(module: str, part: str, name: str, told: str) -> None:
    with pytest.raises(ValueError, match=told) as raised:
        made(**{part: f"{module}:{name}"})
    assert part in str(raised.value)


@pytest.mark.parametrize("part", GIVEN)
def test_a_module_that_is_not_there_is_told(part: str) -> None:
    with pytest.raises(ValueError, match=f"{part}.*there is no module nowhere"):
        made(**{part: "nowhere:Thing"})
