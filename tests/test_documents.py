"""Documents: what YAML means here, what a mistake says, and what no error ever shows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    model_validator,
)

from exporter.documents import Secret, Section, at_least_one, checked, exactly_one, load
from exporter.errors import DocumentError, SecretError

FILE = Path("document.yaml")


class Anything(BaseModel):
    """Takes every document as it is."""

    model_config = {"extra": "allow"}


class Threshold(Section):
    kind: Literal["threshold"]
    above: float
    severity: str = ""


class Absent(Section):
    kind: Literal["absent"]
    after_s: float


class Target(Section):
    url: str
    timeout_s: float = 1


class Receiver(Section):
    email: str | None = None
    webhook: str | None = None
    pager: str | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _one(cls, data: object, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return checked(data, handler, exactly_one(data, "email", "webhook", "pager"))


class Alert(Section):
    name: str = "unnamed"
    enabled: bool = True
    for_s: Annotated[int, Field(alias="for", gt=0)] = 60
    condition: Annotated[Threshold | Absent, Field(discriminator="kind")] | None = None
    target: str | Target | list[str] | None = None
    limits: Mapping[str, int] = {}
    window: tuple[int, int] | None = None
    receivers: tuple[Receiver, ...] = ()
    owner: Receiver | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.name == "forbidden":
            raise ValueError("expected another name:\nthis one is taken")
        return self


def _strong(password: str) -> str:
    if len(password) < 12:
        raise ValueError(f"{password} is weak")
    return password


class Account(Section):
    user: str = ""
    password: Secret | None = None
    pin: SecretStr | None = None
    api_key: Literal["none"] | None = None
    token: Annotated[str, Field(pattern="^[0-9]{4}$")] | None = None
    secret: Annotated[str, AfterValidator(_strong)] = "x" * 12


def values(text: str) -> object:
    """The plain values of a document."""
    return load(FILE, Anything, text).model_dump()


def refusal(text: str, model: type[BaseModel] = Alert) -> list[str]:
    """The problems of a document, without the file's name."""
    with pytest.raises(DocumentError) as caught:
        load(FILE, model, text)
    return [line.removeprefix("document.yaml:") for line in str(caught.value).splitlines()]


# Files


def test_a_file_is_loaded_with_or_without_a_byte_order_mark(tmp_path: Path) -> None:
    for content in (b"name: caf\xc3\xa9\r\n", b"\xef\xbb\xbfname: caf\xc3\xa9\n"):
        (tmp_path / "a.yaml").write_bytes(content)
        assert load(tmp_path / "a.yaml", Alert).name == "café"


def test_an_unreadable_file_says_so_without_a_line(tmp_path: Path) -> None:
    for path, reason in (
        (tmp_path / "none.yaml", "No such file or directory"),
        (tmp_path, "Is a directory"),
    ):
        with pytest.raises(DocumentError) as caught:
            load(path, Alert)
        assert str(caught.value) == f"{path}: cannot be read: {reason}"
        assert caught.value.problems[0].line is None


def test_text_that_is_not_utf8_is_refused_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"name: a\nowner: {email: caf\xe9}\n")
    with pytest.raises(DocumentError) as caught:
        load(tmp_path / "a.yaml", Alert)
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 19)
    assert problem.message == "not UTF-8 text (byte 0xe9)"


# YAML


def test_words_that_older_yaml_takes_for_booleans_are_text() -> None:
    assert values("on: yes\nno: off\ny: n\n1: 2\nnull: ~\ntrue: true\n") == {
        "on": "yes",
        "no": "off",
        "y": "n",
        "1": 2,
        "null": None,
        "true": True,
    }


