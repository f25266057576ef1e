"""The protocol of policies, and what a decision is."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass, replace
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from boed.completion.completer import Completions
from boed.data.observation import Observation
from boed.foundation.arguments import checked
from boed.foundation.checks import called, calling, check_protocol, describe
from boed.foundation.randomness import Seeds, derive
from boed.sensors import Sensor
from boed.sensors.sensor import candidate_masks


@checked
@dataclass(frozen=True, eq=False)
class Decision:
    """Where a policy looks next, and what it looked at to decide.

    Attributes:
        designs: the chosen look of each scene, `[B, K]`.
        candidates: all looks it could have chosen, `[D, K]`.
        index: which candidate each chosen look is, `[B]`; may be left out, see `chosen`.
        scores: utility of each candidate, `[B, D]`: EIG in nats for information-driven policies,
            which maximise it, or it per cost; NaN where a search did not evaluate.
        gains: information gain per completion, `[N, B, D]`, where there is one.
        winners_curse: how much too high the score of the chosen look is since it is the highest
            of many estimates, `[B]`, where scores are means over few completions. It is itself an
            estimate, as uncertain as the score, and may be below 0.
        completions: the completions it drew, where it did.
        stop: scenes that need no further look, this one included, `[B]`; none if not given.
    """

    designs: Float[Tensor, "B K"]
    _: KW_ONLY
    candidates: Float[Tensor, "D K"]
    index: Int64[Tensor, " B"] | None = None
    scores: Float[Tensor, "B D"] | None = None
    gains: Float[Tensor, "N B D"] | None = None
    winners_curse: Float[Tensor, " B"] | None = None
    completions: Completions | None = None
    stop: Bool[Tensor, " B"] | None = None

    @cached_property
    def chosen(self) -> Int64[Tensor, " B"]:
        """`index`; where it was left out, each look's row among the candidates, -1 if none."""
        return rows_of(self.designs, self.candidates) if self.index is None else self.index

    def chosen_score(self) -> Float[Tensor, " B"] | None:
        """The score of the chosen look, `[B]`; NaN where it is none of the candidates."""
        if self.scores is None:
            return None
        score = self.scores.gather(1, self.chosen.clamp(min=0)[:, None])[:, 0]
        return score.where(self.chosen >= 0, torch.nan)


def rows_of(designs: Float[Tensor, "B K"], candidates: Float[Tensor, "D K"]) -> Int64[Tensor, " B"]:
    """The first candidate that is equal to each design, -1 where none is."""
    same = (candidates[None] == designs[:, None]).all(-1)  # [B, D]
    return same.int().argmax(1).where(same.any(1), -1)


TENSORS = ("designs", "candidates", "index", "scores", "gains", "winners_curse", "stop")
"""Parts of a decision that are tensors."""


@runtime_checkable
class Policy(Protocol):
    """Chooses the next look of each scene of a batch.

    A decision depends on a scene's own observation and seed, not on its neighbours.
    """

    def choose(
        self,
        observation: Observation,
        sensor: Sensor,
        seed: Seeds = 0,
        *,
        truth: Float[Tensor, "B C H W"] | None = None,
    ) -> Decision:
        """The next look. `truth` is the whole scene; only reference policies may use it."""
        ...


def check_is_policy(policy: object, name: str = "policy") -> None:
    """Refuse what is no policy.

    Raises:
        ValueError: it has no `choose` that can be called as the protocol's.
    """
    check_protocol(name, policy, Policy)


def decide(
    policy: Policy,
    observation: Observation,
    sensor: Sensor,
    *,
    seeds: list[int],
    truth: Float[Tensor, "B C H W"] | None,
) -> Decision:
    """`policy.choose`, after making sure that it is a decision about these scenes.

    Raises:
        ValueError: what it returned is no decision, its designs, scores, index or stop are of
            another shape or type, the index is not that of the designs, or a design is no candidate
            and the sensor cannot take it.
    """
    name = called(policy, "choose")
    with calling(policy, "choose"):
        decision = policy.choose(observation, sensor, seeds, truth=truth)
    if not isinstance(decision, Decision):
        raise ValueError(f"{name} returned {describe(decision)}, expected a Decision")
    decision = _on_device(decision, observation, name)
    _check_rows(decision, len(observation), name)
    _check_parts(decision, observation, name)
    strange = decision.designs[decision.chosen < 0]
    if len(strange) > 0:  # of no candidate, such as one between them
        _check_can_be_taken(strange, observation, sensor, name=name)
    return decision


