import asyncio
import gzip

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from hypothesis import given
from hypothesis import strategies as st

from exporter.web.exposition import Scrapes, accepts_gzip, prefers_openmetrics
from tests.web.serving import FixedExposition, Serve, closing_connection, request

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)
PROMETHEUS_3_PROTOBUF_FIRST = (
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
    f";escaping=allow-utf-8;q=0.7,{PROMETHEUS_3}"
)
PROMETHEUS_3_TEXT_ONLY = "text/plain;version=0.0.4;q=0.6,*/*;q=0.5"
CHROMIUM = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)


class HeldExposition:
    """Begins to render at once and ends when it is let go; says how often it began."""

    def __init__(self) -> None:
        self.begun = 0
        self.let_go = asyncio.Event()

    async def render(self, openmetrics: bool) -> bytes:
        self.begun += 1
        await self.let_go.wait()
        return b"openmetrics" if openmetrics else b"text"


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        (PROMETHEUS_2, True),
        (PROMETHEUS_3, True),
        (PROMETHEUS_3_PROTOBUF_FIRST, True),
        (PROMETHEUS_3_TEXT_ONLY, False),
        (CHROMIUM, False),
        ("", False),
        ("*/*", False),
        ("application/*", False),
        ("application/json", False),
        ("application/openmetrics-text", True),
        ('Application/OpenMetrics-Text; Version="1.0.0"; charset=utf-8', True),
        ("application/openmetrics-text;version=0.0.1", False),
        ("application/openmetrics-text;version=2.0.0", False),
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.5", False),
        ("application/openmetrics-text;q=0.4,text/*;q=0.5", False),
        ("application/openmetrics-text;q=0.4,text/plain;q=0.3,*/*", True),
        ("application/openmetrics-text;q=0.4,text/plain;version=1.0.0", True),
        ("text/plain,application/openmetrics-text", True),
        ("application/openmetrics-text;q=much", False),
        ("application/openmetrics-text;q=nan", False),
        ("application/openmetrics-text;q=-1", False),
        ("application/openmetrics-text;q=0.1,text/plain;q=1e9", True),
    ],
)
def test_openmetrics_is_for_those_who_like_it_best(accept: str, openmetrics: bool) -> None:
    assert prefers_openmetrics(accept) is openmetrics


@pytest.mark.parametrize(
    ("accept_encoding", "zipped"),
    [
        ("gzip", True),
        ("gzip, deflate, br", True),
        ("br;q=1, GZIP;q=0.1", True),
        ("*", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
    ],
)
def test_gzip_is_for_those_who_accept_it(accept_encoding: str, zipped: bool) -> None:
    assert accepts_gzip(accept_encoding) is zipped


@given(
    st.text()
    | st.lists(st.sampled_from([*' ,;="/*q01.', "gzip", "text/plain", "nan"])).map("".join)
)
def test_no_header_is_too_strange(header: str) -> None:
    assert prefers_openmetrics(header) in (True, False)
    assert accepts_gzip(header) in (True, False)


def test_a_scrape_says_which_format_it_is(serve: Serve) -> None:
    served = serve()
    text = served.ask("/metrics")
    assert text.body == b"series 1\n"
    assert text.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    openmetrics = served.ask("/metrics", headers={"Accept": PROMETHEUS_3})
    assert openmetrics.body == b"series_total 1\n# EOF\n"
    assert (
        openmetrics.headers["content-type"]
        == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )


def test_a_scrape_is_zipped_on_request(serve: Serve) -> None:
    text = b"a_series_of_some_length 1\n" * 10_000
    served = serve(exposition=FixedExposition(text))
    plain = served.ask("/metrics")
    zipped = served.ask("/metrics", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert zipped.headers["content-encoding"] == "gzip"
    assert int(zipped.headers["content-length"]) < len(text) / 10
    assert gzip.decompress(zipped.body) == plain.body == text
    assert plain.headers["vary"] == zipped.headers["vary"] == "Accept, Accept-Encoding"


def test_a_real_client_reads_it_several_times_on_one_connection(serve: Serve) -> None:
    served = serve()

    async def scrape() -> list[str]:
        url = f"http://127.0.0.1:{served.port}/metrics"
        async with aiohttp.ClientSession(headers={"Accept": PROMETHEUS_2}) as session:
            texts = []
            for _ in range(3):
                async with session.get(url) as response:
                    assert response.headers["Content-Encoding"] == "gzip"
                    texts.append(await response.text())
            return texts

    assert asyncio.run(scrape()) == ["series_total 1\n# EOF\n"] * 3


async def begin(scrapes: Scrapes, *headers: dict[str, str]) -> list[asyncio.Task[web.Response]]:
    """Scrapes that are all under way."""
    tasks = [
        asyncio.create_task(scrapes.handle(make_mocked_request("GET", "/metrics", each)))
        for each in headers
    ]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


def test_scrapes_that_coincide_are_rendered_once() -> None:
    async def scrape() -> set[bytes]:
        exposition = HeldExposition()
        tasks = await begin(Scrapes(exposition), *[{}, {"Accept-Encoding": "gzip"}] * 4)
        exposition.let_go.set()
        bodies = {read(answer) for answer in await asyncio.gather(*tasks)}
        assert exposition.begun == 1
        return bodies

    assert asyncio.run(scrape()) == {b"text"}


def test_a_format_is_never_shared_with_the_other() -> None:
    async def scrape() -> list[bytes]:
        exposition = HeldExposition()
        tasks = await begin(Scrapes(exposition), {}, {"Accept": PROMETHEUS_3})
        exposition.let_go.set()
        return [read(answer) for answer in await asyncio.gather(*tasks)]

    assert asyncio.run(scrape()) == [b"text", b"openmetrics"]


def test_each_scrape_after_another_is_rendered_anew(serve: Serve) -> None:
    exposition = FixedExposition(b"a 1\n")
    with closing_connection(serve(exposition=exposition).port) as connection:
        first = request(connection, "/metrics")
        exposition.text = b"a 2\n"
        second = request(connection, "/metrics")
    assert (first.body, second.body) == (b"a 1\n", b"a 2\n")


def test_a_scrape_that_is_broken_off_does_not_end_another_that_shares_it() -> None:
    async def scrape() -> bytes:
        exposition = HeldExposition()
        first, second = await begin(Scrapes(exposition), {}, {})
        first.cancel()
        await asyncio.wait([first])
        exposition.let_go.set()
        return read(await second)

    assert asyncio.run(scrape()) == b"text"


def test_a_scrape_that_fails_fails_for_all_who_shared_it_and_not_for_the_next() -> None:
    class OnceBroken(HeldExposition):
        async def render(self, openmetrics: bool) -> bytes:
            text = await super().render(openmetrics)
            if self.begun == 1:
                raise ValueError
            return text

    async def scrape() -> bytes:
        exposition = OnceBroken()
        scrapes = Scrapes(exposition)
        tasks = await begin(scrapes, {}, {})
        exposition.let_go.set()
        failures = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(failure) for failure in failures] == [ValueError, ValueError]
        (following,) = await begin(scrapes, {})
        return read(await following)

    assert asyncio.run(scrape()) == b"text"


def read(answer: web.Response) -> bytes:
    assert isinstance(answer.body, bytes)
    zipped = "Content-Encoding" in answer.headers
    return gzip.decompress(answer.body) if zipped else answer.body