def test_a_boolean_may_be_written_as_yes_or_off() -> None:
    assert load(FILE, Alert, "enabled: yes").enabled
    assert not load(FILE, Alert, "enabled: off").enabled


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("012", 12), ("0o17", 15), ("0x1F", 31), ("-7", -7), ("1e3", 1000.0), ("1.5", 1.5)],
        *[("12:30", "12:30"), ("2026-01-31", "2026-01-31"), ("1_000", "1_000"), ("0b1", "0b1")],
        *[
            ("", None),
            ("~", None),
            ("<<", "<<"),
            ("=", "="),
            ("!!str 12", "12"),
            (".inf", float("inf")),
        ],
        *[("|\n  two\n  lines\n", "two\nlines\n"), ('"\\x41"', "A"), ("'it''s'", "it's")],
    ],
)
def test_a_value_means_what_yaml_1_2_says(written: str, value: object) -> None:
    assert values(f"key: {written}") == {"key": value}


def test_anchors_and_merge_keys_work_and_a_mappings_own_keys_win() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: {y: 4, <<: *b}\n"
    merged = values(text + "e: *a\n")
    assert merged == {
        "a": {"x": 1, "y": 1},
        "b": {"y": 2, "z": 2},
        "c": {"z": 3, "x": 1, "y": 1},
        "d": {"y": 4, "z": 2},
        "e": {"x": 1, "y": 1},
    }


def test_a_mistake_in_a_merged_key_stands_where_it_was_written() -> None:
    text = "receivers:\n  - &one\n    emial: a@b\n  - <<: *one\n    pager: x\n"
    unknown = 'unknown key; did you mean "email"? allowed: email, pager, webhook'
    assert refusal(text) == [
        f"3: receivers[0].emial: {unknown}",
        f"3: receivers[1].emial: {unknown}",
    ]


def test_duplicate_keys_are_all_told_together_with_other_mistakes() -> None:
    assert refusal("name: a\n'name': b\nfor: 0\nname: c\n") == [
        "2: name: duplicate key; it stands in line 1 already",
        "3: for: expected more than 0; found 0",
        "4: name: duplicate key; it stands in line 1 already",
    ]


def test_a_duplicate_key_is_told_once_however_often_its_mapping_is_used() -> None:
    assert refusal("receivers: [&a {email: x, email: y}, *a, {<<: *a}]") == [
        "1: receivers[0].email: duplicate key; it stands in line 1 already"
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("name: !!python/object:os.system x", "1: name: tags"),
        ("limits: !!set {a, b}", "1: limits: tags"),
        ("[a]: b", "1: expected text as a key, found a list or mapping"),
        (
            "limits:\n  ? {a: b}\n  : 1",
            "2: limits: expected text as a key, found a list or mapping",
        ),
        ('name: "a\\0b"', "1: name: this text holds a character that text cannot have"),
        ('name: "\\ud800"', "1: name: this text holds a character that text cannot have"),
        ('limits: {"\\0": 1}', "1: limits: this key holds a character that text cannot have"),
        ("for: !!int abc", "1: for: this value cannot be read as int"),
        (f"for: {'9' * 5000}", "1: for: this value cannot be read as int"),
        (f"for: 0x{'f' * 5000}", "1: for: this value cannot be read as int"),
        ('name: "\\U00110000"', " an escape or directive holds a number that is too large"),
        ("name: a\n\x07b: 1", "2: the character U+0007 cannot stand in YAML"),
        ("name: a\nenabled:\tx: y", "2: a tab cannot stand here; use spaces"),
        ("name: 'it's'", "1: unexpected text after a value; put all of it in quotes"),
        ("name: @me", '1: text cannot begin with "@"; put it in quotes'),
        ("name: - a", '1: unexpected "-"; a list begins on its own line'),
        ("name: *boss", "1: no anchor has this name"),
        ("name: &a x\nowner: &a y", "2: another anchor has this name already"),
        ("limits: {a: 1\n\n", '3: expected "," or "}"; in brackets, text with any of'),
        (
            "limits: {a: colou?r}",
            '1: expected "," or "}"; in brackets, text with any of , ? [ ] { }',
        ),
        ("name\nfor: 1", '2: unexpected ":"; check the indentation and the line before'),
        ("name: |\n  x\nfor\n", '3: expected a ":" after this key'),
        ("a: &a [*a]", "1: an anchor cannot contain itself"),
        ("a: &a {b: {<<: *a}}", "1: an anchor cannot contain itself"),
        ("a: &a {<<: *a}", "1: an anchor cannot contain itself"),
        ("a: " + "[" * 100, "1: nested more than 50 levels deep"),
        ("a: " + "[" * 100_000, "1: nested more than 50 levels deep"),
        ("a\n---\nb", "2: a second document begins here; expected one only"),
        ("name", "1: expected a mapping (key: value) at the top of the file, found a single value"),
    ],
)
def test_what_is_no_usable_yaml_is_refused_with_one_clear_problem(text: str, problem: str) -> None:
    (line,) = refusal(text)
    assert line.startswith(problem)


