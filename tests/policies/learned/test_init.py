"""Policies begin with the weights of others that fit, whatever those were trained for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from boed.classifiers.networks.densenet import DenseNetConfig
from boed.data.observation import Observation
from boed.foundation.files import save_weights
from boed.policies.learned import CandidateLooks, ValueConfig, ValueNet
from boed.policies.learned.beginning import NETWORKS
from boed.policies.learned.greedy import GreedyNet
from boed.policies.learned.network import LookNet
from boed.policies.learned.training import TRAININGS, train_look_policy
from boed.sensors import PatchSensor
from tests.doubles import ClueClassifier, Clues

TRAIN = Clues(((8, 4), (0, 8))).dataset(24)
GRID, FINER = PatchSensor(16, 0.25, 4), PatchSensor(16, 0.25, 7)
ENCODER = DenseNetConfig(
    size=16, channels=1, outputs=3, stem=4, width=16, growth=(8,), layers=(1,), std=0.1
)
TINY = ValueConfig(encoder=ENCODER, width=16)


def random_network(name: str, path: Path, config: ValueConfig = TINY) -> LookNet:
    """One that values looks, stored."""
    torch.manual_seed(0)
    if name == "greedy":
        config = replace(config, answers=(3,))
    network = NETWORKS[name](config, looks="others", classifier="another")
    for each in network.parameters():
        each.data.normal_(std=0.3)
    if isinstance(network, ValueNet):
        network.scale.fill_(0.5)
    network.save(path, {"data": "elsewhere", "steps": 7})
    return type(network).load(path)


def started(name: str, init: Path, out: Path, **options: Any) -> LookNet:
    """A network of one update that changes nothing."""
    training = replace(
        TRAININGS[name], steps=1, batch=4, lr=1e-30, warmup=0, looks=2, watched=4,
        augmentation="none", precision="fp32",
    )  # fmt: skip
    how = {"sensor": GRID, "config": TINY, "training": training, **options}
    return train_look_policy(
        name, TRAIN, TRAIN, classifier=ClueClassifier(), out=out, init=init, **how
    )


def values(network: LookNet, sensor: PatchSensor = GRID) -> Tensor:
    """After a look, as the first one is valued without the network."""
    looks, mask = CandidateLooks.of(sensor, (1, 16, 16)), torch.zeros(2, 1, 16, 16)
    mask[..., :4, :4] = 1
    found = network(Observation.of(TRAIN.scenes(slice(2)), mask), looks)
    return found / getattr(network, "scale", 1.0)


@pytest.mark.parametrize(
    ("name", "of"), [("value", "value"), ("nonmyopic", "value"), ("greedy", "greedy")]
)
def test_it_begins_as_the_one_it_started_from(name: str, of: str, tmp_path: Path) -> None:
    init = tmp_path / "init.safetensors"
    theirs = random_network(of, init)
    ours = started(name, init, tmp_path / "out.safetensors")
    scale = getattr(theirs, "scale", torch.ones(()))
    torch.testing.assert_close(values(ours), values(theirs) * scale, rtol=5e-3, atol=5e-3)
    if isinstance(ours, GreedyNet):
        assert isinstance(theirs, GreedyNet)
        assert all(map(torch.equal, ours.predictor.parameters(), theirs.predictor.parameters()))
    said = ours.provenance["about"]["init"]
    assert (said["policy"], said["data"], said["steps"], said["looks"]) == (
        *(of, "elsewhere", 7, "others"),
    )
    theirs.save(init, {"data": "nowhere"})
    with pytest.raises(ValueError, match="init: data is 'elsewhere' there, now 'nowhere'"):
        started(name, init, tmp_path / "out.safetensors")


def test_cells_that_are_divided_otherwise_begin_with_their_mean(tmp_path: Path) -> None:
    init, finer = tmp_path / "init.safetensors", replace(TINY, fine=4)
    theirs = random_network("value", init, replace(TINY, fine=2))
    ours = started("value", init, tmp_path / "out.safetensors", sensor=FINER, config=finer).network
    assert ours.places.weight.shape[0] == 16 * 16  # type: ignore[union-attr]
    each = ours.places.weight.unflatten(0, (16, 16))[:, :, :, 0, 0]  # type: ignore[union-attr, operator]
    mean = theirs.network.places.weight.unflatten(0, (16, 4)).mean(1)  # type: ignore[union-attr, operator]
    torch.testing.assert_close(each, mean[..., 0, 0][:, None].expand_as(each), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("name", ["value", "nonmyopic"])
def test_another_network_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    init, out = tmp_path / "init.safetensors", tmp_path / "out.safetensors"
    random_network("value", init, replace(TINY, width=8))
    with pytest.raises(ValueError, match=r"init .* has other layers than the model to train: .*16"):
        started(name, init, out)
    save_weights(init, {"x": torch.ones(1)}, {"kind": "cat"})
    with pytest.raises(ValueError, match="cat"):
        started(name, init, out)
    assert not out.exists()
