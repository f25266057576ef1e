"""The loop of `acquire` with an instrument in place of the scene."""

from boed.session.account import Look
from boed.session.session import Session

__all__ = ["Look", "Session"]