def test_aliases_cannot_blow_a_small_file_up() -> None:
    levels = [
        f"l{level}: &l{level} [{', '.join([f'*l{level - 1}'] * 9)}]" for level in range(1, 20)
    ]
    (line,) = refusal("\n".join(["l0: &l0 [1]", *levels]))
    assert line.endswith("more than 100000 values once aliases are expanded")


def test_merges_cannot_blow_a_small_file_up() -> None:
    levels = [
        f"l{level}: &l{level} {{<<: [{', '.join([f'*l{level - 1}'] * 9)}]}}"
        for level in range(1, 20)
    ]
    (line,) = refusal("\n".join(["l0: &l0 {a: 1}", *levels]))
    assert line.endswith("more than 100000 values once aliases are expanded")


# Messages


def test_a_problem_has_file_line_column_and_path() -> None:
    with pytest.raises(DocumentError) as caught:
        load(FILE, Alert, "limits:\n  my limit: many\n")
    (problem,) = caught.value.problems
    assert (problem.file, problem.line, problem.column) == (FILE, 2, 3)
    assert problem.path == 'limits["my limit"]'
    assert str(problem) == (
        'document.yaml:2: limits["my limit"]: expected a whole number; found "many"'
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("for: 1.5", "1: for: expected a whole number; found 1.5"),
        ("enabled: perhaps", '1: enabled: expected true or false; found "perhaps"'),
        ("limits: [1]", "1: limits: expected a mapping (key: value); found a list"),
        ("receivers: {a: b}", "1: receivers: expected a list; found a mapping"),
        ("owner: me", '1: owner: expected a mapping (key: value); found "me"'),
        ("name: 2026", "1: name: expected text; found 2026; put it in quotes"),
        ("window: [1]", "1: window[1]: required, but missing"),
        ("window: [1, 2, 3]", "1: window: expected a list of at most 2; found 3"),
        ("ENABLED: true", '1: ENABLED: unknown key; did you mean "enabled"? allowed: condition, '),
        ("for_s: 1", '1: for_s: unknown key; did you mean "for"? allowed: condition, '),
        ("email: x", "1: email: unknown key; allowed: condition, "),
        (
            'enabled: "a\\n\\u202e\\u2028b"',
            '1: enabled: expected true or false; found "a\\n\\u202e\\u2028b"',
        ),
        (f"enabled: {'x' * 999}", f'1: enabled: expected true or false; found "{"x" * 60}…"'),
    ],
)
def test_a_message_says_what_was_found_and_what_is_allowed(text: str, problem: str) -> None:
    (line,) = refusal(text)
    assert line.startswith(problem)


def test_a_key_of_a_section_below_is_recognised() -> None:
    (line,) = refusal("email: x")
    assert line.endswith("; email is a key of owner")


def test_a_message_of_several_lines_stays_one_line_a_problem() -> None:
    assert refusal("name: forbidden") == ["1: expected another name: this one is taken"]


