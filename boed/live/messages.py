"""Messages to a session: objects with an `action` and its arguments, in JSON."""

from __future__ import annotations

import inspect
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

from boed.foundation.registry import check_known


class Answers(Protocol):
    """What talks to whoever sends messages: one session, or several.

    `limit` is the bytes of a message, at most.
    """

    @property
    def limit(self) -> int: ...

    def answer(self, message: object) -> dict[str, Any]:
        """Do what a message asks for, and say what came of it."""
        ...


class Answering:
    """Answers a message by the method that its `action` names, with its other keys.

    Attributes:
        actions: what a message may ask for; each is a method.
    """

    actions: ClassVar[tuple[str, ...]]

    def answer(self, message: object) -> dict[str, Any]:
        """Do what a message asks for, and say what came of it.

        Raises:
            ValueError: it is no message, or what it asks for is refused; nothing is changed then.
            OSError: the log cannot be written; nothing is changed then.
        """
        if not isinstance(message, Mapping):
            raise ValueError(f"message is {type(message).__name__}, expected an object")
        given = {str(name): value for name, value in message.items()}
        action = given.pop("action", None)
        check_known("action", action, self.actions)
        method = getattr(self, str(action))
        parameters = inspect.signature(method).parameters
        for name in given:
            check_known(f"{action}: argument", name, parameters)
        for name, parameter in parameters.items():
            if parameter.default is parameter.empty and name not in given:
                raise ValueError(f"{action} needs {name}")
        result: dict[str, Any] = method(**given)
        return result


def parsed(text: bytes) -> object:
    """What a line or a body says in JSON.

    Raises:
        ValueError: it is no JSON.
    """
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"message is no JSON ({error})") from error
    return content


def replied(answer: Callable[[], dict[str, Any]]) -> tuple[int, dict[str, Any]]:
    """What came of a message as HTTP words it: a status, and the answer or what is wrong."""
    try:
        return 200, answer()
    except ValueError as error:
        return 400, {"error": " ".join(str(error).split())}
    except OSError as error:
        return 503, {"error": " ".join(str(error).split())}
    except Exception as error:  # a part of the user's own, or a fault of ours
        logging.getLogger("boed.live").exception("a message could not be answered")
        return 500, {"error": f"{type(error).__name__}: {error}"}
