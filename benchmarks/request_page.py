"""The page of requests in a real browser: how long until its rows are there."""

import json
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.daemon import Daemon
from tests.debian import program

LOADS = 20

PAGES = {
    "the last hour": "range=1h",
    "14 days": "range=14d",
    "errors of a model, 14 days": "range=14d&model=model-3&status=error",
    "an id": "id={id}",
}


def loads(requests: Path, request_id: str) -> dict[str, list[float]]:
    """Milliseconds from the navigation's begin to the table's rows, by what is asked for.

    Args:
        requests: a directory of day files, that of a daemon's state.
    """
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "config.yaml"
        tail = {"paths": [str(Path(directory) / "none.log")], "format": "records"}
        config.write_text(
            json.dumps(
                {
                    "state_dir": str(requests.parent),
                    "sources": [{"name": "log", "tail": tail}],
                    "labels": {"attributes": ["team"]},
                }
            )
        )
        with Daemon(config) as daemon, sync_playwright() as playwright:
            daemon.wait_ready()
            browser = playwright.chromium.launch(
                executable_path=program("chromium"),
                args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"],
            )
            page = browser.new_page()
            address = f"http://{daemon.address}/requests?"
            found = {
                name: [_load(page, address + query.format(id=request_id)) for _ in range(LOADS)]
                for name, query in PAGES.items()
            }
            browser.close()
            return found


def _load(page: Page, url: str) -> float:
    page.goto("about:blank")
    began = time.perf_counter()
    page.goto(url)
    page.wait_for_selector("tbody tr")
    return (time.perf_counter() - began) * 1000
