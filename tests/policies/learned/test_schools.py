"""The selector and the policy that looks ahead, beside the one that values the next look."""

from __future__ import annotations

import math
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from boed.acquire import acquire
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.completion.classical.cubes import CubePosterior
from boed.data.dataset import Dataset
from boed.data.observation import Observation
from boed.data.readers.cubes import CubeLaw
from boed.foundation.files import load_weights
from boed.foundation.interruption import Interrupted
from boed.policies import BOED, Policy, TwoStep
from boed.policies.learned import (
    NETWORKS,
    ONE_PASS,
    CandidateLooks,
    LookNet,
    ValueConfig,
    ValueNet,
)
from boed.policies.learned import train_look_policy as train
from boed.policies.learned.beginning import begun
from boed.policies.learned.greedy import RelaxedChoice
from boed.policies.learned.lessons import Returns
from boed.policies.learned.situations import TARGETS, Situations
from boed.sensors import Features, KSpaceLines, PatchSensor
from boed.testing import check_policy
from boed.training.config import (
    LOOK_TRAININGS,
    GreedyTrainingConfig,
    LookTrainingConfig,
    NonmyopicTrainingConfig,
    ValueTrainingConfig,
)
from tests.doubles import ClueCompleter, Clues, Constant

LAW = CubeLaw(contexts=4, bits=1)
EXACT, TABLE = CubePosterior(LAW), Features(9)
TRAIN, VAL = LAW.dataset(2000, 0, split="train"), LAW.dataset(400, 1, split="val")
SMALL = ValueConfig(numbers=9, readings=9, entries=1, width=32)
SHARED: dict[str, Any] = {
    "lr": 1e-2, "warmup": 5, "betas": (0.9, 0.99), "ema": 0.95, "clip": 1.0, "every": 50,
    "looks": 2, "watched": 100, "precision": "fp32",
}  # fmt: skip
LEARNING: dict[str, LookTrainingConfig] = {
    "value": ValueTrainingConfig(steps=60, batch=48, moments=2, candidates=9, **SHARED),
    "greedy": GreedyTrainingConfig(steps=80, batch=64, **SHARED),
    "nonmyopic": NonmyopicTrainingConfig(
        steps=220, batch=96, moments=2, candidates=9, exploring=0.8, **SHARED
    ),
}


def taught(name: str, out: Path, **options: Any) -> LookNet:
    how = {"sensor": TABLE, "training": LEARNING[name], "config": SMALL, **options}
    return train(name, TRAIN, VAL, classifier=EXACT, out=out, **how)


def losses(policy: Policy, rows: Dataset) -> tuple[Tensor, Tensor]:
    """The log loss of each row after two looks, and which features were looked at."""
    path = acquire(rows.scenes(), TABLE, policy, steps=2, classifier=EXACT)
    loss = -path.log_beliefs[:, -1].gather(1, rows.labels[:, None])[:, 0]
    return loss, path.designs[..., 0].long()


@pytest.mark.slow
def test_where_the_context_has_to_be_read_first_those_that_look_ahead_do_not_fail(
    tmp_path: Path,
) -> None:
    """One look at the context gains nothing, and the look after it everything."""
    found = {}
    for name in NETWORKS:
        network = taught(name, tmp_path / f"{name}.safetensors")
        found[name] = losses(ONE_PASS[name](network, EXACT), VAL)
    assert (found["nonmyopic"][1][:, 0] == 0).all()
    assert found["nonmyopic"][0].mean() < 0.1
    for greedy in ("value", "greedy"):
        assert (found[greedy][1][:, 0] > 0).all()
        difference = (found[greedy][0] - found["nonmyopic"][0]).double()
        error = float(difference.std()) / len(VAL) ** 0.5
        assert float(difference.mean()) - 4 * error > 0.2


def test_exact_one_step_design_fails_there_and_two_steps_do_not() -> None:
    rows = VAL.subset(torch.arange(8))
    one = BOED(EXACT, EXACT, n=20)
    loss, first = losses(one, rows)
    assert (first[:, 0] > 0).all()
    assert loss.mean() > 0.2
    loss, first = losses(TwoStep(one, m=9, n_after=8), rows)
    assert (first[:, 0] == 0).all()
    assert loss.median() < 0.01


class Table(nn.Module):
    """A network that says the same of each look, but nothing of those that show nothing new."""

    def forward(self, observation: Observation, looks: CandidateLooks) -> Tensor:
        return torch.arange(9.0).mul(0.1) * looks.new_share(observation)


