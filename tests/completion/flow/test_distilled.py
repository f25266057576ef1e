"""Few steps of a distilled flow go where many of its teacher's go."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from boed.completion.flow.distilled import DistilledFlow
from boed.completion.flow.matching import FlowConfig, FlowMatching
from boed.completion.training import train_completer
from boed.data.observation import Observation
from boed.training.config import TrainingConfig
from tests.completion.flow.test_matching import SMALL, TowardsGaussian

CONFIG = FlowConfig(**SMALL, steps=2)
SETTINGS = TrainingConfig(steps=3, batch=4, every=3)


def taught(steps: int = 2) -> DistilledFlow:
    """By the flow that carries N(0, 1) to N(0.3, 0.5^2)."""
    teacher = FlowMatching(CONFIG)
    teacher.network = TowardsGaussian(0.3, 0.5)
    model = DistilledFlow(replace(CONFIG, steps=steps))
    model.learn_from(teacher)
    return model


class InOneStep(nn.Module):
    """Half-way and whole, x -> m t + sqrt(v(t) / v(s)) (x - m s): the exact map of the flow."""

    def forward(self, image, t):
        x, s = image[:, :1], t[:, None, None, None]
        end = s + 0.5
        variance = lambda at: (1 - at) ** 2 + (at * 0.5) ** 2  # noqa: E731
        there = 0.3 * end + (variance(end) / variance(s)).sqrt() * (x - 0.3 * s)
        return (there - x) / 0.5


def test_the_loss_is_least_where_a_step_leads_as_far_as_the_teacher():
    model, observation = taught(), Observation.nothing(64, 1, 8)
    scene = torch.rand(64, 1, 8, 8)
    torch.manual_seed(0)
    untrained = float(model.loss(scene, observation).detach())
    model.network = InOneStep()
    torch.manual_seed(0)
    assert float(model.loss(scene, observation)) < 1e-3 * untrained


def test_so_many_evaluations_as_steps_and_no_more():
    calls = []
    model = taught()
    model.network.register_forward_hook(lambda *_: calls.append(1))
    model.draw(Observation.nothing(2, 1, 8), 3, seed=0)
    assert len(calls) == 2


def test_two_exact_steps_draw_the_gaussian():
    model = taught()
    model.network = InOneStep()
    values = (model.draw(Observation.nothing(1, 1, 8), 300, seed=0) - 0.4) / 0.2
    assert abs(float(values.mean()) - 0.3) < 0.02
    assert abs(float(values.std()) - 0.5) < 0.02


def test_the_teacher_is_no_part_of_the_model():
    model = taught()
    alone = DistilledFlow(CONFIG)
    assert model.state_dict().keys() == alone.state_dict().keys()
    assert len(list(model.parameters())) == len(list(alone.parameters()))


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (DistilledFlow, "init is DistilledFlow, expected FlowMatching"),
        (None, "init is missing: flow-distilled learns from a trained flow"),
    ],
)
def test_it_needs_a_flow_to_learn_from(train, val, tmp_path, teacher, message):
    init = None if teacher is None else teacher(CONFIG)
    with pytest.raises(ValueError, match=message):
        train_completer(
            "flow-distilled", train, val, training=SETTINGS, out=tmp_path / "m.safetensors",
            config=CONFIG, init=init,
        )  # fmt: skip
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("change", [{"size": 16}, {"mean": 0.5}, {"std": 0.1}])
def test_a_flow_of_other_images_is_refused(change):
    with pytest.raises(ValueError, match="teacher"):
        DistilledFlow(CONFIG).learn_from(FlowMatching(replace(CONFIG, **change)))
    with pytest.raises(ValueError, match="learns from a trained one"):
        DistilledFlow(CONFIG).loss(torch.rand(1, 1, 8, 8), Observation.nothing(1, 1, 8))


def test_training_begins_with_the_teacher_s_weights_and_goes_on(train, val, tmp_path):
    flow = train_completer(
        "flow", train, val, training=SETTINGS, out=tmp_path / "flow.safetensors", config=CONFIG
    )
    out = tmp_path / "few.safetensors"

    def go(**changes):
        return train_completer(
            "flow-distilled", train, val, training=replace(SETTINGS, **changes), out=out,
            config=CONFIG, init=flow,
        )  # fmt: skip

    go(minutes=1e-9)
    resumed = go()
    out.unlink()
    whole = go()
    for name, weight in whole.state_dict().items():
        assert torch.equal(weight, resumed.state_dict()[name])
    assert whole.provenance["init"]["steps"] == 3
