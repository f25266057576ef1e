"""A session over standard input and output: a line of JSON in, a line of JSON out."""

from __future__ import annotations

import json
from typing import IO

from boed.live.messages import Answers, parsed, replied


def answer_lines(live: Answers, lines: IO[bytes], answers: IO[str]) -> None:
    """Answer messages until there are no more, each by one line; what is wrong by an `error`.

    Args:
        live: the session; or several, of which each message says by `session` to which it is.
        lines: objects with an `action`, in JSON.
        answers: where the answers go, in the order of the messages, each at once.
    """
    while line := lines.readline(live.limit + 1):
        if len(line) > live.limit:
            _skip_rest(lines, line, live.limit)
            reply = {"error": f"message has more than {live.limit:,} bytes"}
        else:
            _, reply = replied(lambda line=line: live.answer(parsed(line)))  # type: ignore[misc]
        answers.write(json.dumps(reply, allow_nan=False) + "\n")
        answers.flush()


def _skip_rest(lines: IO[bytes], begin: bytes, limit: int) -> None:
    while begin and not begin.endswith(b"\n"):
        begin = lines.readline(limit)
