"""The laws of CUBE and CUBE-NM: what a look tells of the label, and what of where to look next."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from boed.completion.classical.cubes import CubePosterior, ExactCube, ExactCubeNM
from boed.data.load import load
from boed.data.observation import Observation
from boed.data.readers.cubes import LAWS, CubeLaw
from boed.foundation.identity import identity
from boed.testing import check_classifier, check_completer

LAW = CubeLaw(contexts=3, bits=2)
EXACT = {"cube": ExactCube(), "cube_nm": ExactCubeNM(), "small": CubePosterior(LAW)}
ROWS, LABELS, CONTEXTS = LAWS["cube_nm"].draw(600, seed=0)
BITS = [
    1 + 10 * int(c) + int(y) + k for c, y in zip(CONTEXTS, LABELS, strict=True) for k in (0, 1, 2)
]


def after(*features: int) -> Observation:
    """What is known of ROWS after looks at these features."""
    mask = torch.zeros_like(ROWS)
    mask[..., list(features)] = 1
    return Observation.of(ROWS, mask)


def nll(beliefs: Tensor) -> float:
    return float(-beliefs.gather(1, LABELS[:, None]).mean())


def test_the_context_says_nothing_of_the_label_and_where_to_look() -> None:
    exact = ExactCubeNM()
    assert torch.allclose(exact.log_probs(after(0)), torch.tensor(1 / 8).log(), atol=1e-4)
    assert exact.log_contexts(after(0)).argmax(1).eq(CONTEXTS).all()
    assert exact.log_contexts(after(0)).exp().amax(1).min() > 0.99
    blind = exact.log_contexts(after()).exp()
    assert torch.allclose(blind, torch.tensor(0.2), atol=1e-6)


def test_any_other_first_look_says_more_and_leads_nowhere() -> None:
    """Which is what makes greedy policies pass the context over."""
    exact = ExactCubeNM()
    for feature in range(1, 51):
        assert nll(exact.log_probs(after(feature))) < math.log(8) - 0.01
    without = nll(exact.log_probs(after(5, 6, 15, 16, 25)))
    routed = torch.zeros_like(ROWS)
    routed[..., 0] = 1
    for row, context in enumerate(CONTEXTS.tolist()):
        routed[row, ..., [1 + 10 * context + k for k in (2, 4, 6, 7)]] = 1
    assert nll(exact.log_probs(Observation.of(ROWS, routed))) < without - 0.8


@pytest.mark.parametrize("name", ["cube", "cube_nm"])
def test_the_belief_is_calibrated_and_whole_rows_are_known(name: str) -> None:
    data, exact = load(name, split="val"), EXACT[name]
    scenes = data.scenes()
    whole = exact.log_probs(Observation.everything(scenes))
    assert (whole.argmax(1) == data.labels).float().mean() > 0.995
    mask = (torch.rand(scenes.shape, generator=torch.Generator().manual_seed(0)) < 0.1).float()
    belief = exact.log_probs(Observation.of(scenes, mask))
    loss = -belief.gather(1, data.labels[:, None])[:, 0]
    entropy = -(belief.exp() * belief).sum(1)
    difference = (loss - entropy).double()
    assert abs(float(difference.mean())) < 4 * float(difference.std()) / len(data) ** 0.5
    assert data.labels.bincount(minlength=8).min() > 90


@pytest.mark.parametrize("name", EXACT)
def test_it_is_a_classifier_and_a_completer(name: str) -> None:
    exact = EXACT[name]
    shape = (1, 1, len(exact.law.names))
    before = identity(exact)
    check_classifier(exact, shape)
    check_completer(exact, shape)
    assert identity(exact) == before


def test_completions_follow_the_belief() -> None:
    exact = CubePosterior(LAW)
    rows, _, _ = LAW.draw(1, seed=3)
    seen = Observation.of(rows, (torch.arange(16) < 4).float().expand_as(rows))
    drawn = exact.sample(seen, 4000, seed=1)
    whole = exact.log_probs(Observation.everything(drawn[:, 0])).exp().mean(0)
    assert torch.allclose(whole, exact.log_probs(seen)[0].exp(), atol=0.03)


def test_where_bits_stand_and_what_is_refused() -> None:
    assert (LAW.block, len(LAW.names), LAWS["cube"].block) == (5, 16, 10)
    assert LAWS["cube_nm"].names[0] == "context"
    assert LAWS["cube_nm"].names[11] == "block 2 feature 1"
    assert LAW.means[2, 2].tolist() == [0.75] + [0.5] * 12 + [0.25, 0.75] + [0.5]
    values = ROWS.flatten()[torch.arange(600).repeat_interleave(3) * 51 + torch.tensor(BITS)]
    assert ((values - 0.5).abs() - 0.25).abs().max() < 0.25
    with pytest.raises(ValueError, match="contexts is 0, expected at least 1"):
        CubeLaw(contexts=0)
