"""The mapping language: what may be written, what extends what, and what mistakes are told."""

import json
import re
from pathlib import Path

import pytest

from exporter.config import config_schema, load_config
from exporter.documents import load
from exporter.errors import DocumentError
from exporter.formats import builtin, builtin_names, builtin_text, resolve
from exporter.formats.paths import parse_path
from exporter.formats.spec import FormatSpec
from tests.formats.reading import decode, mapping, named, record
from tests.formats.samples import SAMPLES, litellm


@pytest.mark.parametrize("name", builtin_names())
def test_every_built_in_format_reads_its_line(name: str) -> None:
    found = record(name, SAMPLES[name]())

    assert found.kind.status_code == 200
    assert found.latency is not None
    assert found.start_time is not None


@pytest.mark.parametrize("name", builtin_names())
def test_every_built_in_format_says_what_it_is(name: str) -> None:
    assert len(builtin(name).description) > 60
    assert builtin_text(name).startswith("description:")


@pytest.mark.parametrize("name", builtin_names())
def test_no_attribute_tells_who_asked(name: str) -> None:
    """A label is kept for years and shown to many: no user, no address, no key."""
    for field in builtin(name).attributes.values():
        assert field.path
        assert not re.search("user_id|end_user|email|addr|client|jwt|hash|token", field.path)


def test_a_path_is_keys_indices_and_quoted_keys() -> None:
    assert parse_path("usage.prompt_tokens") == ("usage", "prompt_tokens")
    assert parse_path("tries[-1].ip") == ("tries", -1, "ip")
    assert parse_path("['gen_ai.usage'].a[0][\"b c\"]") == ("gen_ai.usage", "a", 0, "b c")
    assert parse_path("response.headers.content-type") == ("response", "headers", "content-type")


@pytest.mark.parametrize("text", ["", ".", "a.", ".a", "a..b", "a[", "a[x]", "[0]", "a b", "a['b"])
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no path"):
        parse_path(text)


def test_paths_lead_into_lists_from_both_ends() -> None:
    spec = mapping("""
fields:
  status_code: tries[-1].status
  request_id: tries[0].id
  trace_id: ids[5]
""")
    tries = [{"id": "a", "status": 502}, {"id": "b", "status": 200}]

    assert named(record(spec, {"tries": tries}), "request_id", "status_code", "trace_id") == {
        "request_id": "a",
        "status_code": 200,
        "trace_id": "",
    }


def test_a_value_may_stand_where_an_object_stands_in_other_lines() -> None:
    spec = mapping("""
fields: {status_code: status, model: {first: [model.name, model]}}
""")

    assert record(spec, {"status": 200, "model": {"name": "a"}}).kind.model == "a"
    assert record(spec, {"status": 200, "model": "b"}).kind.model == "b"
    assert record(spec, {"status": 200, "model": ["c"]}).kind.model == ""


def test_an_object_may_stand_in_a_string_in_some_lines_and_plain_in_others() -> None:
    spec = mapping("""
embedded: [properties, properties.usage]
fields: {status_code: status, model: properties.model, input_tokens: properties.usage.in}
""")
    inside = {"model": "a", "usage": json.dumps({"in": 3})}
    for properties in (inside, json.dumps(inside), {"model": "a", "usage": {"in": 3}}):
        found = record(spec, {"status": "200", "properties": properties})
        assert (found.kind.model, found.input_tokens) == ("a", 3)
    nothings: tuple[object, ...] = (None, "-", "", [], 7)
    for nothing in nothings:
        assert record(spec, {"status": "200", "properties": nothing}).kind.model == ""


def test_first_takes_the_first_that_is_not_absent_even_beside_nonsense() -> None:
    spec = mapping("""
fields: {status_code: {value: 200}, latency: {first: [a, {path: b, absent: [-1]}, c]}}
""")

    assert record(spec, {"a": 1, "b": "nonsense", "c": 3}).latency == 1
    assert record(spec, {"b": -1, "c": 3}).latency == 3
    assert record(spec, {"b": "-1.0", "c": 3}).latency == 3
    assert decode(spec, {"b": "nonsense", "c": 3}).rejected == {"bad_value": 1}


def test_figures_are_added_divided_scaled_and_counted() -> None:
    spec = mapping("""
fields:
  status_code: {value: 200}
  latency: {add: [{path: queue, unit: ms}, {path: run, unit: min}]}
  output_tokens: {divide: [run, each]}
  input_tokens: {add: [a, b], scale: 0.5}
  images: {count: data}
""")
    line = {"queue": 500, "run": 2, "each": 0.19, "a": 10, "b": "6", "data": [1, {"b": 2}, None]}

    assert named(record(spec, line), "latency", "output_tokens", "input_tokens", "images") == {
        "latency": 120.5,
        "output_tokens": 11,
        "input_tokens": 8,
        "images": 3,
    }
    partly = record(spec, {"queue": 500, "each": 0.19, "data": {}})
    assert named(partly, "latency", "output_tokens", "input_tokens", "images") == {
        "latency": 0.5,
        "output_tokens": None,
        "input_tokens": None,
        "images": None,
    }
    for nonsense in ({"run": 2, "each": "x"}, {"run": "x", "each": 2}, {"a": "x"}):
        assert decode(spec, nonsense).rejected == {"bad_value": 1}
    assert record(spec, {"run": 2, "each": 0}).output_tokens is None


