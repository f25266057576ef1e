"""The loop of `acquire` with an instrument in place of the scene."""

from boed.session.session import Session
from boed.session.state import Look

__all__ = ["Look", "Session"]