def test_a_return_is_gain_less_price_and_the_best_that_follows() -> None:
    sensor = Features(9, costs=[1.0 + k for k in range(9)])
    looks = CandidateLooks.of(sensor, (1, 1, 9))
    training = NonmyopicTrainingConfig(steps=1, batch=2, looks=2, price=0.01)
    lesson = Returns(
        looks=looks, sensor=sensor, classifier=EXACT, target=TARGETS["label"], training=training
    )
    scenes, judged = VAL.scenes(slice(2)), torch.zeros(2, 9, dtype=torch.bool)
    judged[:, [3, 8]] = True
    seen = torch.zeros(2, 1, 1, 9)
    seen[1, ..., 0] = 1
    asked = Situations(
        observation=Observation.of(scenes, seen), scene=torch.arange(2),
        moment=torch.arange(2), judged=judged,
    )  # fmt: skip
    gains = torch.full((2, 9), torch.nan).masked_fill(judged, 0.5)
    network: Any = Table()
    wanted = lesson.wanted(network, asked, gains, scenes=scenes, seeds=[0, 1])
    first = [0.5 - 0.04 + 0.8, 0.5 - 0.09 + 0.7]  # 8 follows 3, 7 follows 8
    assert wanted[0, [3, 8]].tolist() == pytest.approx(first)
    assert wanted[1, [3, 8]].tolist() == pytest.approx([0.5 - 0.04, 0.5 - 0.09])  # the last look
    assert wanted[~judged].isnan().all()

    lesson = replace(lesson, sensor=Features(9, sensor.costs, travel=2.0))  # and the way there
    position = torch.tensor([[torch.nan], [0.0]])  # nothing to pay for the first look
    asked = replace(asked, observation=replace(asked.observation, position=position))
    moved = lesson.wanted(network, asked, gains, scenes=scenes, seeds=[0, 1])
    assert moved[0, [3, 8]].tolist() == pytest.approx(first)
    assert (wanted - moved)[1, [3, 8]].tolist() == pytest.approx([0.01 * 6, 0.01 * 16])


@pytest.mark.parametrize("kind", ["table", "pictures", "readings"])
def test_the_predictors_loss_teaches_the_selector_too(kind: str) -> None:
    clues = Clues().dataset(6)
    data, sensor = {
        "table": (TRAIN, TABLE),
        "pictures": (clues, PatchSensor(16, 0.25, 4)),
        "readings": (clues, KSpaceLines(16)),
    }[kind]
    looks = CandidateLooks.of(sensor, (1, *data.shape))
    encoder = DenseNetConfig(
        size=16, channels=1, outputs=3, stem=4, width=8, growth=(8,), layers=(1,)
    )
    picture = ValueConfig(encoder=encoder, width=8) if kind == "pictures" else None
    torch.manual_seed(0)
    judge = Constant([-math.log(3)] * 3)
    network = begun(data, sensor, judge, looks=looks, config=picture, kind=NETWORKS["greedy"])
    training = GreedyTrainingConfig(steps=10, batch=6, looks=2)
    loss = RelaxedChoice(looks=looks, sensor=sensor, training=training)(
        network, data.scenes(slice(6)), data.labels[:6], 0
    )
    answers = len(data.label_names)
    assert loss.item() == pytest.approx(math.log(answers), abs=0.5)
    loss.backward()  # type: ignore[no-untyped-call]
    head: Any = network.network
    assert head.values.output.weight.grad.abs().max() > 0
    predictor: Any = network.predictor
    assert max(float(each.grad.abs().max()) for each in predictor.parameters()) > 0


def test_the_choice_cools() -> None:
    how = GreedyTrainingConfig(steps=101, temperature=2.0, coolest=0.02)
    assert [how.cooled(step) for step in (0, 50, 100)] == pytest.approx([2, 0.2, 0.02])