def test_a_name_is_extracted_mapped_matched_and_has_a_default() -> None:
    spec = mapping(r"""
fields:
  status_code: {value: 200}
  model: {path: m, absent: [none], extract: 'arn:(.+)', default: unknown-model}
  provider: {path: p, extract: '^[a-z]+', map: {azure: openai}, match: [{pattern: bed, value: aws}]}
  operation: {path: o, match: operations, default: chat}
""")

    def names(**line: str) -> tuple[str, str, str]:
        kind = record(spec, line).kind
        return kind.model, kind.provider, kind.operation

    assert names(m="arn:x", p="azure-eu", o="/v1/embeddings") == ("x", "openai", "embeddings")
    assert names(m="y", p="bedrock", o="/") == ("unknown-model", "aws", "chat")
    assert names(m="none", p="openai") == ("unknown-model", "", "chat")


def test_a_field_counts_only_when_the_line_fulfils_all_its_conditions() -> None:
    spec = mapping("""
fields:
  status_code: {value: 200}
  model: {path: m, when: [{path: a, is: [1]}, {path: b, present: true}]}
  latency: {path: l, when: [{path: c, match: ^x}, {path: a, present: true}]}
""")

    found = record(spec, {"m": "m", "a": 1, "b": {"c": 1}, "l": 3, "c": "xy"})
    assert (found.kind.model, found.latency) == ("m", 3)
    assert record(spec, {"l": 3, "c": "xy"}).latency is None
    for line in ({"a": 1}, {"a": 2, "b": 1}, {"a": 1, "b": "-"}, {"a": 1, "b": None}):
        found = record(spec, {"m": "m", "l": 3, "c": "yx", **line})
        assert (found.kind.model, found.latency) == ("", None)


def test_keys_with_dots_are_one_key_where_the_mapping_says_so() -> None:
    spec = mapping("flat_keys: true\nfields: {status_code: http.status}")

    assert record(spec, {"http.status": 200}).kind.status_code == 200
    assert decode(spec, {"http": {"status": 200}}).rejected == {"no_status": 1}


@pytest.mark.parametrize(
    ("unit", "time"),
    [
        ("auto", 1_770_000_000.25),
        ("auto", 1_770_000_000_250),
        ("auto", "1770000000250000"),
        ("auto", 1_770_000_000_250_000_000),
        ("auto", "2026-02-02T02:40:00.250Z"),
        ("auto", "2026-02-02 03:40:00,250+01:00"),
        ("s", "1770000000.25"),
        ("ms", 1_770_000_000_250),
        ("%d.%m.%Y %H:%M:%S.%f", "02.02.2026 02:40:00.250"),
    ],
)
def test_times_are_understood_in_many_spellings(unit: str, time: object) -> None:
    spec = mapping(
        f"fields: {{status_code: {{value: 200}}, start_time: {{path: t, unit: '{unit}'}}}}"
    )

    assert record(spec, {"t": time}).start_time == pytest.approx(1_770_000_000.25, abs=1e-6)


@pytest.mark.parametrize(
    "time", ["yesterday", "", None, 0, -5, 1e30, "2026-13-01", "9999-99-99", "2026-01-01" * 9]
)
def test_what_is_no_time_is_none(time: object) -> None:
    spec = mapping("fields: {status_code: {value: 200}, start_time: t}")

    assert record(spec, {"t": time}).start_time is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *(("2603ms", 2.603), ("955.594µs", 0.000955594), ("955.594μs", 0.000955594)),
        *(("12us", 0.000012), ("5ns", 5e-9), ("1.5s", 1.5), ("1m30s", 90), ("1h2m3.5s", 3723.5)),
        *(("2min", 120), ("7", 0.007), (" 7 ", 0.007)),
    ],
)
def test_a_duration_that_carries_its_unit_keeps_it(text: str, seconds: float) -> None:
    spec = mapping("fields: {status_code: {value: 200}, latency: {path: t, unit: ms}}")

    assert record(spec, {"t": text}).latency == pytest.approx(seconds)


def test_a_total_without_what_was_left_out_of_its_parts_is_worked_out_anew() -> None:
    spec = mapping("""
input_excludes_cache: true
output_excludes_reasoning: true
fields:
  status_code: {value: 200}
  input_tokens: in
  output_tokens: out
  total_tokens: total
  cached_input_tokens: cached
  reasoning_output_tokens: thought
""")
    found = record(spec, {"in": 10, "out": 5, "total": 15, "cached": 100, "thought": 7})

    assert (found.input_tokens, found.output_tokens, found.total_tokens) == (110, 12, 122)


def test_figures_that_nobody_can_have_counted_are_unknown() -> None:
    spec = mapping("""
fields:
  status_code: {value: 200}
  input_tokens: in
  latency: l
  cost: c
  cached_input_tokens: p
  images: i
  upstream_time: u
""")
    found = record(spec, {"in": 5, "l": -1, "c": -1, "p": -1, "i": -1, "u": -1})

    assert {*found._asdict().values()} - {"", found.kind} == {None, 5}


