"""Sessions over HTTP: who may ask, what is refused, and what goes on meanwhile."""

from __future__ import annotations

import asyncio
import io
import json
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

pytest.importorskip("fastapi", reason="needs the extra live")
pytest.importorskip("uvicorn", reason="needs the extra live")
pytest.importorskip("httpx", reason="the test client needs httpx")

from fastapi.testclient import TestClient

from boed.live import LiveSession
from boed.live.server import app_for, changes, is_loopback, page_of, serve
from boed.policies import CentreOut
from tests.live.sessions import WRONG, patch, record, small

OURS = "http://127.0.0.1:8321"


def client_of(live: LiveSession, **options: Any) -> TestClient:
    return TestClient(app_for(live, **options), base_url=OURS)


@pytest.fixture(scope="module")
def client(untouched: LiveSession) -> TestClient:
    """Of a session that nothing changes."""
    return client_of(untouched)


def npy(reading: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, reading)
    return buffer.getvalue()


def test_a_whole_session() -> None:
    live = small(budget=3 / 16)
    client = client_of(live)
    look = client.post("/api/next").json()["looks"][0]
    view = client.get("/api/view").json()
    assert len(view["map"]) == 16
    assert view["map"][0]["box"] == [0, 0, 4, 4]
    assert [each["score"] is not None for each in view["map"]] == [True] * 16
    assert view["seen"].startswith("data:image/png;base64,")
    assert view["demo"] == {}  # the truth is not told before the end
    taken = client.post(f"/api/looks/{look['id']}/reading", content=npy(patch(live, 0)))
    assert (taken.status_code, taken.json()["readings"]) == (200, 1)
    assert len(client.get("/api/completions").json()["completions"]) == 12
    chosen = client.post("/api/choose", json={"design": [0, 4]}).json()["looks"][0]
    reading = patch(live, chosen["id"]).tolist()
    assert client.post("/api/ingest", json={"look": 1, "reading": reading}).status_code == 200
    client.post("/api/next")
    assert client.post("/api/take", json={"look": 2}).json()["spent"] == 3 / 16
    assert client.post("/api/next").json()["looks"] == []
    view = client.get("/api/view").json()
    assert "has no room" in view["reason"]
    assert view["demo"]["truth"] in view["answers"]
    assert client.post("/api/undo").json() == {"undone": "reading", "left": 5}
    assert client.get("/api/state").json()["reason"] is None
    assert client.post("/api/stop").json() == {"stopped": "stopped by hand"}


@pytest.mark.parametrize("name", [each for each in WRONG if each != "no action"])
def test_a_wrong_message_is_refused_and_changes_nothing(
    name: str, untouched: LiveSession, client: TestClient
) -> None:
    message, told = WRONG[name]
    before = record(untouched)
    action = message.get("action", "next") if isinstance(message, dict) else "next"
    answer = client.post(f"/api/{action}", content=json.dumps(message))
    assert answer.status_code == 400
    assert told in answer.json()["error"]
    assert record(untouched) == before


UPLOADS: dict[str, tuple[str, bytes, int, str]] = {
    "another shape": ("0", npy(np.zeros((4, 4))), 400, "reading is (4, 4), expected (1, 4, 4)"),
    "NaN": ("0", npy(np.full((1, 4, 4), np.nan)), 400, "reading has 16 NaN"),
    "objects": ("0", npy(np.array([{}], object)), 400, "reading holds Python objects"),
    "another kind": ("0", b"PK\3\4" * 99, 400, "reading is none of .npy, .png, .dcm"),
    "nothing": ("0", b"", 400, "reading is none of"),
    "unknown look": ("7", npy(np.zeros((1, 4, 4))), 400, "look is 7, expected the id"),
    "look taken": ("1", npy(np.zeros((1, 4, 4))), 400, "look 1 was taken"),
    **{
        f"no look, {name}": (look, b"", 400, "expected the id of a look: a whole number")
        for name, look in {"a word": "x", "below 0": "-1", "hexadecimal": "0x1", "huge": "9" * 5000,
                           "a place above": "%2e%2e", "zero byte": "0%00"}.items()
    },
}  # fmt: skip


@pytest.mark.parametrize("name", UPLOADS)
def test_a_wrong_upload_is_refused_and_changes_nothing(
    name: str, untouched: LiveSession, client: TestClient
) -> None:
    look, content, status, told = UPLOADS[name]
    before = record(untouched)
    answer = client.post(f"/api/looks/{look}/reading", content=content)
    assert answer.status_code == status
    assert told in answer.json().get("error", "")
    assert record(untouched) == before


ELSEWHERE = [
    ("GET", "/api/stop"), ("PUT", "/api/stop"), ("DELETE", "/"), ("TRACE", "/api/view"),
    ("POST", "/"), ("POST", "/api/view"), ("GET", "/api/looks/0/reading"), ("GET", "/etc/passwd"),
    ("POST", "/api/looks/a/b/reading"), ("GET", "/sessions/%2e%2e/log.jsonl"),
    ("POST", "/" + "a" * 5000),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ELSEWHERE)