def test_a_discriminated_union_names_its_kinds_and_the_keys_of_the_chosen_one() -> None:
    assert refusal("condition: {above: 1}") == ["1: condition.kind: required, but missing"]
    assert refusal("condition:\n  above: 1\n  kind: Absnt") == [
        '3: condition.kind: expected threshold or absent; found "Absnt"; did you mean "absent"?'
    ]
    assert refusal("condition:\n  kind: threshold\n  abov: 1\n  after_s: 2\n") == [
        '3: condition.abov: unknown key; did you mean "above"? allowed: above, kind, severity',
        "4: condition.after_s: unknown key; allowed: above, kind, severity",
    ]


def test_a_union_tells_of_the_type_that_was_meant() -> None:
    assert refusal("target: 1") == [
        "1: target: expected text, a mapping (key: value) or a list; found 1; put it in quotes"
    ]
    assert refusal("target:\n  timeout_s: x\n  rul: y\n") == [
        '2: target.timeout_s: expected a number; found "x"',
        '3: target.rul: unknown key; did you mean "url"? allowed: timeout_s, url',
    ]
    assert refusal("target: [a, 1]") == ["1: target[1]: expected text; found 1; put it in quotes"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("owner: {}", "none"),
        ("owner: {pager:}", "pager without a value"),
        ("owner: {email: a, pager: b}", "email and pager"),
    ],
)
def test_exactly_one_of_several_keys_is_needed(text: str, found: str) -> None:
    assert refusal(text) == [f"1: owner: needs exactly one of email, webhook, pager; found {found}"]


def test_a_misspelt_key_is_not_reported_as_missing_too() -> None:
    (line,) = refusal("owner: {emial: a}")
    assert line.startswith('1: owner.emial: unknown key; did you mean "email"?')


def test_at_least_one_of_several_keys_may_be_all_of_them() -> None:
    both = {"a": 1, "b": 2}
    assert list(at_least_one(both, "a", "b")) == []
    assert [text for _, text in at_least_one({}, "a", "b")] == [
        "needs at least one of a, b; found none"
    ]


def test_mistakes_of_all_kinds_are_told_at_once_in_the_files_order() -> None:
    text = "receivers:\n  - {email: a, pager: b, emial: c}\nfor: x\nname: 1\nname: 2\nowner: !x\n"
    assert [line.split(": ")[0:2] for line in refusal(text)] == [
        *[["2", "receivers[0]"], ["2", "receivers[0].emial"], ["3", "for"], ["4", "name"]],
        *[["5", "name"], ["6", "owner"]],
    ]


# Secrets


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "password: hunter2",
            "1: password: expected a mapping (key: value); the value is not shown",
        ),
        ("password: {hunter2}", "1: password: unknown key; allowed: env, file"),
        ("password: {hunter2: 1, hunter2: 2}", "1: password: duplicate key"),
        ("password: [hunter2]", "1: password: expected a mapping (key: value); found a list"),
        ("password: {env: hunter-2}", "1: password.env: expected text that matches"),
        ("secret: hunter2", "1: secret: this value is not allowed; the value is not shown"),
        ("pin: 12345", "1: pin: expected text; the value is not shown"),
        ("api_key: hunter2", "1: api_key: expected none; the value is not shown"),
        (
            "token: hunter2",
            "1: token: expected text that matches ^[0-9]{4}$; the value is not shown",
        ),
        ("password: hunter2: x", '1: unexpected ":"'),
        ("password: *hunter2", "1: no anchor has this name"),
        ("password: !hunter2", "1: password: tags"),
        ("password: 'hunter2", "1: this quote is never closed"),
    ],
)
def test_an_error_about_a_secret_does_not_show_it(text: str, problem: str) -> None:
    lines = refusal(text, Account)
    assert any(line.startswith(problem) for line in lines)
    assert not any("hunter" in line or "12345" in line for line in lines)


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["password", "pin", "api_key", "token", "secret"]),
    st.text(st.sampled_from(" :,#'\"!&*?-[]{}|>%@`\\\n\t1a"), max_size=4),
    st.text(st.sampled_from(" :,#'\"!&*?-[]{}|>%@`\\1a"), max_size=4),
)
def test_no_way_of_writing_a_secret_brings_it_into_an_error(
    key: str, before: str, after: str
) -> None:
    shown = ""
    try:
        load(
            FILE,
            Account,
            f"user: me\n{key}: {before.replace(chr(10), chr(10) + '  ')}hunter2{after}\n",
        )
    except DocumentError as error:
        shown = str(error)
    assert "hunter2" not in shown


