"""What people are asked about: the most and the least likely completion of an observation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from boed.completion.completer import Completer, complete
from boed.completion.log_probability import meaning
from boed.completion.ranking import extreme_pair, log_probs
from boed.data.observation import Observation
from boed.foundation.checks import at_least, attribute
from boed.foundation.randomness import derive

BATCH = 8
"""Scenes completed at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """One question of the survey.

    Attributes:
        row: of the scene among those that were given.
        values: what was seen, 0 elsewhere, `[C, H, W]`.
        mask: 1 where it was seen, `[1, H, W]`.
        most, least: likely of the completions, `[C, H, W]`.
        difference: of their log-probabilities, in nats for each hidden pixel.
    """

    row: int
    values: Float[Tensor, "C H W"]
    mask: Float[Tensor, "1 H W"]
    most: Float[Tensor, "C H W"]
    least: Float[Tensor, "C H W"]
    difference: float


def likelihood_pairs(
    observation: Observation,
    completer: Completer,
    *,
    n: int = 8,
    pairs: int = 15,
    seed: int = 0,
) -> list[Pair]:
    """The observations whose most and least likely completion differ most, and the two.

    Those that hide nothing, or whose completions are all as likely as each other, are left out.

    As Dupont & Suresha 2019, App. F, who take 15 of 100 by "percentage difference" of the
    likelihood, which they do not define: here it is nats for each hidden pixel.

    Args:
        observation: of many scenes.
        completer: with a likelihood.
        n: completions of each.
        pairs: how many questions.
        seed: of the completions.

    Raises:
        ValueError: a completer without a likelihood or that makes one completion alone, fewer than
            two completions, or more pairs than scenes of which there is something to ask.
    """
    meaning(completer)
    if attribute(completer, "deterministic", False):
        raise ValueError(
            f"completer {attribute(completer, 'name', type(completer).__name__)} makes the same "
            "completion each time, so that none is the likelier; expected one that samples"
        )
    at_least(2, n=n)
    at_least(1, pairs=pairs)
    if pairs > len(observation):
        raise ValueError(f"pairs is {pairs}, expected at most the scenes, {len(observation)}")
    hidden = (1 - observation.mask).sum((1, 2, 3))
    seeds = [derive(seed, "survey", row) for row in range(len(observation))]
    found = []
    for start in range(0, len(observation), BATCH):
        part = slice(start, start + BATCH)
        seen = observation[part]
        drawn = complete(completer, seen, n, seed=seeds[part]).scenes
        nats = log_probs(completer, drawn, seen)
        most, least = extreme_pair(nats)
        for i in range(len(seen)):
            if hidden[start + i] == 0:
                continue
            apart = float(nats[most[i], i] - nats[least[i], i]) / float(hidden[start + i])
            if not 0 < apart < math.inf:
                continue
            found.append(
                Pair(
                    row=start + i,
                    values=seen.values[i].cpu(),
                    mask=seen.mask[i].cpu(),
                    most=drawn[most[i], i].cpu(),
                    least=drawn[least[i], i].cpu(),
                    difference=apart,
                )
            )
    if len(found) < pairs:
        raise ValueError(
            f"pairs is {pairs}, and {len(found)} of {len(observation)} scenes have hidden pixels "
            "and completions of which one is the likelier; expected at most as many"
        )
    return sorted(found, key=lambda each: each.difference, reverse=True)[:pairs]