def test_an_address_that_is_none_is_told_as_all_that_is_wrong(
    method: str, path: str, untouched: LiveSession, client: TestClient
) -> None:
    before = record(untouched)
    answer = client.request(method, path)
    if path == "/api/view" and method == "POST":  # an action of this name would be posted there
        assert answer.status_code == 400
    else:
        assert answer.status_code in (404, 405)
        assert f"{method} {path[:8]}" in answer.json()["error"]
    assert len(answer.json()["error"]) < 300
    assert record(untouched) == before


@pytest.mark.parametrize("action", ["suggest", "next", "choose", "ingest", "fail", "veto", "stop"])
def test_nothing_is_taken_after_the_end(action: str) -> None:
    live = small(policy=CentreOut())
    client = client_of(live)
    client.post("/api/next")
    client.post("/api/stop")
    given = {"choose": {"design": [0, 0]}, "ingest": {"look": 0, "reading": [[[0.5] * 4] * 4]}}
    given |= {each: {"look": 0} for each in ("fail", "veto")}
    answer = client.post(f"/api/{action}", json=given.get(action, {}))
    if action == "next":  # the pending look is still there
        assert [each["id"] for each in answer.json()["looks"]] == [0]
        return
    assert answer.status_code == 400
    assert "was stopped (stopped by hand); undo takes that back" in answer.json()["error"]


def endless() -> Iterator[bytes]:
    while True:
        yield bytes(2**16)


FOREIGN: dict[str, tuple[dict[str, str], int, str]] = {
    "wrong Host": ({"Host": "evil.example"}, 421, "Host is 'evil.example'"),
    "wrong Host, our port": ({"Host": "evil.example:8321"}, 421, "Host is"),
    "a Host that looks like ours": ({"Host": "127.0.0.1.evil.example"}, 421, "Host is"),
    "a Host that begins like ours": ({"Host": "localhost.evil.example:80"}, 421, "Host is"),
    "an empty Host": ({"Host": ""}, 421, "Host is ''"),
    "foreign Origin": ({"Origin": "http://evil.example"}, 403, "Origin is 'http://evil.example'"),
    "Origin of another port": ({"Origin": "http://127.0.0.1:9"}, 403, "Origin is"),
    "no Origin's own": ({"Origin": "null"}, 403, "Origin is 'null'"),
    "cross-site": ({"Sec-Fetch-Site": "cross-site"}, 403, "Sec-Fetch-Site"),
    "10 GB": ({"Content-Length": str(10**10)}, 413, "body has more than"),
    "no length": ({"Content-Length": "many"}, 400, "Content-Length is 'many'"),
}  # fmt: skip


@pytest.mark.parametrize("path", ["/api/stop", "/api/looks/0/reading"])
@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_requests_are_refused_and_change_nothing(
    name: str, path: str, untouched: LiveSession, client: TestClient
) -> None:
    headers, status, told = FOREIGN[name]
    before = record(untouched)
    answer = client.post(path, headers=headers, content=b"{}")
    assert answer.status_code == status
    assert told in answer.json()["error"]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert record(untouched) == before


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8321", "127.0.0.1", "[::1]:80", "10.1.2.3:8"]
)
def test_hosts_that_no_name_server_decides_are_ours(host: str, client: TestClient) -> None:
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert client.get("/api/state", headers=headers).status_code == 200


def test_a_body_without_end_is_not_read(untouched: LiveSession) -> None:
    """As soon as it is longer than the limit it is refused; not more than that is taken."""
    taken, said = 0, []

    async def receive() -> dict[str, Any]:
        nonlocal taken
        taken += 2**16
        return {"type": "http.request", "body": bytes(2**16), "more_body": True}

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": "/api/stop", "query_string": b"",
             "headers": [(b"host", b"localhost")]}  # fmt: skip
    asyncio.run(app_for(untouched)(scope, receive, send))
    assert said[0]["status"] == 413
    assert taken <= untouched.limit + 2**17
    assert untouched.session.stopped is None


PARTS: dict[str, list[bytes]] = {
    "nothing of it": [],
    "half of it": [b'{"look": 0'],
    "all but its end": [b'{"look": 0}'],
    "parts of it": [b'{"lo', b"", b'ok": 0}'],
}


@pytest.mark.parametrize("path", ["/api/stop", "/api/undo", "/api/suggest", "/api/fail",
                                  "/api/looks/0/reading"])  # fmt: skip
@pytest.mark.parametrize("parts", PARTS)
@pytest.mark.parametrize("ends", ["cut off", "silent"])
def test_a_body_that_is_not_whole_is_not_heard_of(
    ends: str, parts: str, path: str, untouched: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boed.live.guard.BODY_EVERY", 0.002)
    coming = [{"type": "http.request", "body": part, "more_body": True} for part in PARTS[parts]]
    if ends == "cut off":
        coming.append({"type": "http.disconnect"})
    left, said = iter(coming), list[Any]()

    async def receive() -> dict[str, Any]:
        if (message := next(left, None)) is not None:
            return message
        return await asyncio.Future[dict[str, Any]]()

    async def send(message: Any) -> None:
        said.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "query_string": b"",
             "headers": [(b"host", b"localhost"), (b"content-length", b"11")]}  # fmt: skip
    before = record(untouched)
    asyncio.run(asyncio.wait_for(app_for(untouched)(scope, receive, send), 5))
    assert record(untouched) == before
    assert [each["status"] for each in said[:1]] == ([] if ends == "cut off" else [408])


