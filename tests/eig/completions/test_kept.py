"""Completions that are kept by how clear they are, and by agreement of their answers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from boed.completion.completer import Completions, complete
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.eig.completions.agreement import Agreeing
from boed.eig.completions.clarity import Clear, clarity_rate, clearness
from boed.foundation.randomness import SceneNoise, Seeds, per_scene
from boed.report.page import what_was_run
from boed.run import run
from boed.setup import setup
from boed.testing import check_completer

BLANK = Observation.nothing(3, 1, 4)


class Coin:
    """Scenes that are white, black or grey all over."""

    def sample(self, observation: Observation, n: int, seed: Seeds = 0) -> Tensor:
        noise = SceneNoise(per_scene(seed, len(observation)))
        value = noise.uniform(n).mul(3).floor() / 2
        drawn = value[..., None, None, None].expand(-1, -1, *observation.values.shape[1:])
        return torch.where(observation.mask > 0, observation.values, drawn)


class Sure:
    """Sure of what is white or black, undecided about grey."""

    def log_probs(self, observation: Observation) -> Tensor:
        bright = observation.values.mean((1, 2, 3)).clamp(1e-6, 1 - 1e-6)
        return torch.stack([(1 - bright).log(), bright.log()], -1)


def grey(kept: Completions) -> float:
    return float((kept.scenes[..., 0, 0, 0] == 0.5).double().mean())


def test_kept_completions_have_the_odds_of_their_clearness() -> None:
    rate = 2.0
    kept = complete(Clear(Coin(), Sure(), rate=rate, draws=200), BLANK, 20)
    expected = math.exp(-rate * math.log(2))  # of grey to either of the others
    many = complete(Clear(Coin(), Sure(), rate=rate, draws=20), BLANK, 1000)
    assert grey(many) == pytest.approx(expected / (2 + expected), abs=0.03)
    assert kept.weights.sum(0).tolist() == pytest.approx([1.0] * 3)
    assert grey(complete(Clear(Coin(), Sure(), rate=0.0), BLANK, 1000)) == pytest.approx(
        1 / 3, abs=0.05
    )


def test_the_rate_is_the_slope_between_real_scenes_and_completions() -> None:
    real = torch.zeros(300, 1, 4, 4)
    real[:60] = 0.5  # a fifth is unclear, of the completions a third
    blank = Observation.nothing(300, 1, 4)
    found = clarity_rate(Coin(), Sure(), scenes=real, observation=blank, n=20)
    odds = math.log((1 / 3) / (2 / 3)) - math.log(0.2 / 0.8)
    assert found == pytest.approx(odds / math.log(2), rel=0.15)
    unclear = torch.full((300, 1, 4, 4), 0.5)
    assert clarity_rate(Coin(), Sure(), scenes=unclear, observation=blank) == 0.0


def test_they_are_completers() -> None:
    check_completer(Clear(Coin(), Sure(), rate=5.0), (1, 4, 4))
    check_completer(Agreeing(Coin(), Sure()), (1, 4, 4))


def test_labels_stay_with_their_scenes() -> None:
    class Labelled(Coin):
        def complete(self, observation: Observation, n: int, seed: Seeds = 0) -> Completions:
            scenes = self.sample(observation, n, seed)
            labels = (scenes[..., 0, 0, 0] * 2).long()
            return Completions(scenes, torch.full(scenes.shape[:2], 1 / n), labels)

    kept = complete(Clear(Labelled(), Sure(), rate=5.0), BLANK, 6)
    assert kept.labels is not None
    assert torch.equal(kept.labels, (kept.scenes[..., 0, 0, 0] * 2).long())


class Half:
    """Says that a third of all is white, until something was seen."""

    def log_probs(self, observation: Observation) -> Tensor:
        bright = observation.values.mean((1, 2, 3)).clamp(1e-6, 1 - 1e-6)
        bright = bright.where(observation.mask.amax((1, 2, 3)) > 0, torch.tensor(0.9))
        return torch.stack([(1 - bright).log(), bright.log()], -1)


class Coins(Coin):
    """Scenes that are white or black all over, as often."""

    def sample(self, observation: Observation, n: int, seed: Seeds = 0) -> Tensor:
        noise = SceneNoise(per_scene(seed, len(observation)))
        value = noise.uniform(n).round()[..., None, None, None]
        return value.expand(-1, -1, *observation.values.shape[1:])


def test_answers_of_kept_completions_are_those_believed() -> None:
    """Half of the draws are white, nine in ten are believed to be."""
    kept = complete(Agreeing(Coins(), Half(), draws=40), BLANK, 500)
    white = (kept.scenes[..., 0, 0, 0] == 1).double().mean(0)
    assert white.tolist() == pytest.approx([0.9] * 3, abs=0.05)
    assert kept.weights.sum(0).tolist() == pytest.approx([1.0] * 3)


def test_an_answer_that_was_not_drawn_is_not_made_up() -> None:
    """Of ten thousand believed to be white in a tenth only, all are black, one has a white dot."""

    class Black(Coin):
        def sample(self, observation: Observation, n: int, seed: Seeds = 0) -> Tensor:
            drawn = torch.zeros(n, *observation.values.shape)
            drawn[0, :, :, 0, 0] = 1e-3
            return drawn

    drawn = complete(Black(), BLANK, 100)
    factor = Agreeing(Black(), Half()).log_factor(drawn, BLANK)
    assert float((factor.amax(0) - factor.amin(0)).max()) < 0.1


def test_findings_agree_one_by_one() -> None:
    class Findings(Half):
        def log_probs(self, observation: Observation) -> Tensor:
            one = super().log_probs(observation)
            return torch.stack([one, one.flip(-1)], 1)

    drawn = complete(Coins(), BLANK, 50)
    one = Agreeing(Coins(), Half()).log_factor(drawn, BLANK)
    both = Agreeing(Coins(), Findings()).log_factor(drawn, BLANK)
    torch.testing.assert_close(both, 2 * one)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"rate": -1.0}, "rate is -1.0"), ({"rate": 1.0, "draws": 0}, "draws")],
)
def test_bad_input_is_told(wrong: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Clear(Coin(), Sure(), **wrong)  # type: ignore[arg-type]


def test_it_is_asked_for_by_name(tmp_path: Path) -> None:
    made = setup(
        "digits", sensor="patch,grid=3", steps=2, completions=3, policies="boed,random",
        completer="retrieval", reweight="clarity",
    )  # fmt: skip
    assert isinstance(made.completer, Clear)
    assert made.policies["boed"].completer is made.completer  # type: ignore[attr-defined]
    results = run(made, tmp_path / "run", scenes=2)
    rows = dict(what_was_run(results))
    assert rows["completions kept by"] == f"clarity, rate {made.completer.rate:.3g} per nat"
    agreeing = setup("digits", completer="retrieval", reweight="agreement", policies="boed")
    assert isinstance(agreeing.completer, Agreeing)
    assert agreeing.about["kept"] == "agreement of their answers with the belief"
    nats = clearness(made.completer.sample(BLANK_32, 4), made.classifier)
    assert nats.shape == (4, 3)


BLANK_32 = Observation.nothing(3, 1, 32)


def test_without_real_scenes_it_is_told() -> None:
    images = torch.zeros(4, 1, 32, 32, dtype=torch.uint8)
    alone = Dataset(
        name="mine", split="test", images=images, labels=torch.arange(4),
        label_names=tuple("0123456789"),
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"clarity.*neither a val split nor a library"):
        setup(alone, classifier="densenet-digits-32", completer="aipo-digits-32",
              reweight="clarity", policies="boed")  # fmt: skip
