"""The configuration: one file for each mistake a person can make, and the message it must give."""

import re
from collections import defaultdict
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from exporter import config
from exporter.config import Config, Price, SourceConfig, TailConfig, config_schema, load_config
from exporter.documents import Section, load
from exporter.errors import DocumentError, Problem
from exporter.formats import builtin_names
from exporter.formats.fields import Fields
from exporter.quantities import Duration, Size
from exporter.vocabulary import REQUEST_DURATION, TOKEN_USAGE
from exporter.yaml_tree import Steps

ROOT = Path(__file__).parent.parent
EXAMPLE = ROOT / "config.example.yaml"
TESTDATA = Path(__file__).parent / "config" / "testdata"

MESSAGES = Path(__file__).parent / "config" / "messages.txt"
LISTS = {
    "<formats>": ", ".join(builtin_names()),
    "<fields>": ", ".join(sorted(Fields.model_fields)),
}

MINIMAL = "sources: [{name: litellm, tail: {paths: [/var/log/x.log], format: litellm}}]\n"


def _messages() -> dict[str, list[str]]:
    """The lines of messages.txt by the file of mistakes that they are about."""
    text = MESSAGES.read_text()
    for name, names in LISTS.items():
        text = text.replace(name, names)
    by_file: dict[str, list[str]] = defaultdict(list)
    for line in text.splitlines():
        by_file[line.split(":", 1)[0]].append(line)
    return by_file


