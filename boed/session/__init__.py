"""The loop of `acquire` with an instrument in place of the scene.

`ModelSession`, for experiments that a Pyro model describes, is imported when it is first used,
since Pyro takes a while.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from boed.session.account import Look
from boed.session.session import Session

if TYPE_CHECKING:
    from boed.session.experiment import ModelSession

__all__ = ["Look", "ModelSession", "Session"]


def __getattr__(name: str) -> Any:
    if name != "ModelSession":
        raise AttributeError(f"module 'boed.session' has no attribute {name!r}")
    from boed.session.experiment import ModelSession

    return ModelSession
