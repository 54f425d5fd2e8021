"""The proxy in the daemon: series, reloads and the end."""

import signal
import threading

import pytest

from tests.daemon import Daemon
from tests.setup import REQUESTS
from tests.sources.proxy.edge import ANSWER, EVENTS, Edge, reload
from tests.waiting import free_port, wait_until


def test_what_goes_through_becomes_series_that_a_restart_keeps(edge: Edge) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        assert edge.ask() == ANSWER
        assert edge.ask(stream=True) == b"".join(EVENTS)
        wait_until(lambda: daemon.total(REQUESTS, http_response_status_code="200") == 2)
        assert daemon.total("llm_gateway_tokens_total", gen_ai_token_type="input") == 84
        assert daemon.total("gen_ai_server_time_to_first_token_seconds_count") == 1
        assert daemon.end() == 0
    with Daemon(edge.file).wait_ready() as daemon:
        assert daemon.total(REQUESTS) == 2


def test_a_request_under_way_ends_and_counts_before_the_daemon_does(edge: Edge) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        bodies: list[bytes] = []
        asking = threading.Thread(target=lambda: bodies.append(edge.ask(stream=True)))
        asking.start()
        wait_until(lambda: daemon.total("llm_gateway_active_requests") == 1)
        assert daemon.end() == 0
        asking.join()
        assert bodies == [b"".join(EVENTS)]
    with Daemon(edge.file).wait_ready() as daemon:
        assert daemon.total(REQUESTS, http_response_status_code="200") == 1
        assert daemon.total(REQUESTS, error_type="stream_aborted") == 0


@pytest.mark.parametrize("change", ["other settings", "other attributes", "another port"])
def test_a_reload_cuts_no_stream_and_loses_no_record(edge: Edge, change: str) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        bodies: list[bytes] = []
        asking = threading.Thread(target=lambda: bodies.append(edge.ask(stream=True)))
        asking.start()
        wait_until(lambda: daemon.total("llm_gateway_active_requests") == 1)
        if change == "another port":
            edge.write(port=free_port())
        elif change == "other attributes":
            edge.write("labels: {attributes: [team]}\n")
        else:
            edge.write("labels: {limit: 100}\n")
        reload(daemon)
        assert edge.ask() == ANSWER
        asking.join()
        assert bodies == [b"".join(EVENTS)]
        wait_until(lambda: daemon.total(REQUESTS, http_response_status_code="200") == 2)


def test_a_request_that_outlives_its_attribute_gives_its_value_to_no_other(edge: Edge) -> None:
    def write(attribute: str) -> None:
        edge.write(f"labels: {{attributes: [{attribute}]}}\n")
        proxy = f"upstream: 'http://127.0.0.1:{edge.upstream_port}'"
        text = edge.file.read_text()
        edge.file.write_text(text.replace(proxy, f"{proxy}, attributes: {{{attribute}: X-Who}}"))

    write("team")
    with Daemon(edge.file).wait_ready() as daemon:
        asking = threading.Thread(target=edge.ask, args=(True, {"X-Who": "search"}))
        asking.start()
        wait_until(lambda: daemon.total("llm_gateway_active_requests") == 1)
        write("workspace")
        reload(daemon)
        asking.join()
        wait_until(lambda: daemon.total(REQUESTS) == 1)
        assert daemon.total(REQUESTS, workspace="search") == 0


@pytest.mark.parametrize("kind", ["another source", "another kind of the same name"])
def test_a_request_that_outlives_its_source_is_counted(edge: Edge, kind: str) -> None:
    log = edge.file.with_name("gateway.jsonl")
    with Daemon(edge.file).wait_ready() as daemon:
        bodies: list[bytes] = []
        asking = threading.Thread(target=lambda: bodies.append(edge.ask(stream=True)))
        asking.start()
        wait_until(lambda: daemon.total("llm_gateway_active_requests") == 1)
        edge.file.write_text(
            f"state_dir: {edge.state}\nsources:\n"
            f"  - name: {'edge' if kind == 'another kind of the same name' else 'log'}\n"
            f"    tail: {{paths: [{log}], format: records}}\n"
        )
        reload(daemon)
        log.write_text('{"status_code": 200}\n')
        asking.join()
        assert bodies == [b"".join(EVENTS)]
        wait_until(lambda: daemon.total(REQUESTS, http_response_status_code="200") == 2)
        assert daemon.end() == 0
    with Daemon(edge.file).wait_ready() as daemon:
        assert daemon.total(REQUESTS) == 2


def test_a_port_that_is_taken_keeps_the_configuration_of_before(edge: Edge) -> None:
    with Daemon(edge.file).wait_ready() as daemon:
        port = edge.port
        edge.write(port=int(daemon.address.rpartition(":")[2]))
        daemon.process.send_signal(signal.SIGHUP)
        name = "llm_gateway_exporter_config_last_reload_successful"
        wait_until(lambda: daemon.total(name) == 0)
        edge.port = port
        assert edge.ask() == ANSWER
        wait_until(lambda: daemon.total(REQUESTS) == 1)
