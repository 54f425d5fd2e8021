import html
import re
from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from exporter import __version__
from exporter.web import Link, SourceState
from exporter.web.pages import LandingPage
from tests.web.serving import Serve

HOSTILE = '<script>alert("1")</script>\' onload=\'&amp;"'
ROW = SourceState("litellm", "tail", True, "reading", "3 counted", "/log")


class Reader(HTMLParser):
    """What a browser would see: tags, attributes, and the text of table cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.classes: list[str] = []
        self.cells: list[str] = []
        self._in_cell = False
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_cell = tag in ("th", "td")
        if self._in_cell:
            self.cells.append("")
        for name, value in attrs:
            if name in ("href", "src"):
                self.links.append(value or "")
            if name == "class":
                self.classes.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        self._in_cell = False

    def handle_data(self, data: str) -> None:
        if self._in_cell:
            self.cells[-1] += data


def rendered(*sources: SourceState, ready: str | None = None) -> str:
    return LandingPage(lambda: ready, lambda: sources).render()


def test_shows_each_source_with_its_state() -> None:
    edge = SourceState("edge", "proxy", False, "commits fail", "0 counted", "127.0.0.1:8080")
    page = Reader(rendered(ROW, edge))
    assert page.cells == [
        *("Name", "Kind", "State", "Since the start", "Where"),
        *("litellm", "tail", "reading", "3 counted", "/log"),
        *("edge", "proxy", "commits fail", "0 counted", "127.0.0.1:8080"),
    ]
    assert page.classes[-2:] == ["good", "bad"]


def test_says_so_when_there_is_no_source() -> None:
    assert Reader(rendered()).cells[-1] == "No source is configured."


def test_says_whether_the_exporter_is_ready() -> None:
    assert '<p class="good"><strong>Ready</strong></p>' in rendered()
    unready = rendered(ready="reading the state")
    assert '<p class="bad"><strong>Not ready: reading the state</strong></p>' in unready


def test_names_the_version() -> None:
    assert f"<dt>Version</dt><dd>{__version__}</dd>" in rendered()


def test_names_are_text_whatever_they_hold() -> None:
    plain = Reader(rendered(ROW))
    hostile = rendered(
        SourceState(HOSTILE, HOSTILE, True, HOSTILE, HOSTILE, HOSTILE), ready=HOSTILE
    )
    page = Reader(hostile)
    assert page.tags == plain.tags
    assert page.cells[-5:] == [HOSTILE] * 5
    assert "<script" not in hostile


@given(st.text(st.characters()))
def test_no_name_changes_the_page_or_its_direction(name: str) -> None:
    page = rendered(SourceState(name, "tail", True, "x", "y", "z"))
    page.encode()
    assert page.replace("\n", "").isprintable()
    visible = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in name)
    assert Reader(page).cells[5] == visible
    assert Reader(page).tags == Reader(rendered(ROW)).tags


def test_a_link_of_another_part_is_text_too() -> None:
    page = LandingPage(lambda: None, list)
    page.links.append(Link('x" onclick="1', HOSTILE, HOSTILE))
    assert 'x" onclick="1' in Reader(page.render()).links
    assert html.escape(HOSTILE) in page.render()


def test_every_link_of_the_page_leads_somewhere_also_behind_a_prefix(serve: Serve) -> None:
    served = serve(sources=lambda: [ROW])
    links = Reader(served.ask("/").text).links
    assert len(links) == 5
    for link in links:
        assert not link.startswith("/")
        assert served.ask(f"/{link}").status == 200


def test_needs_nothing_that_its_own_policy_forbids(serve: Serve) -> None:
    answer = serve(sources=lambda: [ROW]).ask("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "style-src 'self'" in answer.headers["content-security-policy"]
    assert Reader(answer.text).tags.isdisjoint({"script", "style", "img", "iframe", "form", "base"})
    assert " style=" not in answer.text


def test_stylesheets_are_served_from_the_package(serve: Serve) -> None:
    server = serve()
    linked = re.findall('"stylesheet" href="(.*?)"', server.ask("/").text)
    assert linked == ["static/colours.css", "static/style.css"]
    styles = [server.ask(f"/{path}") for path in linked]
    assert {style.headers["content-type"] for style in styles} == {"text/css; charset=utf-8"}
    assert "prefers-color-scheme: dark" in styles[0].text
    assert not re.search(r"url\(|@import", "".join(style.text for style in styles))
