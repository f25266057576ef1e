"""What the log-probability of a completer is: exact or a bound, of how many levels, which pixels.

Log-probabilities of different levels do not compare: a pixel of 256 levels takes more bits than one
that is black or white. Neither do those of all pixels with those of the hidden ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from boed.completion.completer import Completer
from boed.completion.registry import LEARNED
from boed.data.observation import Observation
from boed.foundation.checks import attribute, called, calling, check_floating, describe
from boed.foundation.registry import check_known

Kind = Literal["exact", "lower bound"]
Counted = Literal["hidden", "all"]


class LikelihoodCompleter(Completer, Protocol):
    """A completer that says how likely a scene is, and what it says.

    Attributes:
        log_prob_is: `exact`, or a `lower bound`.
        levels: how many values a number of the scene may have; None if it is a density.
        counts: the pixels whose probability it is given those seen: the `hidden` ones, or `all`.
    """

    log_prob_is: Kind
    levels: int | None
    counts: Counted

    def log_prob(
        self, scene: Float[Tensor, "B C H W"], observation: Observation
    ) -> Float[Tensor, " B"]:
        """Log-probability of each scene given its observation, in nats."""
        ...


@dataclass(frozen=True, kw_only=True)
class Meaning:
    """What a log-probability is; see `LikelihoodCompleter`.

    >>> print(Meaning(log_prob_is="lower bound", levels=256, counts="all"))
    lower bound, 256 levels, all pixels
    """

    log_prob_is: Kind
    levels: int | None
    counts: Counted

    def __str__(self) -> str:
        of = "a density" if self.levels is None else f"{self.levels} levels"
        return f"{self.log_prob_is}, {of}, {self.counts} pixels"


def has_log_prob(completer: object) -> bool:
    """Whether a completer says how likely a scene is."""
    return callable(attribute(completer, "log_prob", None))


def check_has_likelihood(name: str) -> None:
    """Refuse the name of a kind of completer that has no likelihood, whatever it is trained on.

    Raises:
        ValueError: it has none; those that have are named.
    """
    if name in LEARNED and not hasattr(LEARNED[name], "log_prob"):
        raise _without(name)


def _without(name: str) -> ValueError:
    able = [each for each in LEARNED if hasattr(LEARNED[each], "log_prob")]
    return ValueError(
        f"completer {name} has no log_prob; expected one with a likelihood, such as "
        f"{', '.join(able)}"
    )


def meaning(completer: object) -> Meaning:
    """What a completer's `log_prob` is.

    Raises:
        ValueError: it has none, or does not say what it is.
    """
    name = type(completer).__name__
    if not has_log_prob(completer):
        raise _without(getattr(completer, "name", name))
    said: dict[str, Any] = {}
    for part, names in (("log_prob_is", get_args(Kind)), ("counts", get_args(Counted))):
        said[part] = attribute(completer, part, None)
        if said[part] is None:
            raise ValueError(
                f"{name} has log_prob, but does not say what it is: expected an attribute "
                f"{part}, {' or '.join(map(repr, names))}"
            )
        check_known(f"{name}.{part}", said[part], names)
    levels = attribute(completer, "levels", 0)
    whole = isinstance(levels, int) and not isinstance(levels, bool) and levels >= 2
    if not (whole or levels is None):
        raise ValueError(
            f"{name}.levels is {describe(levels)}, expected 2 or more, or None of a density"
        )
    return Meaning(levels=levels, **said)


def log_prob(
    completer: Completer, scene: Float[Tensor, "B C H W"], observation: Observation
) -> Float[Tensor, " B"]:
    """The log-probability of each scene by a completer that has one, in nats; no gradients.

    Raises:
        ValueError: the completer has none, refuses the scenes, or returns something else than a
            number for each scene.
    """
    meaning(completer)
    with torch.no_grad(), calling(completer, "log_prob"):
        found = completer.log_prob(scene, observation)  # type: ignore[attr-defined]
    name = called(completer, "log_prob")
    nats = check_floating(name, found, "log-probabilities [B]")
    if tuple(nats.shape) != (len(scene),):
        raise ValueError(f"{name} returned {tuple(nats.shape)}, expected ({len(scene)},)")
    if nats.isnan().any():
        raise ValueError(f"{name} returned NaN, expected log-probabilities")
    return nats
