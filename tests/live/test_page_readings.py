"""The page with a real instrument: which look a reading is of, and what is told, in a browser."""

from __future__ import annotations

import io
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from boed.live import LiveSession
from boed.live.simulated import Simulated
from boed.policies import CentreOut
from tests.live.browser import CHROMIUM, served
from tests.live.sessions import small

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to run the page"),
    pytest.mark.skipif(
        find_spec("fastapi") is None or find_spec("uvicorn") is None, reason="needs the extra live"
    ),
]

DROP = """(names) => {
  const drop = new DataTransfer();
  for (const name of names) drop.items.add(new File(["hello"], name));
  window.dispatchEvent(new DragEvent("drop", {dataTransfer: drop, cancelable: true}));
}"""
HIDE = """(hidden) => {
  Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
  document.dispatchEvent(new Event("visibilitychange"));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs Playwright")
    with playwright.sync_playwright() as browsers:
        started = browsers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


def real() -> tuple[LiveSession, Simulated]:
    """A session whose instrument is a real one, and what that would read."""
    live = small(policy=CentreOut())
    instrument, live.instrument = live.instrument, None
    assert instrument is not None
    live.answers = ["no pneumonia", "pneumonia", "cardiomegaly"]
    return live, instrument


def npy(live: LiveSession, instrument: Simulated, look: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    np.save(buffer, instrument.read(live.session.looks[look].design).numpy())
    return {"name": "camera.npy", "mimeType": "", "buffer": buffer.getvalue()}


@pytest.mark.parametrize("width", [1200, 390])
def test_a_reading_is_of_the_look_that_was_picked(browser: Any, width: int) -> None:
    live, instrument = real()
    with served(live) as link:
        context = browser.new_context(viewport={"width": width, "height": 844})
        page, other = context.new_page(), context.new_page()
        for each in (page, other):
            each.goto(link)
            each.get_by_text("Look 0 is suggested.").wait_for()
        assert not page.get_by_role("button", name="look 0", exact=True).is_visible()
        live.suggest(2)
        page.get_by_text("3 looks are pending; this is look 0.").wait_for()
        page.get_by_role("button", name="look 1", exact=True).click()
        page.get_by_text("3 looks are pending; this is look 1.").wait_for()
        row, column = map(int, live.session.looks[1].design)
        shows = f"Shows rows {row} to {row + 3}, columns {column} to {column + 3}"
        assert page.locator("#shows").inner_text().startswith(shows)
        page.locator("#file").set_input_files(npy(live, instrument, 1))
        other.get_by_text("2 looks are pending; this is look 0.").wait_for()
        assert [each.status for each in live.session.looks] == ["pending", "taken", "pending"]
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        heights = page.evaluate(
            "[...document.querySelectorAll('#belief th')].map((each) => each.offsetHeight)"
        )
        assert len(heights) == 3
        assert max(heights) < 60  # a name breaks between words at most
        live.stop("seen enough")
        page.get_by_text("Finished: seen enough.").wait_for()
        able = [page.locator(f"#{each}").is_enabled() for each in ("fail", "veto", "file", "undo")]
        assert able == [False, False, False, True]
        context.close()


NAMED = ["Look here instead", "It failed", "Not there (veto)", "Undo", "Stop"]


def test_buttons_are_read_out_by_what_they_do(browser: Any) -> None:
    """Not with the letter of their key, which they say as a shortcut."""
    live, _ = real()
    with served(live) as link:
        page = browser.new_page()
        page.goto(link)
        page.get_by_text("Look 0 is suggested.").wait_for()
        for name in NAMED:
            assert page.get_by_role("button", name=name, exact=True).is_visible(), name
        assert page.get_by_role("columnheader", name="probability").count() == 1
        page.close()


def test_files_that_cannot_be_meant_are_told(browser: Any) -> None:
    live, _ = real()
    with served(live) as link:
        page = browser.new_page(viewport={"width": 390, "height": 844})
        page.goto(link)
        page.get_by_text("Look 0 is suggested.").wait_for()
        page.get_by_role("button", name="It failed").scroll_into_view_if_needed()
        for names, told in (
            (["a.npy", "b.npy"], "2 files are there, expected one: the reading of one look"),
            (["notes.txt"], "reading is none of .npy, .png, .dcm by its content"),
        ):
            page.evaluate(DROP, names)
            page.get_by_text(told).wait_for()
            assert page.locator("#error").bounding_box()["y"] >= 0  # it is in view
        assert [each.status for each in live.session.looks] == ["pending"]
        page.close()


def test_a_page_that_nobody_sees_leaves_its_connection_to_others(browser: Any) -> None:
    """A browser has six for all pages of a server."""
    live, _ = real()
    with served(live) as link:
        context = browser.new_context()
        pages: list[Any] = []
        for _ in range(8):
            for each in pages[-1:]:
                each.evaluate(HIDE, True)
            pages.append(context.new_page())
            pages[-1].goto(link)
            pages[-1].get_by_text("Look 0 is suggested.").wait_for(timeout=20_000)
        live.fail(0)
        pages[-1].get_by_text("Look 1 is suggested.").wait_for()
        assert pages[0].get_by_text("Look 0 is suggested.").is_visible()
        pages[0].evaluate(HIDE, False)
        pages[0].get_by_text("Look 1 is suggested.").wait_for()
        context.close()
