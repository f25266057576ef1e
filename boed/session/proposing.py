"""What a session suggests next, and what its log says of that."""

from __future__ import annotations

import copy
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from boed.acquisition import Acquisition, Proposal
from boed.foundation.checks import called
from boed.foundation.randomness import derive
from boed.policies.policy import Decision
from boed.sensors.sensor import Sensor, candidates, reads_new
from boed.session.pending import Pending
from boed.session.state import State


def propose(state: State, seed: int) -> tuple[Proposal | None, str | None]:
    """The next look, and what speaks against it: a reason to suggest none, else None.

    Args:
        state: what is known.
        seed: of the session.
    """
    now = copy.copy(state.now)
    now.observation = state.standing
    if state.number > 0 and now.budget.is_late(state.seconds):
        return None, f"the budget of {now.budget.seconds:g} seconds of deciding is spent"
    reserved = sum((each.cost for each in state.pending), 0.0)
    pending, without = state.designs("pending"), state.designs("failed", "vetoed")
    sensor = now.sensor
    if len(pending) or len(without):
        offered = candidates(sensor, now.observation)
        sensor = Pending(sensor, pending, without=without, reserved=reserved)
        if not reads_new(sensor, now.observation, offered).any():
            return None, "every candidate was read, is pending, failed or was vetoed"
    proposal = now.propose(
        torch.tensor([0]),
        [derive(seed, "look", state.number)],
        sensor=sensor,
        reserved=reserved,
    )
    if proposal.complete[0]:
        return proposal, "everything that the candidates can read has been read"
    if proposal.stopped[0]:
        return proposal, "the policy says that no further look is needed"
    if not proposal.affordable[0]:
        return proposal, f"the budget of {now.budget.cost:g} has no room for the next look"
    _check_offered(proposal.decision, sensor, now)
    return proposal, None


def _check_offered(decision: Decision, sensor: Sensor, now: Acquisition) -> None:
    """Refuse a look that adds nothing or is left out, of a policy that heeds no candidates.

    Raises:
        ValueError: naming the policy and the look.
    """
    if not isinstance(sensor, Pending):
        return
    if not reads_new(sensor, now.observation, decision.designs).any():
        raise ValueError(
            f"{called(now.policy, 'choose')} chose {decision.designs[0].tolist()}, which was read, "
            "is pending, failed or was vetoed; expected one of sensor.designs"
        )


def suggestion(proposal: Proposal, number: int) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Facts and arrays of the event that a look was suggested.

    Args:
        proposal: the look.
        number: its id.
    """
    decision = proposal.decision
    eig, error = _eig(decision)
    facts = {
        "id": number,
        "design": decision.designs[0].tolist(),
        "eig": eig,
        "standard_error": error,
        "winners_curse": _one(decision.winners_curse),
        "cost": float(proposal.cost[0]),
        "seconds": proposal.seconds,
    }
    if decision.scores is None:
        return facts, {}
    return facts, {
        "candidates": decision.candidates.cpu().numpy(),
        "scores": decision.scores[0].float().cpu().numpy(),
    }


def _one(value: Tensor | None) -> float | None:
    """The number of a batch of one, if there is one and it is finite."""
    return None if value is None or not bool(value.isfinite().all()) else float(value[0])


def _eig(decision: Decision) -> tuple[float | None, float | None]:
    """EIG of the chosen look and its standard error, where the policy has them; nats."""
    score = decision.chosen_score()
    if score is None or not score.isfinite().all():
        return None, None
    if decision.gains is None or decision.completions is None or decision.chosen[0] < 0:
        return float(score[0]), None
    gains = decision.gains[:, 0, decision.chosen[0]].double()
    weights = decision.completions.weights[: len(gains), 0].double()
    effective_number = float(weights.sum().square() / weights.square().sum())
    if len(gains) != len(weights) or effective_number <= 1 or not gains.isfinite().all():
        return float(score[0]), None
    weights = weights / weights.sum()
    variance = (weights * (gains - (weights * gains).sum()).square()).sum()
    return float(score[0]), float((variance / (effective_number - 1)).sqrt())
