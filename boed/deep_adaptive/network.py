"""The policy network of deep adaptive design."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boed.deep_adaptive.config import ACTIVATIONS, OUTCOME_SCALES, PolicyConfig
from boed.deep_adaptive.experiments import choose_next
from boed.deep_adaptive.scale import DesignScale
from boed.foundation.files import read_model, save_weights
from boed.foundation.shipped import shipped


class SequentialDesigner(Protocol):
    """Chooses the next design of each experiment from what it has seen so far.

    `design_dim` is K. Asked for the first design, t = 0, it may not rely on the event dimensions
    of the outcomes, which are then unknown.
    """

    @property
    def design_dim(self) -> int: ...

    def __call__(
        self, designs: Float[Tensor, "B t K"], outcomes: Float[Tensor, "B t *Y"]
    ) -> Float[Tensor, "B K"]:
        """The next design."""
        ...


WEIGHTS = 5.0
"""Largest logarithm of a look's weight in a weighted mean, and of its reciprocal."""


FARTHEST = 100.0
"""Units beyond which no design without bounds lies: what leads there leads further at each look."""


class DeepAdaptiveDesign(nn.Module):
    """A permutation-invariant policy: pi(h_t) = emitter(sum_s encoder(design_s, outcome_s)).

    The architecture of Foster, Ivanova, Malik and Rainforth, "Deep Adaptive Design" (2021). The
    order of the looks does not matter to it, and the first design is what the emitter makes of an
    empty sum. Of a finite set it takes the design whose encoding is most like what the emitter asks
    for, so that designs near each other are learned of together. Where several looks are chosen at
    once, those that have no outcome yet are added by an encoder of their own, of the design alone,
    and each place of the group begins elsewhere: were all designs of a group the same, no gradient
    would part them.

    Attributes:
        config: its size.
        provenance: how its weights came about, once it has been trained or loaded.
    """

    candidates: Tensor
    outcome_mean: Tensor
    outcome_std: Tensor

    def __init__(self, config: PolicyConfig) -> None:
        super().__init__()
        self.config = config
        self.provenance: dict[str, Any] = {}
        activation = ACTIVATIONS[config.activation]
        self.encoder = nn.Sequential(
            nn.Linear(config.design_dim + config.outcome_dim, config.hidden),
            activation(),
            nn.Linear(config.hidden, config.embedding + config.heads),
        )
        self.expecting: nn.Sequential | None = None
        if config.at_once > 1:
            self.expecting = nn.Sequential(
                nn.Linear(config.design_dim, config.hidden),
                activation(),
                nn.Linear(config.hidden, config.embedding + config.heads),
            )
        outputs = config.embedding if config.designs else config.design_dim
        self.emitter = nn.Sequential(
            nn.Linear(config.embedding + config.heads * config.design_dim, config.hidden),
            activation(),
            nn.Linear(config.hidden, config.hidden),
            activation(),
            nn.Linear(config.hidden, outputs + (0 if config.designs else config.heads)),
        )
        self.offered: nn.Sequential | None = None
        if config.designs is not None:
            self.offered = nn.Sequential(
                nn.Linear(config.design_dim, config.hidden),
                activation(),
                nn.Linear(config.hidden, config.embedding),
            )
        self.places: nn.Parameter | None = None
        if config.at_once > 1:
            raw = len(config.designs or range(config.design_dim))
            self.places = nn.Parameter(torch.randn(config.at_once, raw))
        self.scale = DesignScale(*_interval(config), config.logarithmic)
        self.register_buffer("candidates", torch.tensor(config.designs or [[]]), persistent=False)
        self.register_buffer("outcome_mean", torch.zeros(config.outcome_dim))
        self.register_buffer("outcome_std", torch.ones(config.outcome_dim))

    @property
    def design_dim(self) -> int:
        """K, numbers in a design."""
        return self.config.design_dim

    @property
    def at_once(self) -> int:
        """Looks that are chosen together."""
        return self.config.at_once

    def unit_at(self, design: Float[Tensor, "*B K"]) -> Float[Tensor, "*B K"]:
        """What 1 of the network stands for at a design."""
        return self.scale.unit_at(design)

    @property
    def middle(self) -> Float[Tensor, " K"]:
        """A legal design: the middle of the bounds, or one of a finite set."""
        if self.config.designs is not None:
            return self.candidates[len(self.candidates) // 2]
        return self.scale.designs(torch.zeros_like(self.scale.centre))

    @classmethod
    def from_bounds(cls, bounds: Float[Tensor, "2 K"], **sizes: Any) -> DeepAdaptiveDesign:
        """A policy whose designs stay between the two rows of `bounds`.

        `sizes` are other fields of `PolicyConfig`.

        Raises:
            ValueError: `bounds` has another shape, or encloses nothing.
        """
        if bounds.ndim != 2 or len(bounds) != 2:
            raise ValueError(f"bounds must be (2, K), got {tuple(bounds.shape)}")
        lower, upper = (tuple(row) for row in bounds.tolist())
        return cls(PolicyConfig(design_dim=len(lower), lower=lower, upper=upper, **sizes))

    def forward(
        self, designs: Float[Tensor, "B t K"], outcomes: Float[Tensor, "B t *Y"]
    ) -> Float[Tensor, "B K"]:
        """The next design, or `[B, at_once, K]` of those that are chosen together.

        Args:
            designs: those made so far; t may be 0.
            outcomes: what each returned; its event dimensions hold `outcome_dim` numbers.

        Raises:
            ValueError: shapes that do not fit the configuration, or NaN.
        """
        return choose_next(self, self.summarise(designs, outcomes), self.at_once)

    def summarise(
        self, designs: Float[Tensor, "B t K"], outcomes: Float[Tensor, "B t *Y"]
    ) -> Float[Tensor, "B E"]:
        """The sum over looks.

        Raises:
            ValueError: shapes that do not fit the configuration, or NaN.
        """
        self._check(designs, outcomes)
        seen = self.in_units(designs, outcomes)
        return self._encoded(self.encoder(seen), seen).sum(1)

    def start(self, batch: int) -> Float[Tensor, "B E"]:
        """The empty sum."""
        return self.outcome_mean.new_zeros(batch, self.summary)

    def choose(self, summary: Float[Tensor, "B E"]) -> Float[Tensor, "B K"]:
        """The next design, from the sum over the looks so far."""
        return self.within(self.emit(summary))

    def emit(self, summary: Float[Tensor, "B E"]) -> Float[Tensor, "B R"]:
        """The network's own numbers: K, or as many as there are designs in a finite set."""
        if self.places is None:
            return self._emitted(summary)
        return self._emitted(summary[:, :-1]) + self.places[summary[:, -1].long()]

    def _emitted(self, summary: Float[Tensor, "B E"]) -> Float[Tensor, "B R"]:
        heads, raw = self.config.heads, summary
        if not heads:
            return self._offered(self.emitter(raw))
        embedding, weights, weighted = summary.split(
            [self.config.embedding, heads, heads * self.design_dim], -1
        )
        means = weighted.unflatten(-1, (heads, -1)) / weights.clamp(min=1e-6)[..., None]
        raw = self.emitter(torch.cat([embedding, means.flatten(-2)], -1))
        if self.config.designs is not None:
            return self._offered(raw)
        if self.config.lower is not None:  # what `within` makes of it again
            means = means.clamp(-1 + 2e-4, 1 - 2e-4).atanh()
        offset, shares = raw.split([self.design_dim, heads], -1)
        return offset + (shares[..., None] * means).sum(-2)

    def _offered(self, raw: Tensor) -> Tensor:
        """Of a finite set, how well each design answers what the network asks for."""
        if self.offered is None:
            return raw
        designs = self.offered(self.scale.numbers(self.candidates))
        return raw @ designs.T / designs.shape[1] ** 0.5  # type: ignore[no-any-return]

    def update(
        self,
        summary: Float[Tensor, "B E"],
        design: Float[Tensor, "B K"],
        outcome: Float[Tensor, "B *Y"],
    ) -> Float[Tensor, "B E"]:
        """The sum with one more look."""
        seen = self.in_units(design, outcome)
        return summary + self._encoded(self.encoder(seen), seen)

    def expect(
        self, summary: Float[Tensor, "B E"], design: Float[Tensor, "B K"]
    ) -> Float[Tensor, "B E"]:
        """The sum with a look that has no outcome yet.

        Raises:
            ValueError: the policy chooses one look at a time.
        """
        if self.expecting is None:
            raise ValueError(
                "at_once is 1: the policy chooses a look when those before it have outcomes, "
                "expected one that was trained for several at once"
            )
        where = self.scale.numbers(design.to(self.outcome_mean.dtype))
        return summary + self._encoded(self.expecting(where), where, expected=True)

    @property
    def summary(self) -> int:
        """E, numbers in a summary: the embedding, and for each head a weight and a design.

        Where several looks are chosen at once, how many have no outcome yet comes last.
        """
        of_heads = self.config.heads * (1 + self.config.design_dim)
        return self.config.embedding + of_heads + (self.places is not None)

    def _encoded(
        self, encoded: Tensor, seen: Float[Tensor, "*B D"], *, expected: bool = False
    ) -> Float[Tensor, "*B E"]:
        """What a look adds to the summary, of which the design comes first in `seen`."""
        parts = [encoded]
        if self.config.heads:
            embedding, scores = encoded.split([self.config.embedding, self.config.heads], -1)
            weights = (WEIGHTS * scores.tanh()).exp()
            weighted = weights[..., None] * seen[..., None, : self.design_dim]
            parts = [embedding, weights, weighted.flatten(-2)]
        if self.places is not None:
            parts.append(encoded.new_full((*encoded.shape[:-1], 1), float(expected)))
        return torch.cat(parts, -1)

    def in_units(self, designs: Float[Tensor, "*B K"], outcomes: Tensor) -> Tensor:
        """Designs and outcomes of about unit size, side by side."""
        outcomes = self._read(outcomes.reshape(*designs.shape[:-1], self.config.outcome_dim))
        return torch.cat(
            [
                self.scale.numbers(designs.to(self.outcome_mean.dtype)),
                (outcomes - self.outcome_mean) / self.outcome_std,
            ],
            dim=-1,
        )

    def _read(self, outcomes: Tensor) -> Tensor:
        """Outcomes on the scale on which the network reads them."""
        scaled = OUTCOME_SCALES[self.config.outcome_scale](outcomes)
        return scaled.to(self.outcome_mean.dtype)

    def within(self, raw: Float[Tensor, "B R"]) -> Float[Tensor, "B K"]:
        """The designs that the network's own numbers stand for."""
        if self.config.designs is not None:
            return self.candidates[raw.argmax(-1)]
        if self.config.lower is None:
            return self.scale.designs(raw.clamp(-FARTHEST, FARTHEST))
        return self.scale.inside(raw.tanh())

    def _check(self, designs: Tensor, outcomes: Tensor) -> None:
        if designs.ndim != 3 or designs.shape[2] != self.config.design_dim:
            raise ValueError(
                f"designs must be (B, t, {self.config.design_dim}), got {tuple(designs.shape)}"
            )
        event = outcomes.shape[2:].numel() if designs.shape[1] else self.config.outcome_dim
        if outcomes.shape[:2] != designs.shape[:2] or event != self.config.outcome_dim:
            raise ValueError(
                f"outcomes must be ({designs.shape[0]}, {designs.shape[1]}) and "
                f"{self.config.outcome_dim} numbers each, got {tuple(outcomes.shape)}"
            )
        for name, values in (("designs", designs), ("outcomes", outcomes)):
            if torch.isnan(values).any():
                raise ValueError(f"{name} has NaN: the policy cannot tell what was seen")

    @property
    def has_units(self) -> bool:
        """Whether `standardise` has been called."""
        return bool((self.outcome_mean != 0).any() or (self.outcome_std != 1).any())

    @torch.no_grad()
    def standardise(self, outcomes: Float[Tensor, "N *Y"]) -> None:
        """Take the mean and standard deviation of typical outcomes as the network's units."""
        flat = self._read(outcomes.reshape(len(outcomes), self.config.outcome_dim))
        self.outcome_mean.copy_(flat.mean(0))
        std = flat.std(0)
        self.outcome_std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Write the weights with configuration and provenance as safetensors."""
        header = {"kind": "deep adaptive design", "config": asdict(self.config), **provenance}
        save_weights(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: Path | str) -> DeepAdaptiveDesign:
        """Read a checkpoint that `save` wrote.

        Raises:
            ValueError: the file is missing, damaged, or holds something else.
        """
        return read_model(
            path, lambda header, _: cls(PolicyConfig(**header["config"])), "deep adaptive design"
        )

    @classmethod
    def shipped(cls, name: str = "deep-adaptive-location-finding-10") -> DeepAdaptiveDesign:
        """A policy that comes with `boed`: ten looks for `boed.problems.LocationFinding`.

        Raises:
            ValueError: there is none of that name.
        """
        return cls.load(shipped(name))


def _interval(config: PolicyConfig) -> tuple[Tensor, Tensor]:
    """What -1 and 1 of the network stand for, `[K]` each."""
    if config.designs is not None:
        rows = torch.tensor(config.designs)
        lowest, highest = rows.amin(0), rows.amax(0)
        return lowest, torch.where(highest > lowest, highest, lowest + 1)
    if config.lower is None or config.upper is None:
        size = torch.full((config.design_dim,), config.scale)
        return -size, size
    return torch.tensor(config.lower), torch.tensor(config.upper)
