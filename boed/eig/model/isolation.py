"""Random numbers and Pyro's parameters of an estimate's own, with the outer ones put back."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyro
import torch


@contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Runs with a seed and a parameter store of its own; puts the outer ones back afterwards.

    The inner store starts as a copy, so that a model's trained parameters are there and stay.
    """
    with own_numbers(seed), own_parameters():
        yield


@contextmanager
def own_numbers(seed: int) -> Iterator[None]:
    """Runs with random numbers of a seed; puts the outer ones back afterwards."""
    numbers = pyro.util.get_rng_state()
    with torch.random.fork_rng():
        reseed(seed)
        try:
            yield
        finally:
            pyro.util.set_rng_state(numbers)


@contextmanager
def own_parameters() -> Iterator[None]:
    """Runs with a copy of Pyro's parameter store; what is added or changed is gone afterwards."""
    store = pyro.get_param_store()
    with store.scope(copy.deepcopy(store.get_state())):
        yield


def reseed(seed: int) -> None:
    """As `pyro.set_rng_seed`, which where there is no accelerator spends milliseconds on them."""
    seed %= 2**32
    if torch.accelerator.is_available():
        pyro.set_rng_seed(seed)
        return
    torch.default_generator.manual_seed(seed)
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002 (the generator that Pyro models draw from)