def test_a_policy_that_pays_for_looks_is_for_their_costs(tmp_path: Path) -> None:
    """One for which looks had no price takes any."""
    quick = replace(LEARNING["nonmyopic"], steps=1, batch=4, watched=10)
    dear = Features(9, costs=torch.arange(1.0, 10.0))
    names = {}
    for price in (0.0, 0.1):
        path = tmp_path / f"{price}.safetensors"
        taught("nonmyopic", path, training=replace(quick, price=price), sensor=dear)
        names[price] = path
    rows = Observation.nothing(2, 1, (1, 9))
    for sensor in (dear, TABLE):
        policy = ONE_PASS["nonmyopic"](NETWORKS["nonmyopic"].load(names[0.0]), EXACT)
        policy.choose(rows, sensor)
    network = NETWORKS["nonmyopic"].load(names[0.1])
    ONE_PASS["nonmyopic"](network, EXACT).choose(rows, dear)
    with pytest.raises(
        ValueError, match=r"trained for costs from 1 to 9 \(\w+\), not for costs from"
    ):
        ONE_PASS["nonmyopic"](network, EXACT).choose(rows, TABLE)


def test_a_training_for_other_costs_is_another_one(tmp_path: Path) -> None:
    quick = replace(LEARNING["nonmyopic"], steps=1, batch=4, watched=10, price=0.1)
    out = tmp_path / "policy.safetensors"
    taught("nonmyopic", out, training=quick, sensor=Features(9, costs=torch.arange(1.0, 10.0)))
    with pytest.raises(ValueError, match=r"costs is 'costs from 1 to 9 .*now 'costs from 50 to 50"):
        taught("nonmyopic", out, training=quick, sensor=Features(9, costs=torch.full((9,), 50.0)))


def test_costs_are_told_with_their_ways() -> None:
    blank = (1, 16, 16)
    near, far = (PatchSensor(16, 0.25, 3, travel=each) for each in (0.1, 0.2))
    looks = CandidateLooks.of(near, blank)
    assert "and up to 1.697 for a way" in looks.costs(near)
    assert len({looks.costs(each) for each in (near, far, PatchSensor(16, 0.25, 3))}) == 3


def test_values_that_are_far_too_high_are_told() -> None:
    network = ValueNet(SMALL, looks="some", classifier="one")
    with pytest.warns(UserWarning, match=r"gained 0.1 nats where 1 were expected; .* by 0.25"):
        assert network.corrected(1.0, 0.1) == 0.25
    assert ValueNet(SMALL, looks="some", classifier="one").corrected(1.0, 0.5) == 0.5


@pytest.mark.parametrize("name", ["greedy", "nonmyopic"])
def test_an_interrupted_training_goes_on_to_the_same_weights(name: str, tmp_path: Path) -> None:
    few = replace(LEARNING[name], steps=4, batch=4, every=2, watched=8)
    taught(name, tmp_path / "whole.safetensors", training=few)

    def stop(step: int, _: float) -> None:
        if step == 3:
            signal.raise_signal(signal.SIGINT)

    out = tmp_path / "parts.safetensors"
    with pytest.raises(Interrupted, match="3 of 4 steps are stored"):
        taught(name, out, training=few, on_step=stop)
    network = taught(name, out, training=few)
    (whole, one), (parts, other) = (
        load_weights(tmp_path / f"{part}.safetensors") for part in ("whole", "parts")
    )
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert one["history"] == other["history"]
    assert network.merit in other["scores"]["val"]
    with pytest.raises(ValueError, match="holds another training: about: looks is 'Features"):
        taught(name, out, training=few, sensor=Features(9, noise=0.1))
    policy = ONE_PASS[name](network, EXACT)
    check_policy(policy, (1, 1, 9), sensor=TABLE)
    with pytest.raises(ValueError, match=f"not for Features, 8 looks.*train policy {name}"):
        policy.choose(Observation.nothing(2, 1, (1, 8)), Features(8))
    with pytest.raises(ValueError, match=f"not for Constant.*train policy {name}"):
        ONE_PASS[name](network, Constant([-math.log(2)] * 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_settings_of_another_policy_are_refused(name: str, tmp_path: Path) -> None:
    for other, kind in LOOK_TRAININGS.items():
        if other != name:
            with pytest.raises(ValueError, match=rf"training is a {kind.__name__}, expected a "):
                taught(name, tmp_path / "none.safetensors", training=LEARNING[other])
    with pytest.raises(ValueError, match="policy is 'gredy': did you mean 'greedy'"):
        train("gredy", TRAIN, VAL, sensor=TABLE, classifier=EXACT, out=tmp_path / "x.safetensors")
    if name == "greedy":
        with pytest.raises(ValueError, match="completer is ClueCompleter; expected none"):
            taught(name, tmp_path / "x.safetensors", completer=ClueCompleter(Clues()))
    assert not list(tmp_path.iterdir())
