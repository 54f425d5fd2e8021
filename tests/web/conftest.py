import logging
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import structlog
from aiohttp import web

from exporter.web import Link, WebServer
from tests.web.serving import FixedExposition, Serve, Served


@pytest.fixture
def serve() -> Iterator[Serve]:
    with ExitStack() as running:

        def start(*routes: web.RouteDef, link: Link | None = None, **options: Any) -> Served:
            defaults: dict[str, Any] = {
                "listen": ["127.0.0.1:0"],
                "exposition": FixedExposition(),
                "ready": lambda: None,
                "sources": list,
            }
            server = WebServer(**{**defaults, **options})
            server.add_routes(routes, link)
            served = Served(server)
            running.callback(served.stop)
            return served

        yield start


@pytest.fixture
def restore_logging() -> Iterator[None]:
    """Leave the process's logging as it was found."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()