def test_servers_of_one_machine_have_a_token_each(untouched: LiveSession) -> None:
    """A browser sends the cookies of a host to all of its ports."""
    clients = [
        TestClient(app_for(untouched, host="lab.example", token=token), base_url=f"http://{host}")
        for token, host in (("one", "lab.example:8321"), ("two", "lab.example:8322"))
    ]
    jar: dict[str, str] = {}
    for client, token in zip(clients, ("one", "two"), strict=True):
        link = client.get(f"/?token={token}", follow_redirects=False)
        assert "SameSite=Lax" in link.headers["set-cookie"]  # a link in a chat opens the page
        jar |= dict(link.cookies)
    for client in clients:
        client.cookies.update(jar)
        assert client.get("/api/state").status_code == 200


def test_a_token_is_asked_for(untouched: LiveSession) -> None:
    client = client_of(untouched, host="lab.example", token="secret")
    client.base_url = "http://lab.example"  # type: ignore[assignment]
    for given in ({}, {"Authorization": "Bearer other"}, {"Cookie": "boed_token_80=other"}):
        for path in ("/", "/api/state", "/?token=other", "/api/state?token=secret"):
            answer = client.get(path, headers=given)
            assert (answer.status_code, "token is missing" in answer.text) == (401, True)
    bearer = {"Authorization": "Bearer secret"}
    assert client.get("/api/state", headers=bearer).status_code == 200
    link = client.get("/?token=secret", follow_redirects=False)
    assert (link.status_code, link.headers["location"]) == (303, "/")
    assert "HttpOnly; SameSite=Lax" in link.headers["set-cookie"]
    assert client.get("/").status_code == 200  # by the cookie
    assert client.get("/", headers={"Host": "evil.example"}).status_code == 421


def test_what_others_can_reach() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "lab.example")))


@pytest.mark.parametrize(("host", "open_to_all"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_server_that_others_reach_has_a_token_in_its_link(
    host: str, open_to_all: bool, untouched: LiveSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []
    links: list[str] = []
    monkeypatch.setattr("uvicorn.Server.run", lambda server, sockets: served.append(server))
    for _ in range(2):
        serve(untouched, host=host, on_ready=links.append)
    tokens = [link.partition("/?token=")[2] for link in links]
    assert [len(each) > 30 for each in tokens] == [open_to_all] * 2
    assert (tokens[0] != tokens[1]) == open_to_all
    assert [server.config.app.token or "" for server in served] == tokens


def test_a_port_in_use_is_told(untouched: LiveSession) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=rf"port {port}, which cannot be bound to"):
            serve(untouched, port=port, on_ready=lambda _: None)


def test_the_page_needs_nothing_from_elsewhere(untouched: LiveSession, client: TestClient) -> None:
    text = client.get("/").text
    assert text == page_of(untouched)
    assert "default-src 'none'" in text
    assert "http://" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "https://" not in text


def test_a_slow_decision_holds_up_nothing() -> None:
    deciding, go_on = threading.Event(), threading.Event()

    class Slow:
        def choose(self, *given: Any, **more: Any) -> Any:
            deciding.set()
            assert go_on.wait(20)
            return CentreOut().choose(*given, **more)

    live = small(policy=Slow())
    with client_of(live) as client, ThreadPoolExecutor(1) as worker:
        asking = worker.submit(client.post, "/api/next")
        assert deciding.wait(20)
        assert client.get("/api/state").json()["deciding"] is True
        unasked = {"look": [4, 4], "reading": [[[0.5] * 4] * 4]}
        assert client.post("/api/ingest", json=unasked).json()["readings"] == 1
        assert not asking.done()
        go_on.set()
        assert asking.result(20).json()["looks"][0]["id"] == 1


def test_a_change_is_told_soon() -> None:
    live = small(policy=CentreOut())

    class Connected:
        async def is_disconnected(self) -> bool:
            return False

    async def heard() -> float:
        events: AsyncIterator[str] = changes(live, Connected())  # type: ignore[arg-type]
        assert await anext(events) == 'data: {"changes": 0}\n\n'
        clock = asyncio.get_running_loop()
        following = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.05)
        live.stop()
        began = clock.time()
        assert await following == 'data: {"changes": 1}\n\n'
        return clock.time() - began

    assert asyncio.run(heard()) < 1  # 0.03 s on a machine that has nothing else to do


def test_pages_that_wait_for_changes_do_not_hold_up_the_end() -> None:
    live, ends = small(policy=CentreOut()), threading.Event()

    class Connected:
        async def is_disconnected(self) -> bool:
            return False

    async def heard() -> list[str]:
        events = changes(live, Connected(), ends.is_set)  # type: ignore[arg-type]
        told = [await anext(events)]
        ends.set()
        told += [each async for each in events]
        return told

    assert len(asyncio.run(asyncio.wait_for(heard(), 5))) == 1
