"""How soon a page hears that a decision was made, while BOED's decisions keep the process busy.

    python benchmarks/page_events.py --out benchmarks/results/page_events.json

A server of `boed live --demo` and a client of its server-sent events run in one process, which is
the hardest case: they share the interpreter. Timed is from the moment that `suggest` returns to the
moment that the client has read the event; and, while decisions are made, how long `GET /api/state`
takes.
"""

from __future__ import annotations

import argparse
import http.client
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from measuring import machine

from boed.foundation.files import write_json
from boed.live import LiveSession, make_live
from boed.live.server import app_for


@contextmanager
def served(live: LiveSession) -> Iterator[int]:
    """The port of a session's server."""
    server: uvicorn.Server
    app = app_for(live, closing=lambda: server.should_exit)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            yield bound.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def heard(port: int, times: list[float]) -> None:
    """Write down when each event was read, until the server ends."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", "/api/events")
    answer = connection.getresponse()
    while line := answer.readline():
        if line.startswith(b"data:"):
            times.append(time.perf_counter())


def asked(
    port: int, deciding: threading.Event, ends: threading.Event, seconds: list[float]
) -> None:
    """How long the state takes, again and again while a decision is made."""
    while not ends.is_set():
        if not deciding.wait(0.01):
            continue
        connection = http.client.HTTPConnection("127.0.0.1", port)
        began = time.perf_counter()
        connection.request("GET", "/api/state")
        connection.getresponse().read()
        if deciding.is_set():
            seconds.append(time.perf_counter() - began)
        connection.close()
        time.sleep(0.01)


def measured(scenes: int, looks: int) -> dict[str, list[float]]:
    """Seconds from decision to event, and of each state asked for meanwhile."""
    events: list[float] = []
    states: list[float] = []
    for row in range(scenes):
        live = make_live("digits", scene=row, sensor="patch,grid=9")
        decide, decided = live.session.suggest, list[float]()
        deciding, ends = threading.Event(), threading.Event()

        def suggest(n: int = 1, decide: Any = decide, decided: Any = decided) -> Any:
            chosen = decide(n)
            decided.append(time.perf_counter())
            return chosen

        live.session.suggest = suggest  # type: ignore[method-assign]
        with served(live) as port:
            times: list[float] = []
            threads = [
                threading.Thread(target=heard, args=(port, times)),
                threading.Thread(target=asked, args=(port, deciding, ends, states)),
            ]
            for each in threads:
                each.start()
            for _ in range(looks):
                deciding.set()
                live.next()
                deciding.clear()
                time.sleep(0.2)
                live.take(live.session.pending[0].id)
            ends.set()
        for each in threads:
            each.join()
        events += [min(each for each in times if each >= moment) - moment for moment in decided]
    return {"event after the decision": events, "state while deciding": states}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=4)
    parser.add_argument("--looks", type=int, default=6)
    parser.add_argument("--out", type=Path, default=Path("runs/page_events.json"))
    options = parser.parse_args(arguments)
    results = {
        what: {
            "number": len(seconds),
            "median": float(np.median(seconds)),
            "within_95": float(np.quantile(seconds, 0.95)),
            "longest": max(seconds),
        }
        for what, seconds in measured(options.scenes, options.looks).items()
    }
    study = {"scenes": options.scenes, "looks": options.looks}
    write_json(options.out, {"machine": machine(), "study": study, "results": results})
    for what, row in results.items():
        numbers = ", ".join(f"{key} {1000 * row[key]:.0f} ms" for key in list(row)[1:])
        print(f"{what}: {numbers} ({row['number']})")


if __name__ == "__main__":
    main()
