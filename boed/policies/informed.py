"""Policies that look where they expect to learn most: BOED, and the oracle beside it."""

from __future__ import annotations

import threading
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.classifier import Classifier, check_is_classifier
from boed.completion.completer import Completer, Completions, check_is_completer, complete
from boed.data.observation import Observation
from boed.eig.comparison import curse_of_gains
from boed.eig.completions.estimate import eig_map
from boed.eig.completions.estimators import Estimator, named
from boed.eig.result import EIGEstimate
from boed.foundation.arguments import checked
from boed.foundation.checks import at_least, attribute
from boed.foundation.randomness import Seeds, derive, per_scene
from boed.policies.first_look import FirstLook, cached
from boed.policies.policy import Decision, pick
from boed.search import Exhaustive, Search
from boed.sensors.sensor import Sensor, candidate_costs

FIRST_KNOWN = 8
"""First looks that a policy remembers: of a sensor, and of one beside which a look has failed."""

_FIRST = threading.RLock()
"""Held while a first look is decided: of several sessions that begin at once, one decides it."""


@checked
@dataclass
class BOED:
    """Bayesian optimal experimental design: the look of highest EIG (Eq. 17).

    Attributes:
        completer: draws the completions.
        classifier: gives the beliefs.
        estimator: the utility of a look: a name of `boed.eig.ESTIMATORS`, such as `variational`,
            `entropy` (Eq. 17 as printed) or `variance`, or an estimator itself.
        n: completions for each decision, N.
        first_look: what decides when nothing has been seen; once, since it is the same for
            every scene.
        search: which candidates are evaluated with which completions; all with all by default.
        per_cost: choose the highest EIG per cost of the look and the way to it, rather than the
            highest EIG.
        memory: bound on the completions, and on the candidate images, held at once, MiB.
        cache: folder in which the first look's decision is cached for later runs with the same
            models, data, sensor and code; none if not given.

    Raises:
        ValueError: `n` below 1, an unknown estimator, or `per_cost` with a search
            that drops candidates.
    """

    completer: Completer
    classifier: Classifier
    _: KW_ONLY
    estimator: str | Estimator = "variational"
    n: int = 10
    first_look: FirstLook = field(default_factory=FirstLook)
    search: Search = field(default_factory=Exhaustive)
    per_cost: bool = False
    memory: int = field(default=512, compare=False)
    cache: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        at_least(1, n=self.n)
        check_is_completer(self.completer)
        check_is_classifier(self.classifier)
        named(self.estimator)
        if self.per_cost and not isinstance(self.search, Exhaustive):
            raise ValueError(
                f"per_cost: {type(self.search).__name__} drops looks by their EIG alone and might "
                "drop a cheap one; expected search=Exhaustive()"
            )
        self._first_decisions: list[tuple[Sensor, object, Decision]] = []  # the latest first

    @property
    def deterministic(self) -> bool:
        """Whether the seed changes nothing but ties, as with retrieved completions."""
        return bool(attribute(self.completer, "deterministic", False))

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        """The look of highest score for each scene.

        Raises:
            ValueError: a cost that is not above 0 where information is taken per cost, or
                anything that the completer, the sensor or the classifier is refused for.
        """
        seeds = per_scene(seed, len(observation))
        if not observation.seen.any():
            return self._choose_first(observation, sensor)
        rows = self._scenes_at_once(observation)
        decisions = []
        for start in range(0, len(observation), rows):
            part = slice(start, start + rows)
            completions = complete(self.completer, observation[part], self.n, seed=seeds[part])
            decisions.append(self._decide(observation[part], completions, sensor, seeds[part]))
        return _joined(decisions)

    def _decide(
        self, observation: Observation, completions: Completions, sensor: Sensor, seeds: list[int]
    ) -> Decision:
        result = eig_map(
            observation,
            completions,
            sensor,
            classifier=self.classifier,
            estimator=self.estimator,
            search=self.search,
            memory=self.memory,
            seed=seeds,
        )
        costs = None
        if self.per_cost:
            costs = _positive_costs(sensor, observation, result.designs)
        return _highest(result, seeds, costs=costs, completions=completions)

    def _choose_first(self, observation: Observation, sensor: Sensor) -> Decision:
        """The first look, from one computation for all scenes and seeds."""
        blank = observation[:1]
        place = None if blank.position is None else tuple(blank.position[0].tolist())
        where = (blank.values.shape, blank.device, *([] if place is None else [place]))
        decision = self._known_first(sensor, where)
        if decision is None:
            with _FIRST:
                decision = self._known_first(sensor, where)
                if decision is None:
                    decision = self._decide_first(blank, sensor, where)
                    known = (sensor, where, decision)
                    self._first_decisions = [known, *self._first_decisions][:FIRST_KNOWN]
        return _repeated(decision, len(observation), self.n)

    def _known_first(self, sensor: Sensor, where: object) -> Decision | None:
        """What was decided before from nothing, by this sensor."""
        for by, there, decision in self._first_decisions:
            if by is sensor and there == where:
                return decision
        return None

    def _decide_first(self, blank: Observation, sensor: Sensor, where: object) -> Decision:
        seed, number = derive("first look"), self.first_look.n
        own = self.first_look.completer
        completer = self.completer if own is None else own

        def decide() -> Decision:
            completions = complete(completer, blank, number, seed=seed)
            return _repeated(self._decide(blank, completions, sensor, [seed]), 1, self.n)

        settings = (named(self.estimator), self.search, self.n, number, self.per_cost)
        depends_on = (completer, self.classifier, sensor, where, *settings)
        return decide() if self.cache is None else cached(self.cache, depends_on, decide)

    def _scenes_at_once(self, observation: Observation) -> int:
        """Scenes whose completions stay within the memory bound, a completer's work included.

        The completions of one scene are always drawn together.
        """
        height, width = observation.shape
        each = 4 * 64 * self.n * observation.channels * height * width
        return max(self.memory * 2**20 // each, 1)


def _highest(
    result: EIGEstimate,
    seeds: list[int],
    *,
    costs: Float[Tensor, "B D"] | None = None,
    completions: Completions | None = None,
) -> Decision:
    """The decision for the candidate of highest EIG, or EIG per cost, ties broken at random."""
    finished, gains, curse = result.finished_eig, result.gains, None
    if costs is None:
        costs = torch.ones_like(finished)
    chosen = pick(finished / costs, seeds)
    if completions is not None and gains is not None:
        open_to_choice = gains.where(finished > -torch.inf, torch.nan)
        curse = curse_of_gains(open_to_choice / costs, completions.weights)
        curse = curse * costs.gather(1, chosen[:, None])[:, 0]
    return Decision(
        result.designs[chosen],
        candidates=result.designs,
        index=chosen,
        scores=result.eig,
        gains=result.gains,
        winners_curse=curse,
        completions=completions,
    )


def _positive_costs(
    sensor: Sensor, observation: Observation, designs: Float[Tensor, "D K"]
) -> Float[Tensor, "B D"]:
    cost = candidate_costs(sensor, observation, designs)
    if not (cost > 0).all():
        free = designs[(cost <= 0).nonzero()[0, 1]].tolist()
        raise ValueError(
            f"per_cost: {type(sensor).__name__}.cost is 0 for design {free}; "
            "information per cost needs costs above 0"
        )
    return cost


def _joined(decisions: list[Decision]) -> Decision:
    """One decision for the scenes of all, which have the same candidates."""
    first = decisions[0]
    drawn = [each.completions for each in decisions if each.completions is not None]
    scores = [each.scores for each in decisions if each.scores is not None]
    gains = [each.gains for each in decisions if each.gains is not None]
    curses = [each.winners_curse for each in decisions if each.winners_curse is not None]
    return Decision(
        torch.cat([each.designs for each in decisions]),
        candidates=first.candidates,
        index=torch.cat([each.chosen for each in decisions]),
        scores=torch.cat(scores),
        gains=torch.cat(gains, dim=1) if gains else None,
        winners_curse=torch.cat(curses) if curses else None,
        completions=Completions(
            torch.cat([each.scenes for each in drawn], dim=1),
            torch.cat([each.weights for each in drawn], dim=1),
        ),
    )


def _repeated(decision: Decision, batch: int, shown: int) -> Decision:
    """The decision for one scene as that of `batch` equal ones, with `shown` of its completions."""
    assert decision.completions is not None
    assert decision.scores is not None
    scenes, weights = decision.completions.scenes[:shown], decision.completions.weights[:shown]
    gains, curse = decision.gains, decision.winners_curse
    return Decision(
        decision.designs.expand(batch, -1),
        candidates=decision.candidates,
        index=decision.chosen.expand(batch),
        scores=decision.scores.expand(batch, -1),
        gains=None if gains is None else gains[:shown].expand(-1, batch, -1),
        winners_curse=None if curse is None else curse.expand(batch),
        completions=Completions(
            scenes.expand(-1, batch, -1, -1, -1), (weights / weights.sum(0)).expand(-1, batch)
        ),
    )


@checked
@dataclass
class Oracle:
    """BOED that sees the whole scene in place of completions: an upper reference.

    It does not know the label. It takes the look after which the belief comes nearest to what
    the classifier says of the whole scene, in cross-entropy.
    """

    deterministic = True  # but for ties
    needs_truth: ClassVar[bool] = True
    """It can only be asked where whole scenes are known."""

    classifier: Classifier
    memory: int = field(default=512, compare=False)

    def __post_init__(self) -> None:
        check_is_classifier(self.classifier)

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        if truth is None:
            raise ValueError("the oracle policy needs truth, the whole scenes, and was given none")
        weights = torch.ones(1, len(truth), device=truth.device)
        result = eig_map(
            observation,
            Completions(truth[None], weights),
            sensor,
            classifier=self.classifier,
            estimator="variational",
            memory=self.memory,
        )
        return _highest(result, per_scene(seed, len(observation)))
