"""Too many clients at once."""

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.gateway import Gateway, to_odd_names
from tests.scraper import Scraper
from tests.setup import Setup, counted_and_logged_once, counts, line
from tests.waiting import free_port, wait_until

CONNECTIONS = 10_000
SCRAPERS = 30
SCRAPES = 20


@pytest.mark.fault("scrape storm")
def test_a_storm_of_scrapes_holds_up_no_counting_and_each_tells_the_truth(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path, to_odd_names, rotate_at_bytes=1 << 30)
    setup = Setup(tmp_path)
    setup.tail["paths"] = [f"{tmp_path}/gateway-*"]
    setup.write()
    gateway.start()
    with setup.start().wait_ready() as daemon:
        before = len(daemon.descriptors())
        scrapers = [Scraper(daemon.address, every_s=0) for _ in range(SCRAPERS)]
        for scraper in scrapers:
            scraper.start()
        wait_until(lambda: all(len(each.seen) >= SCRAPES for each in scrapers), 60, "the scrapes")
        for scraper in scrapers:
            scraper.stop()
        gateway.stop()
        counted_and_logged_once(daemon, gateway, setup.state)
        wait_until(lambda: len(daemon.descriptors()) <= before, 10, "the connections' end")
    for seen in (each.seen for each in scrapers):
        assert seen == sorted(seen), "a step down reads as a reset"
        assert seen[0] < seen[-1] <= gateway.requests
    assert "level=error" not in daemon.log.read_text()


@pytest.mark.fault("10,000 connections")
@pytest.mark.parametrize("door", ["web", "proxy"])
def test_ten_thousand_connections_are_cut_to_the_limit_and_counting_goes_on(
    tmp_path: Path, door: str
) -> None:
    setup = Setup(tmp_path)
    edge = f"127.0.0.1:{free_port()}"
    proxy = {"listen": edge, "upstream": "http://127.0.0.1:9", "max_concurrent": 64}
    log = {"name": "log", "tail": {**setup.tail, "poll_interval": "10ms"}}
    setup.rest["sources"] = [log, {"name": "edge", "proxy": proxy}]
    setup.write()
    setup.append(line())
    with setup.start().wait_ready() as daemon:
        before = len(daemon.descriptors())
        host, _, port = (daemon.address if door == "web" else edge).rpartition(":")
        with ExitStack() as clients:
            for _ in range(CONNECTIONS):
                clients.enter_context(socket.create_connection((host, int(port)), timeout=10))
            setup.append(line())
            wait_until(lambda: len(setup.logged()) == 2, 20, "the log to be read on")
        wait_until(lambda: len(daemon.descriptors()) <= before, 10, "the connections' end")
        counts(daemon, 2)
        refused = daemon.total(f"llm_gateway_exporter_{door}_connections_refused_total")
        assert refused == CONNECTIONS - 512
        assert "level=error" not in daemon.log.read_text()
