"""Whether computation is recorded, to be compiled."""

from __future__ import annotations


def is_recorded() -> bool:
    """Whether torch records what runs: then values are not there to be looked at.

    A check of values is left to runs that are not recorded.
    """
    from torch.fx.experimental.proxy_tensor import get_proxy_mode

    return get_proxy_mode() is not None
