"""Lines that are not as they should be; F3 and F4 of the list of what goes wrong with logs."""

import time

import pytest

from exporter.formats import readers
from exporter.formats.compile import PIECE, Decoder
from exporter.formats.json_lines import LONG_LINE, JsonLines
from exporter.formats.lines import last_lines
from exporter.formats.spec import FormatSpec
from exporter.record import Batch, Kinds, Record
from tests.formats.reading import Line, data, decode, mapping, record, records

PLAIN = mapping("""
fields:
  request_id: id
  model: model
  status_code: status
  latency: {path: took, unit: ms}
  input_tokens: usage.in
  output_tokens: usage.out
""")
GOOD = '{"id":"a","model":"m","status":200,"took":5,"usage":{"in":3,"out":4}}'


def rejected(*lines: Line, spec: FormatSpec = PLAIN, good: str = GOOD) -> dict[str, int]:
    """Reasons of the lines, which stand between two good ones."""
    decoded = decode(spec, good, *lines, good)
    assert len(decoded.batch) == decoded.lines - decoded.rejected.total() - decoded.skipped
    return dict(decoded.rejected)


@pytest.mark.scenario("F4")
@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "invalid_json"),
        ("no JSON at all", "invalid_json"),
        ('{"id":"a","status":200', "invalid_json"),
        ('{"id":"a","status":200}{"id":"b","status":200}', "invalid_json"),
        ('{"id":"a","status":200},', "invalid_json"),
        ("\0" * 9 + "x", "invalid_json"),
        ('{"status":200,"model":"\n', "invalid_json"),
        ("null", "wrong_type"),
        ("[1]", "wrong_type"),
        ("17", "wrong_type"),
        ('"text"', "wrong_type"),
        ('{"status":[200]}', "wrong_type"),
        ('{"status":200,"model":{"name":"m"}}', "wrong_type"),
        ('{"status":200,"took":true}', "wrong_type"),
        ('{"status":200,"prompt":' + "[" * 3000 + "]" * 3000 + "}", "too_deep"),
        ('{"status":200,"prompt":' + '{"a":' * 3000 + "1" + "}" * 3000 + "}", "too_deep"),
        ('{"status":200,"took":"fast"}', "bad_value"),
        ('{"status":200,"took":"5 parsecs"}', "bad_value"),
        ('{"status":200,"took":1e999}', "bad_value"),
        ('{"status":200,"took":1e300}', "bad_value"),
        ('{"status":200,"took":"inf"}', "bad_value"),
        ('{"status":200,"usage":{"in":9223372036854775808}}', "bad_value"),
        ('{"status":200,"usage":{"in":-9223372036854775809}}', "bad_value"),
        ('{"status":200,"usage":{"in":' + "9" * 5000 + "}}", "bad_value"),
        ("{}", "no_status"),
        ('{"status":null}', "no_status"),
        ('{"status":"-"}', "no_status"),
        ('{"status":20}', "no_status"),
        ('{"status":2000}', "no_status"),
        ('{"status":600}', "no_status"),
        ('{"status":"099"}', "no_status"),
        ('{"took":"fast"}', "no_status"),
        ('{"status":"²00"}', "no_status"),
        ('{"status":"200\\n"}', "no_status"),
    ],
)
def test_a_line_that_cannot_be_read_is_rejected_for_its_reason_and_costs_no_other(
    line: str, reason: str
) -> None:
    assert rejected(line) == {reason: 1}


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":"a","status":200}\r',
        b' \t{"id":"a","status":200} ',
        b'\xef\xbb\xbf{"id":"a","status":200}',
        b"\0" * 5000 + b'{"id":"a","status":200}',
        b'{"id":"a","status":200}\0\0',
        b'{"id":"b","id":"a","status":429,"status":200}',
        b'{"id":"a","status":"200"}',
        b'{"id":"a","status":200.0}',
        b'{"id":"a","status":200,"took":null,"usage":null,"model":null}',
        b'{"id":"a","status":200,"took":"","usage":"-","model":"-"}',
        b'{"id":"a","status":200,"usage":[{"in":1}]}',
        b'{"id":"a","status":200,"usage":"none"}',
        b'{"id":"a","status":200,"prompt":"half an emoji: \\ud83d"}',
        b'{"id":"a","status":200,"took":NaN,"prompt":-Infinity}',
        b'{"id":"a","status":200,"prompt":1e999}',
        b'{"id":"a","status":200,"prompt":"\xff\xfe"}',
        b'{"id":"a","status":200,"prompt":' + b"9" * 4000 + b"}",
    ],
)
def test_an_odd_line_whose_meaning_is_clear_is_a_record_without_the_odd_parts(line: bytes) -> None:
    found = record(PLAIN, line)

    assert (found.request_id, found.kind.status_code) == ("a", 200)
    assert {found.latency, found.input_tokens, found.output_tokens} == {None}


