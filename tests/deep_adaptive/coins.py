"""A coin whose EIG is known: the finite space of the problems."""

import pyro
import pyro.distributions as dist
import torch


def coin(design):
    """y ~ Bernoulli((d + theta) / 2), theta ~ Bernoulli(0.4)."""
    with pyro.plate_stack("plate", design.shape[:-1]):
        theta = pyro.sample("theta", dist.Bernoulli(torch.tensor(0.4)))
        return pyro.sample("y", dist.Bernoulli((design[..., 0] + theta) / 2))


def coin_eig(designs):
    """Exact EIG of several looks, by enumerating theta and all outcomes."""
    outcomes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * len(designs))
    outcomes = outcomes.reshape(-1, len(designs)).double()
    prior = torch.tensor([0.6, 0.4]).double()
    p = (designs + torch.tensor([[0.0], [1.0]])) / 2  # [theta, look]
    each = torch.where(outcomes[:, None] > 0, p, 1 - p).prod(-1)  # [outcomes, theta]
    return (prior * each * (each / (each @ prior)[:, None]).log()).sum()