@pytest.mark.parametrize(("name", "lines"), _messages().items())
def test_each_mistake_gives_its_message_with_the_line(
    name: str, lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(TESTDATA)
    with pytest.raises(DocumentError) as caught:
        load_config(Path(name))
    assert str(caught.value).splitlines() == lines


def test_every_file_of_mistakes_has_its_message() -> None:
    assert sorted(path.name for path in TESTDATA.iterdir()) == sorted(_messages())


def test_a_minimal_configuration_has_the_documented_defaults() -> None:
    loaded = _loaded(MINIMAL)
    assert loaded.state_dir == Path("/var/lib/llm-gateway-exporter")
    assert loaded.commit_interval == 1.0
    assert loaded.labels.limit == 200
    assert loaded.labels.statuses == (200, 400, 401, 403, 404, 429, 500, 502, 503, 504)
    assert loaded.prices == ()
    assert loaded.histograms.buckets() == {}
    tail = loaded.sources[0].tail
    assert tail == TailConfig(
        paths=("/var/log/x.log",),
        exclude=("*.tmp",),
        format="litellm",
        max_line_size=Size("1MiB"),
        poll_interval=Duration("250ms"),
        rotated_wait=Duration("60s"),
    )
    assert tail is not None
    assert (tail.start, tail.envelope, tail.timezone.key) == ("beginning", "auto", "UTC")


def test_a_source_may_use_a_configured_format() -> None:
    loaded = _loaded(
        "sources: [{name: own, tail: {paths: ['-'], format: own}}]\n"
        "formats: {own: {fields: {status_code: status}}}\n"
    )
    assert loaded.formats["own"].fields.status_code.path == "status"


def test_configured_bounds_are_given_by_the_name_of_their_histogram() -> None:
    loaded = _loaded(MINIMAL + "histograms: {request_duration: [0.5, 1], token_usage: [10]}\n")
    assert loaded.histograms.buckets() == {
        REQUEST_DURATION.name: (0.5, 1.0),
        TOKEN_USAGE.name: (10.0,),
    }


def test_the_ends_of_a_range_are_allowed() -> None:
    assert _loaded(MINIMAL + "commit_interval: 50ms\n").commit_interval == 0.05
    assert _loaded(MINIMAL + "commit_interval: 60s\n").commit_interval == 60.0


def test_a_configuration_made_in_code_is_checked_like_one_in_a_file() -> None:
    tail = TailConfig(paths=("-",), format="litellm")
    source = SourceConfig(name="one", tail=tail)
    assert Config(sources=(source,)).sources[0].tail is tail
    with pytest.raises(ValueError, match=r"(?s)a name of its own.*standard input"):
        Config(sources=(source, source))


def test_a_configuration_cannot_be_changed() -> None:
    loaded = _loaded(MINIMAL)
    with pytest.raises(ValueError, match="frozen"):
        loaded.labels.limit = 3  # type: ignore[misc]


def test_the_example_is_a_valid_configuration() -> None:
    loaded = load_config(EXAMPLE)
    names = [source.name for source in loaded.sources]
    assert names == ["litellm", "house", "edge", "proxied", "push"]
    assert loaded.prices[0].cached_input == 0.16


def test_the_example_is_valid_with_everything_that_is_off_in_it() -> None:
    written = EXAMPLE.read_text()
    text = re.sub(r"^( *)# (\w+: .*)$", r"\1\2", written, flags=re.MULTILINE)
    loaded = load(EXAMPLE, Config, text)
    assert loaded.histograms.overhead is not None
    assert loaded.prices[1].character == 0.00001


def test_the_example_has_every_key() -> None:
    keys = set(re.findall(r"^ *(?:# )?(?:- )?(?:\{)?(\w+):", EXAMPLE.read_text(), re.MULTILINE))
    keys |= set(re.findall(r"[{,] *(\w+):", EXAMPLE.read_text()))
    assert set(_schema_keys(config_schema())) <= keys


def test_the_examples_values_are_the_defaults_where_there_are_any() -> None:
    loaded, default = load_config(EXAMPLE), _loaded(MINIMAL)
    assert loaded.state_dir == default.state_dir
    assert loaded.commit_interval == default.commit_interval
    assert loaded.labels.limit == default.labels.limit
    assert loaded.labels.statuses == default.labels.statuses
    assert loaded.histograms.buckets() == {REQUEST_DURATION.name: REQUEST_DURATION.buckets}
    tail, default_tail = loaded.sources[0].tail, default.sources[0].tail
    assert tail is not None
    assert default_tail is not None
    assert tail == default_tail.model_copy(update={"paths": tail.paths})


def test_the_schema_shows_quantities_as_a_person_writes_them() -> None:
    schema = config_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["properties"]["commit_interval"]["default"] == "1s"
    tail = schema["$defs"]["TailConfig"]["properties"]
    assert tail["max_line_size"]["default"] == "1MiB"
    assert schema["$defs"]["SourceConfig"]["oneOf"] == [
        {"required": [kind]} for kind in config.SOURCE_KINDS
    ]
    assert re.fullmatch(tail["poll_interval"]["pattern"], tail["poll_interval"]["default"])


def test_every_key_of_the_configuration_is_described() -> None:
    sections = [
        section
        for section in vars(config).values()
        if isinstance(section, type) and issubclass(section, Section) and section is not Section
    ]
    assert Price in sections
    undescribed = [
        f"{section.__name__}.{name}"
        for section in sections
        for name, field in section.model_fields.items()
        if not field.description
    ]
    assert undescribed == []


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)
DOCUMENT = yaml.safe_load(EXAMPLE.read_text())
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(sorted(Config.model_fields)), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_configuration_with_anything_anywhere_is_loaded_or_refused_with_lines(
    data: st.DataObject,
) -> None:
    steps = data.draw(st.sampled_from(list(_places(DOCUMENT))))
    text = yaml.safe_dump(_with(DOCUMENT, steps, data.draw(VALUES)), allow_unicode=True)
    problems: tuple[Problem, ...] = ()
    try:
        load(EXAMPLE, Config, text)
    except DocumentError as error:
        problems = error.problems
    last = len(text.splitlines()) + 1
    assert all(problem.line and problem.line <= last for problem in problems)
    assert not any("\n" in str(problem) for problem in problems)


def _loaded(text: str) -> Config:
    return load(Path("config.yaml"), Config, text)


def _schema_keys(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        schema = list(schema.values())
    if isinstance(schema, list):
        for inside in schema:
            yield from _schema_keys(inside)


def _places(value: object, steps: Steps = ()) -> Iterator[Steps]:
    """Every place in a document."""
    yield steps
    entries = value.items() if isinstance(value, dict) else ()
    for step, inside in enumerate(value) if isinstance(value, list) else entries:
        yield from _places(inside, (*steps, step))


def _with(value: Any, steps: Steps, new: object) -> Any:
    """`value` with `new` at a place."""
    if not steps:
        return new
    changed = copy(value)
    changed[steps[0]] = _with(value[steps[0]], steps[1:], new)
    return changed
