"""Numbers as they are given: a tensor, an array, a list or a single one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from boed.foundation.checks import describe


def as_numbers(name: str, value: object) -> Tensor:
    """A tensor of numbers, of a list, an array or a single one as well.

    Raises:
        ValueError: it is something else.
    """
    try:
        given = value if isinstance(value, Tensor) else np.asarray(value)  # floats are doubles
        numbers = torch.as_tensor(given)
        if numbers.dtype.is_complex:
            raise TypeError
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{name} is {describe(value)}, expected a tensor or numbers") from error
    return numbers