@pytest.mark.parametrize("blank", ["", " ", "\t", "\r", "\0\0\0\0"])
def test_a_blank_line_is_no_line(blank: str) -> None:
    decoded = decode(PLAIN, GOOD, blank, GOOD)

    assert (decoded.lines, len(decoded.batch)) == (2, 2)


def test_half_a_character_in_a_name_becomes_a_question_mark() -> None:
    assert record(PLAIN, r'{"status":200,"model":"gpt\ud83d","id":"\udc00"}').kind.model == "gpt?"


def test_bytes_that_are_no_utf_8_in_a_name_become_replacement_characters() -> None:
    assert record(PLAIN, b'{"status":200,"model":"caf\xe9"}').kind.model == "caf�"


def test_a_value_next_to_half_a_character_is_of_the_type_that_it_has_elsewhere() -> None:
    found = record(PLAIN, r'{"status":200,"took":5,"prompt":"\ud83d","usage":{"in":7}}')

    assert (found.latency, found.input_tokens) == (0.005, 7)


def test_torn_lines_that_fuse_to_an_object_are_two_rejected_lines() -> None:
    assert rejected('{"id":"a",', '"status":200}') == {"invalid_json": 2}


@pytest.mark.parametrize("prompt", ["", "x" * LONG_LINE], ids=["short", "long"])
def test_good_lines_are_decoded_together_wherever_they_end(
    prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(JsonLines, "row", None)
    lines = [GOOD.replace('"m"', f'"m{prompt}{"x" * number}"') for number in range(17)]

    assert len(decode(PLAIN, *lines).batch) == 17


@pytest.mark.parametrize("prompt", ["", "x" * LONG_LINE], ids=["short", "long"])
def test_an_object_over_two_lines_beside_two_on_one_line_is_not_taken_for_three_records(
    prompt: str,
) -> None:
    good = GOOD.replace("}}", '},"prompt":"' + prompt + '"}')
    two = '{"id":"c","status":200}{"id":"d","status":200}'
    assert rejected('{"id":"a",', '"status":200}', two, good=good) == {"invalid_json": 3}
    assert rejected("", two, good=good) == {"invalid_json": 1}
    assert rejected('{"a":{}', ',"status":200}', two, good=good) == {"invalid_json": 3}
    assert rejected('{"a":', '{"b":1},"status":200}', two, good=good) == {"invalid_json": 3}


def test_a_torn_string_does_not_swallow_the_next_line() -> None:
    assert rejected('{"status":200,"prompt":"cut off}', '{"x":"","status":200}') == {
        "invalid_json": 1
    }


def test_a_line_of_text_that_the_pattern_does_not_match_whole_is_rejected() -> None:
    text = mapping(r"""
lines: text
pattern: '(?P<status>\d+) (?P<model>\S+)'
fields: {status_code: status, model: model}
""")
    decoded = decode(text, "200 gpt", "200 gpt 200 gpt", "hello", "", "200 claude\r")

    assert [found.kind.model for found in decoded.batch.records()] == ["gpt", "claude"]
    assert decoded.rejected == {"no_match": 2}


def test_quotes_and_escapes_in_pairs_are_undone() -> None:
    pairs = mapping("lines: logfmt\nfields: {status_code: status, model: model, request_id: id}")
    found = record(pairs, r'status=200 model="a \"b\" c" id="" other=1')

    assert (found.kind.model, found.request_id) == ('a "b" c', "")


def test_a_line_without_pairs_is_rejected_where_no_pattern_says_what_else_there_is() -> None:
    pairs = mapping("lines: logfmt\nfields: {status_code: status}")

    assert decode(pairs, "status=200", "Starting up").rejected == {"no_match": 1}


@pytest.mark.parametrize(
    ("spec", "line", "reason"),
    [
        (mapping("lines: logfmt\nfields: {status_code: status}"), "x" * 40_000, "no_match"),
        (PLAIN, '{"status":200,"took":"' + "1" * 10_000 + 'x"}', "bad_value"),
    ],
)
def test_a_long_word_is_rejected_in_no_time(spec: FormatSpec, line: str, reason: str) -> None:
    began = time.thread_time()
    assert decode(spec, line).rejected == {reason: 1}
    assert time.thread_time() - began < 1


@pytest.mark.parametrize("character", ["x", "\N{SNOWMAN}"])
def test_long_names_are_cut(character: str) -> None:
    found = record(PLAIN, {"status": 200, "model": character * 5000, "id": character * 5000})

    assert (found.kind.model, found.request_id) == (character * 256, character * 256)


def test_a_client_who_invents_names_does_not_fill_the_memory() -> None:
    spec = mapping("fields: {status_code: status, error_type: {path: error, extract: '^\\w+'}}")
    decoder = Decoder(spec, Kinds())
    for start in range(0, 3 * readers.MOST_REMEMBERED, 1000):
        lines = [f'{{"status":500,"error":"Timeout {start + n}"}}\n' for n in range(1000)]
        decoder.decode("".join(lines).encode())

    assert len(decoder._resolved) == 1


def test_what_is_remembered_of_values_is_bounded() -> None:
    memory = readers.Memory(lambda value: value)
    for number in range(3 * readers.MOST_REMEMBERED - 9):
        assert memory[f"value {number}"] == f"value {number}"
    assert memory["x" * 5000] == "x" * 5000

    assert len(memory) <= readers.MOST_REMEMBERED
    assert "x" * 5000 not in memory


def test_kinds_that_were_forgotten_are_found_again() -> None:
    kinds = Kinds()
    decoder = Decoder(PLAIN, kinds)
    decoder.decode(data({"status": 200, "model": "a"}, {"status": 200, "model": "b"}))
    kinds.clear()
    batch = decoder.decode(data({"status": 200, "model": "b"})).batch

    assert [found.kind.model for found in batch.records()] == ["b"]


def test_records_keep_the_order_of_their_lines_around_those_that_are_left_out() -> None:
    skipping = PLAIN.model_copy(
        update={
            "skip_if": mapping(
                "skip_if: [{path: model, is: [health]}]\nfields: {status_code: status}"
            ).skip_if
        }
    )
    decoded = decode(
        skipping,
        {"id": "1", "status": 200},
        {"id": "2", "status": 200, "model": "health"},
        {"id": "2", "status": 200, "model": "health", "took": "x"},
        {"id": "3", "status": 200, "took": "x"},
        "{",
        {"id": "4"},
        {"id": "5", "status": 500},
    )

    assert [found.request_id for found in decoded.batch.records()] == ["1", "5"]
    assert (decoded.lines, decoded.skipped) == (7, 2)
    assert decoded.rejected == {"bad_value": 1, "invalid_json": 1, "no_status": 1}


def test_a_value_that_is_absent_in_some_lines_is_found_in_the_others() -> None:
    found = records(
        PLAIN,
        {"status": 200, "took": 1, "usage": {"in": 1, "out": 2}},
        {"status": 200},
        {"status": 200, "took": "3", "usage": {"in": "4"}},
        {"status": 200, "took": 7, "usage": "-"},
    )

    assert [each.latency for each in found] == [0.001, None, 0.003, 0.007]
    assert [each.input_tokens for each in found] == [1, None, 4, None]
    assert [each.output_tokens for each in found] == [2, None, None, None]


def test_a_block_of_many_pieces_is_read_as_a_whole() -> None:
    """It is decoded a piece at a time: each line counts once, wherever the pieces begin."""
    lines: list[dict[str, object]] = [
        {"id": str(number), "status": 200, "took": number + 1} for number in range(20_000)
    ]
    lines[7_000]["prompt"] = "x" * 2 * PIECE
    lines[9_000]["took"] = "5s"
    lines[11_000]["took"] = None
    block = data(*lines[:15_000], "{", *lines[15_000:])
    decoded = Decoder(PLAIN, Kinds()).decode(block)
    found = list(decoded.batch.records())

    assert len(block) > 5 * PIECE
    assert (decoded.lines, dict(decoded.rejected)) == (20_001, {"invalid_json": 1})
    assert [each.request_id for each in found] == [line["id"] for line in lines]
    assert [each.latency for each in found[8_999:9_002]] == [9.0, 5.0, 9.002]
    assert found[11_000].latency is None


TIMED = mapping("""
fields:
  request_id: id
  trace_id: trace
  model: model
  status_code: status
  start_time: at
  latency: took
""")


def test_without_details_all_count_the_same_and_only_the_newest_have_them() -> None:
    lines = [
        {"id": f"{n}", "trace": f"{n:032x}", "model": "m", "status": 200, "at": 1e9 + n, "took": n}
        for n in range(1, 1000)
    ]
    block = data(*lines[:500], "{", *lines[500:], "", {"id": "last", "status": 0})
    whole = Decoder(TIMED, Kinds()).decode(block)
    bare = Decoder(TIMED, Kinds(), details=False).decode(block)

    def counted(batch: Batch) -> list[Record]:
        return [
            found._replace(request_id="", trace_id="", start_time=None) for found in batch.records()
        ]

    assert (bare.lines, bare.skipped, bare.rejected) == (1001, 0, whole.rejected)
    assert list(bare.batch.records()) == counted(bare.batch) == counted(whole.batch)
    assert list(bare.newest(3).records()) == list(whole.batch.records())[-1:]
    assert list(bare.newest(5000).records()) == list(whole.batch.records())
    assert whole.newest(3) is whole.batch


def test_the_last_lines_are_whole() -> None:
    lines = b"a\nb\n\nc\n"
    found = [last_lines(lines, count) for count in range(6)]
    assert found == [b"", b"c\n", b"\nc\n", b"b\n\nc\n", lines, lines]
    assert last_lines(b"", 1) == b""
