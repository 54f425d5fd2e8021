"""What a person is shown of formats and lines."""

from exporter.formats import builtin, builtin_names
from exporter.formats.inspection import describe, inspect, table
from tests.formats.reading import data
from tests.formats.samples import higress, litellm

PROMPT = "My password is hunter2"


def shown(name: str, *lines: bytes) -> list[str]:
    return list(table(inspect(builtin(name), lines)))


def test_every_built_in_format_is_described_with_its_attributes() -> None:
    described = {each.name: each for each in describe()}

    assert tuple(described) == builtin_names()
    assert "consumer" in described["kong"].attributes
    assert all(each.text for each in described.values())


def test_records_are_rows_of_a_table_with_aligned_columns() -> None:
    lines = data(litellm(), litellm(model_group="a-rather-long-name", stream=None)).splitlines()
    head, first, second, sums = shown("litellm", *lines)

    assert head.split() == [
        *("line", "time", "model", "provider", "operation", "status", "error", "streamed"),
        *("latency", "TTFT", "in", "out", "cached", "reasoning", "cost", "request", "id"),
    ]
    assert first.split() == [
        *("1", "2026-02-02T02:40:00.250Z", "sonnet", "bedrock", "chat", "200", "-", "yes"),
        *("4.000", "0.500", "1200", "80", "1000", "30", "0.0123", "USD", "chatcmpl-8f1"),
    ]
    assert head.index("provider") == first.index("bedrock") == second.index("bedrock")
    assert head.index("latency") + len("latency") == first.index("4.000") + len("4.000")
    assert sums == "2 line(s): 2 record(s), 0 skipped, 0 rejected"


def test_a_rejected_line_comes_with_its_number_its_reason_and_a_hint() -> None:
    lines = [
        *data(higress(), "", higress(method="GET"), "[1]").splitlines(),
        b'{"duration":',
        b'{"response_code":{"a":1}}',
        b'{"ai_log":"{}"}',
        b'{"ai_log":"{}","response_code":"200","duration":"x"}',
    ]
    _, record, *complaints, sums = shown("higress", *lines)

    assert record.startswith("1 ")
    assert complaints == [
        "line 4: wrong_type: Expected `object`, got `array`",
        "line 5: invalid_json: Expecting value at character 13",
        (
            "line 6: wrong_type: Expected `bool | int | float | str | null`, got `object` - "
            "at `$.response_code`"
        ),
        "line 7: no_status: fields.status_code finds no code from 100 to 599",
        "line 8: bad_value: fields.latency: no figure, or an absurd one",
    ]
    assert sums == "7 line(s): 1 record(s), 1 skipped, 5 rejected"


def test_lines_that_no_pattern_matches_say_so() -> None:
    (complaint, sums) = shown("apisix", b"192.0.2.1 - - hello")

    assert complaint == "line 1: no_match: the pattern does not match the whole line"
    assert sums == "1 line(s): 0 record(s), 0 skipped, 1 rejected"


def test_nothing_of_a_prompt_is_shown_whatever_becomes_of_its_line() -> None:
    messages = [{"role": "user", "content": PROMPT}]
    lines = [
        *data(litellm(messages=messages), litellm(messages=messages, status=[])).splitlines(),
        data(litellm(messages=messages)).strip()[:-1],
        data(litellm(prompt_tokens=PROMPT)).strip(),
        data(litellm(error_information=PROMPT)).strip(),
        b'{"status": ' + PROMPT.encode(),
    ]

    assert not any("hunter2" in line for line in shown("litellm", *lines))


def test_a_name_cannot_move_the_cursor_or_turn_the_text_round() -> None:
    names = "a\x1b[31m\r\n\x00\u202eb"
    _, row, _ = shown("litellm", *data(litellm(model_group=names)).splitlines())

    assert "a\\x1b[31m\\r\\n\\x00\\u202eb" in row


def test_wide_and_long_names_leave_the_columns_aligned() -> None:
    lines = data(litellm(model_group="模型" * 9), litellm(model_group="x" * 90)).splitlines()
    _, wide, long, _ = shown("litellm", *lines)

    assert wide.index("bedrock") + 18 == long.index("bedrock")
    assert "x" * 39 + "…" in long


def test_lines_are_numbered_as_they_stand_and_blank_ones_are_none() -> None:
    lines = data("", litellm(id="a"), "", litellm(id="b")).splitlines()
    found = list(inspect(builtin("litellm"), lines))

    assert [(each.number, each.record and each.record.request_id) for each in found] == [
        (2, "a"),
        (4, "b"),
    ]
