"""A learned distribution of counts: a table of those that are common, and a tail without end."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from pyro.distributions import constraints
from torch import Tensor


class CountLaw(dist.TorchDistribution):  # type: ignore[misc]
    """A table over 0, 1, ..., C - 1 and a negative binomial, mixed: any shape, any count.

    q(k) = w t_k + (1 - w) NB(k), with t_k = 0 from C on.

    Args:
        table: logits of the table's entries and of the negative binomial's part, `[..., C + 1]`.
        total: of the negative binomial, `[...]`.
        odds: its logits, `[...]`.
    """

    arg_constraints = {}  # noqa: RUF012
    support = constraints.nonnegative_integer

    def __init__(self, table: Tensor, total: Tensor, odds: Tensor) -> None:
        self.table, self.total, self.odds = table, total, odds
        self.tail = dist.NegativeBinomial(total, logits=odds, validate_args=False)
        super().__init__(total.shape, torch.Size(), validate_args=False)

    def expand(self, batch_shape: Any, _instance: Any = None) -> CountLaw:
        shape = torch.Size(batch_shape)
        table = self.table.expand(*shape, self.table.shape[-1])
        return CountLaw(table, self.total.expand(shape), self.odds.expand(shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts, as floating-point numbers, `[*sample_shape, ...]`."""
        entry = dist.Categorical(logits=self.table).sample(torch.Size(sample_shape))
        beyond = entry == self.table.shape[-1] - 1
        value: Tensor = self.tail.sample(torch.Size(sample_shape)).where(
            beyond, entry.to(self.odds)
        )
        return value

    def log_prob(self, value: Tensor) -> Tensor:
        """Log-probability in nats."""
        log = F.log_softmax(self.table, -1)
        common, choices = log[..., :-1], self.table.shape[-1] - 1
        shape = torch.broadcast_shapes(value.shape, self.total.shape)
        index = value.expand(shape).clamp(0, choices - 1).long()
        entry = common.expand(*shape, choices).gather(-1, index[..., None])[..., 0]
        entry = entry.where((value >= 0) & (value < choices), -torch.inf)
        return torch.logaddexp(entry, log[..., -1] + self.tail.log_prob(value))
