"""When to stop looking: rules, and a policy that follows one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boed.classifiers.classifier import Classifier
from boed.completion.completer import Completer, Completions
from boed.data.observation import Observation
from boed.eig.completions.beliefs import log_beliefs
from boed.foundation.arguments import checked
from boed.foundation.checks import attribute, called, calling
from boed.foundation.randomness import Seeds, per_scene
from boed.policies.conformal import SplitConformal
from boed.policies.first_look import FirstLook
from boed.policies.policy import Decision, Policy, decide
from boed.sensors.sensor import Sensor, candidates


@runtime_checkable
class Rule(Protocol):
    """Says which scenes need no further look; any function of the two will do.

    A rule may have an attribute `needs_decision = False`: it is then asked first, with no
    decision, and no look is computed for the scenes that it stops.
    """

    def __call__(self, observation: Observation, decision: Decision | None) -> Bool[Tensor, " B"]:
        """From what has been seen, and the look that the policy would take next."""
        ...


@checked
@dataclass(frozen=True)
class Confident:
    """Stop when the belief's highest answer reaches a probability; every finding's has to.

    Attributes:
        classifier: gives the belief.
        probability: in (0, 1].
        memory: bound on the images held at once, MiB.

    Raises:
        ValueError: a probability that is not in (0, 1].
    """

    classifier: Classifier
    probability: float = 0.95
    memory: int = 512
    needs_decision: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not 0 < self.probability <= 1:
            raise ValueError(f"probability is {self.probability}, expected within (0, 1]")

    def __call__(self, observation: Observation, decision: Decision | None) -> Bool[Tensor, " B"]:
        """Which beliefs are confident."""
        belief = log_beliefs(observation, self.classifier, self.memory)
        return _every_finding(belief.exp().amax(-1) >= self.probability)


@checked
@dataclass(frozen=True)
class EIGBelow:
    """Stop when no look tells enough: the best EIG of the decision is below a threshold.

    The best of many estimates is too high on average. Where the decision says by how much
    (`Decision.winners_curse`), it is the score of the look that was chosen, less that.

    Attributes:
        threshold: in nats, above 0; in the unit of the estimator's scores if they are no EIG.

    Raises:
        ValueError: a threshold that is not above 0, or a decision without scores, as of policies
            that estimate nothing.
    """

    threshold: float

    def __post_init__(self) -> None:
        if not self.threshold > 0:
            raise ValueError(f"threshold is {self.threshold}, expected above 0 nats")

    def __call__(self, observation: Observation, decision: Decision | None) -> Bool[Tensor, " B"]:
        """Which scenes have no look that tells enough."""
        if decision is None or decision.scores is None:
            raise ValueError(
                "EIGBelow needs a decision with scores; this policy estimates no EIG, "
                "expected one that does, such as BOED"
            )
        known = decision.scores.nan_to_num(nan=-torch.inf)  # NaN: not evaluated by the search
        best, chosen = known.amax(1), decision.chosen_score()
        if decision.winners_curse is not None and chosen is not None:
            left = chosen - decision.winners_curse
            best = left.where(left.isfinite(), best)
        return best < self.threshold


@checked
@dataclass(frozen=True)
class ConformalSingle:
    """Stop when the conformal set is a single answer; every finding's has to be.

    The answer is then wrong for at most `conformal.alpha` of the scenes, however many looks each
    took, if the sets were calibrated on all looks; see `SplitConformal`.

    Attributes:
        classifier: gives the belief.
        conformal: turns beliefs into sets.
        memory: bound on the images held at once, MiB.
    """

    classifier: Classifier
    conformal: SplitConformal
    memory: int = 512
    needs_decision: ClassVar[bool] = False

    def __call__(self, observation: Observation, decision: Decision | None) -> Bool[Tensor, " B"]:
        """Which sets are a single answer."""
        belief = log_beliefs(observation, self.classifier, self.memory)
        return _every_finding(self.conformal.predict(belief).sum(-1) == 1)


@checked
@dataclass(frozen=True)
class AnyOf:
    """Stop as soon as one of the rules says so.

    Attributes:
        rules: at least one.

    Raises:
        ValueError: no rule.
    """

    rules: tuple[Rule, ...]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("rules is empty, expected at least one")

    @property
    def needs_decision(self) -> bool:
        """Whether any rule does."""
        return any(attribute(rule, "needs_decision", True) for rule in self.rules)

    def __call__(self, observation: Observation, decision: Decision | None) -> Bool[Tensor, " B"]:
        """Which scenes any rule stops."""
        return torch.stack([_stops(rule, observation, decision) for rule in self.rules]).any(0)


@checked
@dataclass(frozen=True)
class Until:
    """A policy, until a rule says to stop.

    The looks are those of the policy alone. A scene stopped without a decision has NaN for
    scores, gains and completions.

    Attributes:
        policy: where to look.
        rule: when to stop.
    """

    policy: Policy
    rule: Rule

    @property
    def deterministic(self) -> bool:
        """Whether the policy is; a rule knows no seed."""
        return bool(attribute(self.policy, "deterministic", False))

    @property
    def needs_truth(self) -> bool:
        """Whether the policy can only be asked where whole scenes are known."""
        return bool(attribute(self.policy, "needs_truth", False))

    @property
    def completer(self) -> Completer | None:
        """What draws the policy's completions, if it has any."""
        completer: Completer | None = attribute(self.policy, "completer", None)
        return completer

    @property
    def first_look(self) -> FirstLook | None:
        """What the policy decides with when nothing has been seen, if that is another thing."""
        first: FirstLook | None = attribute(self.policy, "first_look", None)
        return first

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        """The policy's decision, with the scenes to stop.

        Raises:
            ValueError: a rule that does not say yes or no for each scene, or whatever the policy
                and the rule refuse.
        """
        seeds = per_scene(seed, len(observation))
        rules = self.rule.rules if isinstance(self.rule, AnyOf) else (self.rule,)
        stop = torch.zeros(len(observation), dtype=torch.bool, device=observation.device)
        for rule in rules:
            if not attribute(rule, "needs_decision", True):
                stop = stop | _stops(rule, observation, None)
        rows = (~stop).nonzero()[:, 0]
        if len(rows) == 0:
            designs = candidates(sensor, observation)
            first = torch.zeros(len(stop), dtype=torch.int64, device=designs.device)
            return Decision(designs[first], candidates=designs, index=first, stop=stop)
        left = observation[rows]
        whole = None if truth is None else truth[rows]
        own = [seeds[b] for b in rows.tolist()]
        decision = decide(self.policy, left, sensor, seeds=own, truth=whole)
        late = torch.zeros_like(rows, dtype=torch.bool)
        if decision.stop is not None:
            late = late | decision.stop
        for rule in rules:
            if attribute(rule, "needs_decision", True):
                late = late | _stops(rule, left, decision)
        return replace(_among(decision, rows, len(stop)), stop=stop.index_put((rows,), late))


