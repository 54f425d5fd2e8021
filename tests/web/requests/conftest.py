from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from exporter.web.requests import LINK, request_routes
from tests.requestlog.logging_requests import Logging
from tests.web.serving import Serve, Served

ATTRIBUTES = ("team", "key")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Logging]:
    """A request log with two extra attributes; its clock is the test's."""
    log = Logging(tmp_path / "requests", attributes=ATTRIBUTES)
    yield log
    log.log.close()


@pytest.fixture
def served(log: Logging, serve: Serve) -> Served:
    """The request log's page and API."""
    return serve(*request_routes(lambda: log.search, lambda: ATTRIBUTES), link=LINK)


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """For one module: Playwright keeps an event loop in this thread, which others must not meet."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
        )
        yield browser
        browser.close()


class OpenPage(Protocol):
    """Opens a page of the server; options are those of a browser's context."""

    def __call__(self, path: str = "/requests?range=all", **options: Any) -> Page: ...


@pytest.fixture
def open_page(browser: Browser, served: Served) -> Iterator[OpenPage]:
    """Pages that must end without an error in their console."""
    contexts, complaints = [], []

    def open_page(path: str = "/requests?range=all", **options: Any) -> Page:
        context = browser.new_context(**{"locale": "en-GB", "timezone_id": "Asia/Tokyo", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"http://127.0.0.1:{served.port}{path}")
        page.wait_for_selector("table[aria-busy=false]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    # A browser tells of each answer that is an error; what the page makes of it is tested.
    assert not [text for text in complaints if "Failed to load resource" not in text]
