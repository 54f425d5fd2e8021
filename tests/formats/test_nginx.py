"""A plain nginx before a model server."""

import pytest

from exporter.record import Outcome
from tests.formats.reading import decode, named, record
from tests.formats.samples import nginx_json


def test_a_streamed_success() -> None:
    found = record("nginx-json", nginx_json(), attributes=["server"])

    assert named(
        found,
        *("request_id", "trace_id", "model", "provider", "operation", "status_code", "streamed"),
        *("attributes", "latency", "time_to_first_token", "upstream_time", "input_tokens"),
    ) == {
        "request_id": "req-1",
        "trace_id": "0af7651916cd43dd8448eb211c80319c",
        "model": "qwen3-32b",
        "provider": "vllm",
        "operation": "chat",
        "status_code": 200,
        "streamed": True,
        "attributes": ("llm.example.org",),
        "latency": 3.206,
        "time_to_first_token": 0.12,
        "upstream_time": 3.202,
        "input_tokens": None,
    }
    assert found.start_time == pytest.approx(1770000000.25)


def test_of_several_servers_the_last_ones_headers_count_and_all_their_times() -> None:
    line = nginx_json(
        upstream_header_time="0.300, - : 0.040, 0.120", upstream_time="0.3, 1.0 : 0.2, 1.5"
    )
    found = record("nginx-json", line)

    assert (found.time_to_first_token, found.upstream_time) == (0.12, 3.0)


@pytest.mark.parametrize("nothing", ["-", "", "-, -"])
def test_without_an_upstream_there_are_none_of_its_times(nothing: str) -> None:
    line = nginx_json(upstream_header_time=nothing, upstream_time=nothing, status="503")
    found = record("nginx-json", line)

    assert (found.time_to_first_token, found.upstream_time) == (None, None)


def test_an_upstream_time_above_the_whole_is_a_matter_of_rounding() -> None:
    found = record("nginx-json", nginx_json(duration="0.109", upstream_time="0.110"))

    assert (found.latency, found.upstream_time) == (0.109, 0.11)


def test_a_client_that_went_away_before_the_answer() -> None:
    kind = record("nginx-json", nginx_json(status="499")).kind

    assert (kind.error_type, kind.outcome) == ("client_aborted", Outcome.ABANDONED)


def test_an_answer_that_broke_off_is_a_failure() -> None:
    kind = record("nginx-json", nginx_json(complete="no")).kind

    assert (kind.error_type, kind.outcome) == ("stream_aborted", Outcome.FAILURE)
    assert record("nginx-json", nginx_json(complete="no", status="502")).kind.error_type == "502"


def test_an_answer_in_one_piece_has_no_time_to_first_token() -> None:
    found = record("nginx-json", nginx_json(content_type="application/json"))

    assert (found.kind.streamed, found.time_to_first_token) == (False, None)


def test_tokens_are_known_where_headers_tell() -> None:
    found = record("nginx-json", nginx_json(input_tokens="50", output_tokens="7"))

    assert (found.input_tokens, found.output_tokens) == (50, 7)


def test_what_is_no_model_request_is_skipped() -> None:
    decoded = decode(
        "nginx-json",
        nginx_json(path="/theme/images/logo.png", model="", method="GET"),
        nginx_json(path="/images/logo.png", model=""),
        nginx_json(path="/v1/models", model="", method="GET"),
        nginx_json(path="/v1/chat/completions", method="OPTIONS"),
        nginx_json(path="/v1/embeddings", model=""),
    )

    assert [each.kind.operation for each in decoded.batch.records()] == ["embeddings"]
    assert decoded.skipped == 4
