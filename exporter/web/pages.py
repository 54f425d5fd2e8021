"""The landing page: what this is, how it fares, and where things are."""

import html
import platform
import ssl
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from string import Template

import apsw
from aiohttp import web

from exporter import __version__

_STATIC = files(__package__) / "static"


@dataclass(frozen=True, slots=True)
class SourceState:
    """A row of the table of sources.

    Attributes:
        name: as configured.
        kind: tail, proxy or ingest.
        healthy: whether it does its work.
        state: how it fares, in a word or two.
        counted: what came of it since the process began.
        place: where requests are learnt of.
    """

    name: str
    kind: str
    healthy: bool
    state: str
    counted: str
    place: str


@dataclass(frozen=True, slots=True)
class Link:
    """A way from the landing page; `path` is relative, so that a proxy may add a prefix."""

    path: str
    text: str
    description: str


class LandingPage:
    """The page at `/`.

    Attributes:
        links: in the order of the page; other parts add theirs.
    """

    def __init__(
        self, ready: Callable[[], str | None], sources: Callable[[], Sequence[SourceState]]
    ) -> None:
        """`ready` gives the reason why the exporter is not ready, or None."""
        self._ready = ready
        self._sources = sources
        self._template = Template((_STATIC / "landing.html").read_text("utf-8"))
        self.links = [
            Link("metrics", "Metrics", "All series, for Prometheus to scrape"),
            Link("-/healthy", "Health", "Answers as long as the process does"),
            Link("-/ready", "Readiness", "Whether the sources are being read"),
        ]

    async def handle(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.render(), content_type="text/html")

    def render(self) -> str:
        """The whole HTML document."""
        reason = self._ready()
        return self._template.substitute(
            version=_text(__version__),
            health="good" if reason is None else "bad",
            readiness=_text("Ready" if reason is None else f"Not ready: {reason}"),
            links="".join(map(_link, self.links)),
            sources="".join(map(_source, self._sources())) or _NO_SOURCES,
            build="".join(
                f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in _build()
            ),
        )


def stylesheets() -> list[web.RouteDef]:
    """The landing page's style, and the colours that all pages have."""
    return [static_file(_STATIC / name, "text/css") for name in ("colours.css", "style.css")]


def static_file(file: Traversable, content_type: str) -> web.RouteDef:
    """The route of a file of the pages', which browsers ask for again after an upgrade."""

    async def serve(_request: web.Request) -> web.Response:
        return web.Response(
            text=file.read_text("utf-8"),
            content_type=content_type,
            headers={"Cache-Control": "no-cache"},
        )

    return web.get(f"/static/{file.name}", serve)


_NO_SOURCES = '<tr><td colspan="5">No source is configured.</td></tr>'


def _link(link: Link) -> str:
    return (
        f'<li><a href="{_text(link.path)}">{_text(link.text)}</a> '
        f"<span>{_text(link.description)}</span></li>\n"
    )


def _source(source: SourceState) -> str:
    health = "good" if source.healthy else "bad"
    return (
        f'<tr><th scope="row">{_text(source.name)}</th><td>{_text(source.kind)}</td>'
        f'<td class="{health}">{_text(source.state)}</td><td>{_text(source.counted)}</td>'
        f"<td>{_text(source.place)}</td></tr>\n"
    )


def _build() -> Iterable[tuple[str, str]]:
    yield "Version", __version__
    yield "Python", platform.python_version()
    yield "SQLite", apsw.sqlite_lib_version()
    yield "TLS", ssl.OPENSSL_VERSION


def _text(text: str) -> str:
    """As HTML; characters that cannot be seen, or turn text around, as their escapes."""
    visible = "".join(
        character if character.isprintable() else f"\\u{ord(character):04x}" for character in text
    )
    return html.escape(visible)
