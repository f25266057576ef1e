"""Several sessions in one process: each as if it were alone."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs the extra live")
pytest.importorskip("uvicorn", reason="needs the extra live")
pytest.importorskip("httpx", reason="the test client needs httpx")

import httpx
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from boed.cli import app
from boed.live import LiveSession, Sessions
from boed.live.server import app_for, page_of
from boed.live.sessions import MOST
from boed.policies import CentreOut, Random
from boed.session.log import EVENTS
from tests.live.browser import CHROMIUM, served
from tests.live.sessions import patch, small

OURS = "http://127.0.0.1:8321"


def client_of(sessions: Sessions) -> TestClient:
    return TestClient(app_for(sessions), base_url=OURS)


def quick(path: Path | None = None) -> LiveSession:
    return small(path, policy=CentreOut())


def random(path: Path | None = None) -> LiveSession:
    return small(path, policy=Random())


@pytest.fixture(scope="module")
def client() -> TestClient:
    """Of sessions that nothing changes."""
    return client_of(Sessions(quick))


def test_each_goes_its_own_way_over_http(tmp_path: Path) -> None:
    sessions = Sessions(random, tmp_path)
    client = client_of(sessions)
    assert client.post("/api/sessions", json={"session": "left"}).json() == {"session": "left"}
    alone = random()
    for _ in range(2):
        for name in ("1", "left"):
            look = client.post(f"/sessions/{name}/api/next").json()["looks"][0]
            reading = patch(sessions.lives[name], look["id"]).tolist()
            message = {"look": look["id"], "reading": reading}
            answer = client.post(f"/sessions/{name}/api/ingest", json=message)
            assert answer.status_code == 200
        alone.take(alone.next()["looks"][0]["id"])
    client.post("/sessions/left/api/veto", json={"look": 9})  # refused
    client.post("/sessions/left/api/stop")
    for live in sessions.lives.values():
        assert live.session.looks == alone.session.looks
    first, left = client.get("/api/sessions").json()["sessions"]
    assert (first["session"], left["session"]) == ("1", "left")
    assert (first["readings"], first["ended"], left["ended"]) == (2, None, "stopped by hand")
    assert first["belief"] == alone.belief()["belief"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["1", "left"]
    sessions.close()
    again = Sessions(random, tmp_path)
    assert [live.session.stopped for live in again.lives.values()] == [None, "stopped by hand"]
    assert again.lives["1"].session.looks == alone.session.looks
    again.close()


def test_the_pages(client: TestClient) -> None:
    """A list that needs nothing from elsewhere, and the page of each with a link back to it."""
    everyone, one = client.get("/").text, client.get("/sessions/1/").text
    assert "default-src 'none'" in everyone
    assert "http" not in everyone.replace("http-equiv", "")
    assert one == page_of(quick(), "1")
    assert 'href="../../"' in one
    assert 'href="../../"' not in page_of(quick())
    for path in ("/sessions/2/", "/sessions/2/api/state", "/sessions/../api/state"):
        assert client.get(path).status_code in (404, 405), path
    assert client.get("/sessions/1/api/state", headers={"Host": "evil.example"}).status_code == 421
    assert client.post("/api/sessions", content=b" " * 2**22).status_code == 413


NAMES = ["", "Left", "..", "a/b", "-a", ".hidden", "a b", "é", "a" * 65, 3, None, ["a"], "a\n"]
WRONG: list[tuple[Any, str]] = [
    *[({"session": name}, f"session is {name!r}"[:30]) for name in NAMES],
    ({"session": "1"}, "session '1' is there already"),
    ({"sessions": "b"}, "message is another one"),
    ({}, "message is another one"),
    ({"session": "b", "path": "/etc"}, "message is another one"),
    (["b"], "message is another one"),
]


@pytest.mark.parametrize(("message", "told"), WRONG)
def test_what_is_no_new_session_is_refused(message: Any, told: str, client: TestClient) -> None:
    answer = client.post("/api/sessions", json=message)
    assert answer.status_code == 400
    assert " ".join(told.split()) in answer.json()["error"]
    assert len(client.get("/api/sessions").json()["sessions"]) == 1


def test_there_is_an_end_to_how_many() -> None:
    live = quick()
    sessions = Sessions(lambda path: live)
    for number in range(2, MOST + 1):
        sessions.begin(str(number))
    with pytest.raises(ValueError, match="there are 100 sessions"):
        sessions.begin("more")


def test_folders_of_something_else(tmp_path: Path) -> None:
    """Are left alone, and refused where a log would have to be."""
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        Sessions(quick, tmp_path / "notes" / "mine.txt")
    sessions = Sessions(quick, tmp_path)
    assert list(sessions.lives) == ["1"]
    with pytest.raises(ValueError, match=r"holds mine.txt but no log.jsonl"):
        sessions.begin("notes")
    with pytest.raises(ValueError, match="in use by another process"):
        Sessions(quick, tmp_path)
    sessions.close()
    with pytest.raises(ValueError, match="is the log of one session"):
        Sessions(quick, tmp_path / "1")


def test_however_many_wait_for_decisions_readings_are_taken() -> None:
    """Of the session that decides and of every other one."""
    deciding, go_on = threading.Event(), threading.Event()

    class Slow:
        def choose(self, *given: Any, **more: Any) -> Any:
            deciding.set()
            assert go_on.wait(20)
            return CentreOut().choose(*given, **more)

    sessions = Sessions(lambda path: small(path, policy=Slow()))
    sessions.begin("2")
    unasked = {"look": [4, 4], "reading": [[[0.5] * 4] * 4]}

    async def happens() -> list[int]:
        transport = httpx.ASGITransport(app_for(sessions))  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url=OURS) as client:
            asked = [asyncio.ensure_future(client.post("/sessions/1/api/next")) for _ in range(50)]
            while not deciding.is_set():
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)
            try:
                taking = [client.post(f"/sessions/{k}/api/ingest", json=unasked) for k in (1, 2)]
                taken = await asyncio.wait_for(asyncio.gather(*taking), 10)
            finally:
                go_on.set()
            looks = [(await each).json()["looks"][0]["id"] for each in asked]
            assert set(looks) == {1}  # decided anew after the reading
            return [each.json()["readings"] for each in taken]

    assert asyncio.run(happens()) == [1, 1]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--several", "--out", "one"), "is the log of one session"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: tuple[str, ...], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / EVENTS).write_text("")
    refused = CliRunner().invoke(app, ["live", *arguments])
    assert refused.exit_code == 2, refused.output
    assert told in refused.output


@pytest.mark.slow
def test_the_command_serves_several_and_decides_ahead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[Any] = []

    def serve(live: Any, **options: Any) -> None:
        live.begin("second")
        sessions = [each.session for each in live.lives.values()]
        served.extend((each._ahead is not None, each.policy) for each in sessions)

    monkeypatch.setattr("boed.live.server.serve", serve)
    out = tmp_path / "scenes"
    run = CliRunner().invoke(
        app, ["live", "--policy", "centre_out", "--several", "--prefetch", "--out", str(out)]
    )
    assert run.exit_code == 0, run.output
    assert [each[0] for each in served] == [True, True]
    assert served[0][1] is served[1][1]  # models are shared
    assert sorted(each.name for each in out.iterdir()) == ["1", "second"]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to run the page")
@pytest.mark.parametrize("width", [1000, 360])
def test_a_session_is_begun_and_driven_in_the_browser(width: int) -> None:
    """From the list to a session of one's own and back; the other one stays as it was."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    sessions = Sessions(quick)
    with served(sessions) as link, playwright.sync_playwright() as browsers:
        browser = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": width, "height": 800})
        wrong: list[str] = []
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.goto(link)
        page.get_by_role("link", name="1", exact=True).wait_for()
        page.get_by_label("New session").fill("left-lung")
        page.get_by_role("button", name="Begin").click()
        page.get_by_role("link", name="left-lung").click()
        page.get_by_text("Look 0 is suggested.").wait_for()
        assert "left-lung" in page.title()
        page.keyboard.press("t")
        page.get_by_text("Look 1 is suggested.").wait_for()
        page.get_by_role("link", name="All sessions").click()
        row = page.get_by_role("row").filter(has_text="left-lung")
        row.get_by_text("waits for look 1").wait_for()
        assert row.get_by_role("cell").nth(2).inner_text() == "1"
        sessions.lives["left-lung"].stop("that will do")
        row.get_by_text("finished: that will do").wait_for()
        page.get_by_label("New session").fill("left-lung")
        page.get_by_role("button", name="Begin").click()
        page.get_by_text("session 'left-lung' is there already").wait_for()
        width_needed = page.evaluate("document.documentElement.scrollWidth")
        browser.close()
    assert width_needed <= width
    assert [each for each in wrong if "400" not in each] == []
    assert sessions.lives["1"].session.history == []