def test_an_end_before_the_latency_gives_no_start() -> None:
    spec = mapping("fields: {status_code: {value: 200}, end_time: e, latency: l}")

    assert record(spec, {"e": 5, "l": 6}).start_time is None
    assert record(spec, {"e": 5, "l": 4}).start_time == 1


def test_a_mapping_extends_a_built_in_one_field_by_field() -> None:
    spec = mapping("""
extends: litellm
description: Ours.
fields:
  model: model
  cost: null
attributes:
  team: metadata.team
  deployment: null
""")

    changed = record(spec, litellm(metadata={"team": "x"}), attributes=["team", "deployment"])
    assert named(changed, "model", "cost", "attributes", "input_tokens") == {
        "model": "bedrock/claude-sonnet-4-6",
        "cost": None,
        "attributes": ("x", ""),
        "input_tokens": 1200,
    }
    assert spec.description == "Ours."
    assert spec.documentation == builtin("litellm").documentation


@pytest.mark.parametrize("name", ["apisix-json", "agentgateway-json"])
def test_a_mapping_extends_a_built_in_that_extends_another(name: str) -> None:
    spec = mapping(f"extends: {name}\nfields: {{provider: {{value: ours}}}}")
    changed = record(spec, SAMPLES[name]())

    assert changed.kind.provider == "ours"
    assert changed._replace(kind=changed.kind._replace(provider="")) == (
        (found := record(name, SAMPLES[name]()))._replace(kind=found.kind._replace(provider=""))
    )


def test_a_configured_format_takes_the_place_of_a_built_in_one() -> None:
    own = mapping("fields: {status_code: status}")

    assert resolve("kong", {"kong": own}) is own
    assert resolve("kong", {}) is builtin("kong")
    with pytest.raises(KeyError):
        resolve("kongg", {})


def problems(tmp_path: Path, text: str) -> list[str]:
    """What is wrong with a mapping in a configuration, without the file's name."""
    path = tmp_path / "config.yaml"
    path.write_text("formats:\n  own:\n" + "".join(f"    {line}\n" for line in text.splitlines()))
    path.write_text(path.read_text() + "sources: [{name: a, tail: {paths: [/x], format: own}}]\n")
    with pytest.raises(DocumentError) as caught:
        load_config(path)
    return [line.removeprefix(f"{path}:") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fields:\n  status_code: a..b", "4: formats.own.fields.status_code: 'a..b' is no path"),
        (
            "fields:\n  status_code:\n    path: a\n    value: 200",
            (
                "4: formats.own.fields.status_code: needs exactly one of path, first, value, "
                "present; found path and value"
            ),
        ),
        ("fields: {model: m}", "3: formats.own.fields.status_code: required, but missing"),
        (
            "fields: {status_code: s, latency: {add: [a, b], unit: ms}}",
            "3: formats.own.fields.latency: unit can stand beside path only",
        ),
        (
            "fields: {status_code: s, start_time: {path: t, unit: sec}}",
            "3: formats.own.fields.start_time.unit: expected one of auto, s, ms",
        ),
        (
            "fields: {status_code: s, start_time: {path: t, unit: '%Q'}}",
            "3: formats.own.fields.start_time.unit: expected one of auto, s, ms",
        ),
        (
            "extends: litelm\nfields: {model: m}",
            '3: formats.own.extends: unknown format "litelm"; did you mean "litellm"?',
        ),
        ("lines: text\nfields: {status_code: s}", "2: formats.own: lines: text needs a pattern"),
        ("pattern: x\nfields: {status_code: s}", "3: formats.own.pattern: JSON lines have no"),
        (
            "lines: text\npattern: '(?P<status>x)'\nfields:\n  status_code: stat",
            (
                '6: formats.own.fields.status_code: unknown group "stat" of the pattern; '
                'did you mean "status"?'
            ),
        ),
        (
            "flat_keys: true\nembedded: [a]\nfields: {status_code: s}",
            "2: formats.own: roots and embedded go into objects",
        ),
        (
            "skip_if:\n- {path: a}\nfields: {status_code: s}",
            "4: formats.own.skip_if[0]: needs exactly one of is, match, present; found none",
        ),
        (
            "fields:\n  status_code:\n    path: a\n    match: operation",
            "6: formats.own.fields.status_code.match: expected ",
        ),
    ],
)
def test_a_mistake_in_a_mapping_is_told_with_its_place(
    tmp_path: Path, text: str, problem: str
) -> None:
    (found,) = problems(tmp_path, text)

    assert found.startswith(problem)


def test_editors_are_told_that_a_bare_path_will_do() -> None:
    definitions = config_schema()["$defs"]

    for name in ("Text", "Number", "Time"):
        assert {"type": "string"} in definitions[name]["anyOf"]


def test_a_mapping_can_be_loaded_from_a_file_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(builtin_text("kong"))

    assert load(path, FormatSpec) == builtin("kong")