def test_a_secret_is_read_from_its_file_without_the_newline_at_its_end(tmp_path: Path) -> None:
    for written, secret in (("a b \n", "a b "), ("a\r\n", "a"), ("é", "é")):
        (tmp_path / "secret").write_bytes(written.encode())
        assert Secret(file=tmp_path / "secret").read() == secret


def test_a_secret_is_read_from_an_environment_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for written in ("hunter2", "hunter2\n", "hunter2\r\n"):
        monkeypatch.setenv("GATEWAY_KEY", written)
        account = load(FILE, Account, "password: {env: GATEWAY_KEY}")
        assert account.password is not None
        assert account.password.read() == "hunter2"


def test_a_secret_that_is_not_there_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GATEWAY_KEY", raising=False)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for secret, problem in (
        (Secret(env="GATEWAY_KEY"), "environment variable GATEWAY_KEY is not set"),
        (
            Secret(file=tmp_path / "none"),
            f"secret file {tmp_path}/none cannot be read: No such file",
        ),
        (Secret(file=tmp_path / "empty"), f"secret file {tmp_path}/empty is empty"),
        (Secret(file=tmp_path / "binary"), f"secret file {tmp_path}/binary is not UTF-8 text"),
    ):
        with pytest.raises(SecretError) as caught:
            secret.read()
        assert str(caught.value).startswith(problem)


@pytest.mark.parametrize("written", ["hunter2\n\n", "hun\rter2", "hunter2\t", "\ufeffhunter2"])
def test_a_secret_with_what_no_header_can_hold_is_refused_unseen(
    tmp_path: Path, written: str
) -> None:
    (tmp_path / "secret").write_text(written, newline="")
    with pytest.raises(SecretError, match="line break") as caught:
        Secret(file=tmp_path / "secret").read()
    assert "hun" not in str(caught.value)


def test_a_secret_needs_exactly_one_place() -> None:
    assert refusal("password: {file: a, env: b}", Account) == [
        "1: password: needs exactly one of file, env; found file and env"
    ]


# Anything at all

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
SNIPPETS = st.sampled_from(
    [
        *[
            "name",
            "for",
            "condition",
            "kind",
            "owner",
            "email",
            "target",
            ": ",
            ":\n  ",
            "\n",
            "- ",
        ],
        *[
            "&a ",
            "*a",
            "<<: ",
            "? ",
            "!x ",
            "!!int ",
            "{",
            "}",
            "[",
            "]",
            ",",
            '"',
            "'",
            "|\n",
            "> ",
        ],
        *[
            "---\n",
            "...\n",
            "%YAML 1.1\n",
            "\t",
            "#",
            "\\",
            '"\\U00110000"',
            "0x",
            "9",
            "~",
            "\ufeff",
        ],
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(SNIPPETS | st.text(max_size=3), max_size=20).map("".join))
def test_any_text_is_loaded_or_refused(text: str) -> None:
    problems = 1
    try:
        load(FILE, Alert, text)
    except DocumentError as error:
        problems = len(error.problems)
    assert problems > 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=40))
def test_any_bytes_are_loaded_or_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(data)
    try:
        loaded = load(path, Alert)
    except DocumentError as error:
        assert error.problems  # noqa: PT017
    else:
        assert loaded == load(path, Alert)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(TEXT, VALUES, min_size=1, max_size=4))
def test_values_come_back_as_they_were_written(document: dict[str, object]) -> None:
    assert values(yaml.safe_dump(document, default_style='"', allow_unicode=True)) == document
