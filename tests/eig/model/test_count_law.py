"""A distribution of counts: any shape where they are common, and no end."""

from __future__ import annotations

import pyro.distributions as dist
import torch

from boed.eig.model.count_law import CountLaw

LOGITS = torch.tensor([[3.0, 0.0, -1.0, 2.0, 0.5], [0.0, 0.0, 0.0, 4.0, -9.0]]).double()
TOTAL, ODDS = torch.tensor([4.0, 2.0]).double(), torch.tensor([0.5, -1.0]).double()
LAW = CountLaw(LOGITS, TOTAL, ODDS)
COUNTS = torch.arange(2000.0, dtype=torch.float64)


def test_it_is_a_mixture_of_a_table_and_a_negative_binomial_that_sums_to_1() -> None:
    probability = LAW.log_prob(COUNTS[:, None]).exp()
    assert torch.allclose(probability.sum(0), torch.ones(2).double())
    weights = LOGITS.softmax(-1)
    tail = dist.NegativeBinomial(TOTAL, logits=ODDS).log_prob(COUNTS[:, None]).exp()
    table = torch.zeros(2000, 2).double()
    table[:4] = weights[:, :4].T
    assert torch.allclose(probability, table + weights[:, 4] * tail)


def test_draws_have_its_probabilities_and_shapes() -> None:
    torch.manual_seed(0)
    drawn = LAW.expand((3, 2)).sample((20_000,))
    assert drawn.shape == (20_000, 3, 2)
    assert drawn.dtype == torch.float64
    for count in range(6):
        share = (drawn == count).double().mean((0, 1))
        assert torch.allclose(share, LAW.log_prob(torch.tensor(float(count))).exp(), atol=0.01)
    assert LAW.expand((3, 2)).log_prob(drawn).shape == drawn.shape
    assert not LAW.log_prob(torch.tensor(-1.0)).isfinite().any()
