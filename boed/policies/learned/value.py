"""Policies that take the look of the highest number in a network's map."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.data.observation import Observation
from boed.eig.completions.beliefs import images_within
from boed.foundation.arguments import checked
from boed.foundation.randomness import Seeds, per_scene
from boed.policies.learned.greedy import GreedyNet
from boed.policies.learned.looks import CandidateLooks
from boed.policies.learned.network import LookNet, NonmyopicNet, ValueNet
from boed.policies.policy import Decision, pick
from boed.sensors.sensor import Restricted, Sensor, candidates, new_readings


@checked
@dataclass
class OnePass:
    """The look of the highest number that a network gives to the candidates, in one pass.

    A network reads the observation once and gives a number to all candidates of a sensor whose
    candidates are always the same. Nothing is completed, and the classifier is not asked. Of looks
    that show nothing new none is chosen while another does.

    Attributes:
        network: trained by `boed train policy`.
        classifier: the one that it was trained for.
        memory: bound on the images held at once, MiB.

    Raises:
        ValueError: the network was trained for another classifier; when choosing, for another
            sensor, other candidates or scenes of another size.
    """

    deterministic = True  # but for ties
    network: LookNet
    classifier: Classifier
    _: KW_ONLY
    memory: int = field(default=512, compare=False)

    def __post_init__(self) -> None:
        check_is_classifier(self.classifier)
        self.network.check_classifier(self.classifier)
        self._looks: tuple[Sensor, CandidateLooks] | None = None

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        """The look of the highest number for each scene, ties broken at random.

        The decision's scores are the gains that the network expects, in nats; None if its numbers
        are something else.
        """
        seeds = per_scene(seed, len(observation))
        designs, gains, new = self._valued(observation, sensor)
        fresh = (new > 0) | ~(new > 0).any(1, keepdim=True)
        chosen = pick(gains.where(fresh, -torch.inf), seeds)
        scores = gains if self.network.expects else None
        return Decision(designs[chosen], candidates=designs, index=chosen, scores=scores)

    def look_values(self, observation: Observation, sensor: Sensor) -> Float[Tensor, "B D"]:
        """The map: the network's number for each candidate look.

        Beside pending looks a gain counts by the share of its new readings that they leave to it.

        Raises:
            ValueError: the network was trained for another sensor, candidates or size.
        """
        return self._valued(observation, sensor)[1]

    @torch.no_grad()
    def _valued(
        self, observation: Observation, sensor: Sensor
    ) -> tuple[Float[Tensor, "D K"], Float[Tensor, "B D"], Float[Tensor, "B D"]]:
        """The candidates, the network's number for each, and how many readings each would add."""
        looks = self.looks_of(_whole(sensor), observation)
        size = images_within(self.memory, observation)
        starts = range(0, len(observation), size)
        values = torch.cat([self.network(observation[slice(k, k + size)], looks) for k in starts])
        new = new_readings(observation, looks.shown)
        if not isinstance(sensor, Restricted):
            return looks.designs, values, new
        designs = candidates(sensor, observation)
        left = sensor.unread(observation, designs)
        at = (designs[:, None] == looks.designs).all(-1).int().argmax(1)
        share = left / new[:, at].clamp(min=1e-6)
        kept = values[:, at]
        return designs, kept + share.log() if self.network.logits else kept * share, left

    def looks_of(self, sensor: Sensor, observation: Observation) -> CandidateLooks:
        """The sensor's candidates at scenes such as these, which have to be those of training.

        Raises:
            ValueError: they are not, or depend on what has been seen.
        """
        shape = (observation.channels, *observation.shape)
        if self._looks is None or self._looks[0] is not sensor or self._looks[1].shape != shape:
            looks = CandidateLooks.of(sensor, shape, observation.device)
            self.network.check_looks(looks)
            self.network.check_costs(sensor, looks)
            self.network.to(observation.device)
            self._looks = (sensor, looks)
        looks = self._looks[1]
        looks.check_same(sensor, observation)
        return looks


def _whole(sensor: Sensor) -> Sensor:
    """The sensor that the network was trained for, of whose candidates a part may be offered."""
    return sensor.sensor if isinstance(sensor, Restricted) else sensor


@checked
@dataclass
class Value(OnePass):
    """The look after which the classifier's log loss is expected to be lowest (DIME).

    The network gives the expected information gain of each candidate (Gadgil et al. 2024).
    """

    network: ValueNet

    def expected_gains(self, observation: Observation, sensor: Sensor) -> Float[Tensor, "B D"]:
        """The map: expected fall of the classifier's log loss by each candidate look, nats.

        Raises:
            ValueError: the network was trained for another sensor, candidates or size.
        """
        return self.look_values(observation, sensor)


@checked
@dataclass
class Greedy(OnePass):
    """The look that a selector chooses which was trained with a predictor of the label (GDFS).

    It maximises what the next look tells, as `Value` does, by another way of learning (Covert et
    al. 2023); its numbers are logits and no gains.
    """

    network: GreedyNet


@checked
@dataclass
class Nonmyopic(OnePass):
    """The look that leads to the lowest log loss after all T looks of the network's training.

    Its numbers are what the look and the best looks after it are expected to gain, not the look
    alone.
    """

    network: NonmyopicNet


ONE_PASS: dict[str, type[OnePass]] = {"value": Value, "greedy": Greedy, "nonmyopic": Nonmyopic}
"""By the name of the policy."""