def _on_device(decision: Decision, observation: Observation, name: str) -> Decision:
    """The decision on the observation's device.

    Raises:
        ValueError: a part of it cannot be brought there.
    """
    there = observation.device
    given: dict[str, Any] = {each: getattr(decision, each) for each in TENSORS}
    away = {k: v for k, v in given.items() if isinstance(v, Tensor) and v.device != there}
    try:
        moved: dict[str, Any] = {each: part.to(there) for each, part in away.items()}
    except (NotImplementedError, RuntimeError) as error:
        part, tensor = next(iter(away.items()))
        raise ValueError(
            f"{name} returned {part} on {tensor.device}, expected on {there}: {error}"
        ) from error
    return replace(decision, **moved) if moved else decision


def _check_rows(decision: Decision, scenes: int, name: str) -> None:
    """Refuse designs that are no rows of numbers, or not one for each scene."""
    for part in ("designs", "candidates"):
        rows = getattr(decision, part)
        real = isinstance(rows, Tensor) and rows.dtype != torch.bool and not rows.is_complex()
        if not real or rows.ndim != 2:
            raise ValueError(f"{name} returned {part} {describe(rows)}, expected rows of designs")
        if not rows.isfinite().all():
            raise ValueError(f"{name} returned {part} that are NaN or infinite")
    designs, candidates = decision.designs, decision.candidates
    if len(designs) != scenes:
        raise ValueError(
            f"{name} returned designs {tuple(designs.shape)}, "
            f"expected one row for each of {scenes} scenes"
        )
    if len(candidates) == 0 or candidates.shape[1] != designs.shape[1]:
        raise ValueError(
            f"{name} returned candidates {tuple(candidates.shape)}, expected at least one row of "
            f"{designs.shape[1]}, as its designs are"
        )


def _check_parts(decision: Decision, observation: Observation, name: str) -> None:
    """Refuse an index, scores and what else goes with designs that do not belong to them."""
    scenes, number = len(observation), len(decision.candidates)
    drawn = decision.gains.shape[:1] if isinstance(decision.gains, Tensor) else (0,)
    each, real = (scenes,), torch.get_default_dtype()
    shapes = {
        "index": (torch.int64, each), "stop": (torch.bool, each),
        "scores": (real, (scenes, number)), "gains": (real, (*drawn, scenes, number)),
        "winners_curse": (real, each),
    }  # fmt: skip
    for part, (dtype, shape) in shapes.items():
        given = getattr(decision, part)
        if given is None:
            continue
        alike = isinstance(given, Tensor) and (
            given.dtype == dtype or (given.is_floating_point() and dtype.is_floating_point)
        )
        if not alike or tuple(given.shape) != shape:
            raise ValueError(
                f"{name} returned {part} {describe(given)}, "
                f"expected {str(dtype).removeprefix('torch.')} {shape}"
            )
    completions = decision.completions
    if completions is not None and completions.scenes.shape[1:] != observation.values.shape:
        raise ValueError(
            f"{name} returned completions {tuple(completions.scenes.shape)}, expected (N, "
            f"{', '.join(map(str, observation.values.shape))})"
        )
    index, designs = decision.index, decision.designs
    if index is not None:
        within = bool(((index >= 0) & (index < number)).all())
        if not within or not torch.equal(decision.candidates[index].to(designs), designs):
            raise ValueError(
                f"{name} returned index {index.tolist()}, expected the chosen designs' rows of its "
                f"{number} candidates"
            )


def _check_can_be_taken(
    designs: Float[Tensor, "b K"], observation: Observation, sensor: Sensor, *, name: str
) -> None:
    """Refuse designs that the sensor refuses, by the name of who chose them."""
    try:
        candidate_masks(sensor, observation, designs)
    except (ValueError, IndexError, RuntimeError) as error:
        raise ValueError(
            f"{name} returned designs {designs.tolist()}, which are no candidates and which "
            f"{type(sensor).__name__} cannot take: {error}"
        ) from error


def pick(
    scores: Float[Tensor, "B D"], seeds: list[int], tolerance: float = 1e-4
) -> Int64[Tensor, " B"]:
    """Index of the highest score; among those as good, one at random.

    Without that, equal scores would always send the sensor to the top-left corner. As good is
    within `tolerance` (nats, or relative where the highest is above 1): thirty times what the
    size of the chunks was measured to change by rounding, so that a tie does not hang on it.

    Raises:
        ValueError: a score is NaN.
    """
    if torch.isnan(scores).any():
        raise ValueError("scores has NaN: the policy cannot tell which look is best")
    highest = scores.max(1, keepdim=True).values
    best = scores >= highest - tolerance * highest.abs().clamp(min=1)
    ticket = torch.stack([_tickets(seed, scores.shape[1]) for seed in seeds])
    return (best * (1 + ticket.to(scores.device))).argmax(1)


def _tickets(seed: int, number: int) -> Tensor:
    generator = torch.Generator().manual_seed(derive(seed, "tie"))
    return torch.rand(number, generator=generator)