def with_inner(policy: Policy, change: Callable[[Policy], Policy]) -> Policy:
    """The policy, changed where no rule is around it, and the rules as they are."""
    if isinstance(policy, Until):
        return replace(policy, policy=with_inner(policy.policy, change))
    return change(policy)


def _stops(rule: Rule, observation: Observation, decision: Decision | None) -> Bool[Tensor, " B"]:
    """The rule's answer, after making sure that it is one for each scene."""
    with calling(rule):
        stop = rule(observation, decision)
    if not isinstance(stop, Tensor) or stop.dtype != torch.bool or stop.ndim != 1:
        given = f"{stop.dtype} {tuple(stop.shape)}" if isinstance(stop, Tensor) else repr(stop)
        raise ValueError(f"rule: {called(rule)} returned {given}, expected bool [B]")
    if len(stop) != len(observation):
        raise ValueError(
            f"rule: {called(rule)} returned {len(stop)} values for {len(observation)} scenes"
        )
    return stop.to(observation.device)


def _every_finding(reached: Bool[Tensor, "B *L"]) -> Bool[Tensor, " B"]:
    return reached if reached.ndim == 1 else reached.all(1)


def _among(decision: Decision, rows: Tensor, batch: int) -> Decision:
    """A decision for the scenes at `rows` as one for the whole batch."""
    if len(rows) == batch:
        return decision

    def put(part: Tensor | None, dim: int) -> Tensor | None:
        if part is None:
            return None
        shape = (*part.shape[:dim], batch, *part.shape[dim + 1 :])
        return part.new_full(shape, torch.nan).index_copy(dim, rows, part)

    designs = decision.candidates[:1].to(decision.designs).expand(batch, -1)
    index = decision.chosen.new_zeros(batch).index_copy(0, rows, decision.chosen)
    drawn = decision.completions
    if drawn is not None:
        weights = drawn.weights.new_full((len(drawn.weights), batch), 1 / len(drawn.weights))
        scenes = put(drawn.scenes, 1)
        assert scenes is not None
        drawn = Completions(scenes, weights.index_copy(1, rows, drawn.weights))
    return Decision(
        designs.index_copy(0, rows, decision.designs),
        candidates=decision.candidates,
        index=index,
        scores=put(decision.scores, 0),
        gains=put(decision.gains, 1),
        winners_curse=put(decision.winners_curse, 0),
        completions=drawn,
    )
