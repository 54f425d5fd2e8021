"""YAML text to plain values, and the place in the text of each of them.

PyYAML reads the syntax; what a bare word means follows YAML 1.2's core schema
(https://yaml.org/spec/1.2.2/#103-core-schema), in which `on`, `no`, `012` and `12:30` are not a
boolean, an octal and a sexagesimal number. Keys are always text. Anchors and merge keys work.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from yaml import Node, ScalarNode, SequenceNode, YAMLError
from yaml.composer import Composer, ComposerError
from yaml.error import Mark, MarkedYAMLError
from yaml.nodes import MappingNode
from yaml.parser import Parser
from yaml.reader import Reader, ReaderError
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

MAX_DEPTH = 50
MAX_VALUES = 100_000
"""Values in a document once its aliases are expanded: a few lines of aliases can mean billions."""

Steps = tuple[str | int, ...]
"""Keys of mappings and indices of lists, from the document's top to a value in it."""


class Position(NamedTuple):
    """A place in the text; line and column count from 1, the column in characters."""

    line: int
    column: int


class YamlError(Exception):
    """The text is no YAML, or none that this program reads."""

    def __init__(self, message: str, position: Position | None) -> None:
        super().__init__(message)
        self.message = message
        self.position = position


class Fault(NamedTuple):
    """A mistake that leaves the rest of the document readable."""

    steps: Steps
    position: Position
    message: str


@dataclass(frozen=True, slots=True)
class Tree:
    """A document.

    Attributes:
        value: mappings, lists, str, int, float, bool and None.
        positions: of each value: where its key stands, or the value itself in a list.
        faults: duplicate keys, unusable keys, tags, merges and characters, each once.
    """

    value: dict[str, object]
    positions: Mapping[Steps, Position]
    faults: tuple[Fault, ...]

    def position(self, steps: Steps) -> Position:
        """Where the value at `steps` is; of a key that is missing, the mapping that lacks it."""
        return self.positions.get(steps) or self.position(steps[:-1])


def parse(text: str) -> Tree:
    """The one document in `text`.

    Raises:
        YamlError: there is none, or more than one, or its top is no mapping, or it is no YAML.
    """
    documents = _documents(text)
    if not documents:
        raise YamlError("the file is empty; expected a mapping (key: value)", None)
    if len(documents) > 1:
        mark, _ = documents[1]
        raise YamlError("a second document begins here; expected one only", _position(mark))
    _, root = documents[0]
    return _tree(root)


def parse_all(text: str) -> list[dict[str, object]]:
    """The values of the documents in `text`, in order, but for empty ones.

    Raises:
        YamlError: the top of one is no mapping, or it is no YAML, or has a fault.
    """
    trees = [_tree(root) for _, root in _documents(text) if root.tag != _TAG + "null"]
    if faults := [fault for tree in trees for fault in tree.faults]:
        raise YamlError(faults[0].message, faults[0].position)
    return [tree.value for tree in trees]


def _documents(text: str) -> list[tuple[Mark, Node]]:
    """The root of each document, and where this begins."""
    try:
        return list(_composed(text))
    except ReaderError as error:
        raise YamlError(
            f"the character U+{error.character:04X} cannot stand in YAML",
            Position(
                text.count("\n", 0, error.position) + 1,
                error.position - text.rfind("\n", 0, error.position),
            ),
        ) from None
    except MarkedYAMLError as error:
        raise _explained(error, text) from None
    except (YAMLError, ValueError, OverflowError):
        # A number of its own that PyYAML passes to int() or chr() unchecked: "\U00110000".
        raise YamlError("an escape or directive holds a number that is too large", None) from None


def _tree(root: Node) -> Tree:
    if not isinstance(root, MappingNode):
        raise YamlError(
            "expected a mapping (key: value) at the top of the file, found "
            + ("a list" if isinstance(root, SequenceNode) else "a single value"),
            _position(root.start_mark),
        )
    return _Builder().tree(root)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    """From text to nodes that know their marks. The resolvers below say what a bare word is."""

    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"nested more than {MAX_DEPTH} levels deep", mark)
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _composed(text: str) -> Iterator[tuple[Mark, Node]]:
    loader = _Loader(text)
    while loader.check_node():
        mark = loader.peek_event().start_mark  # type: ignore[no-untyped-call]
        if (root := loader.get_node()) is not None:
            yield mark, root


def _integer(text: str) -> int:
    number = int(text, 0 if text.startswith(("0x", "0o")) else 10)
    if number.bit_length() > 64:
        raise ValueError
    return number


_TAG = "tag:yaml.org,2002:"
_BOOLEANS = {"true": True, "false": False}
_SCALARS: Mapping[str, Callable[[str], object]] = {
    "str": str,
    "merge": str,  # << where it is no key
    "null": lambda text: None,
    "bool": lambda text: _BOOLEANS[text.lower()],
    "int": _integer,
    "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
}
for _name, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    ("merge", "<<", ["<"]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern})\Z"), _first)

_UNUSABLE = re.compile("[\0\ud800-\udfff]")
"""Characters that an escape can make, but no file name, label or encoding can hold."""


class _Builder:
    """Nodes to values. Each alias is built anew, so that every value has a path of its own."""

    def __init__(self) -> None:
        self._positions: dict[Steps, Position] = {}
        self._faults: dict[Position, Fault] = {}
        self._open: set[int] = set()
        self._values = 0

    def tree(self, root: MappingNode) -> Tree:
        self._positions[()] = _position(root.start_mark)
        value = self._mapping(root, ())
        return Tree(value, self._positions, tuple(self._faults.values()))

    def _value(self, node: Node, steps: Steps) -> object:
        self._count(node)
        if isinstance(node, ScalarNode):
            return self._scalar(node, steps)
        if node.tag not in (_TAG + "map", _TAG + "seq"):
            self._fault(node, steps, _NO_TAGS)
            return None
        if id(node) in self._open:
            raise YamlError("an anchor cannot contain itself", _position(node.start_mark))
        self._open.add(id(node))
        value: object
        if isinstance(node, MappingNode):
            value = self._mapping(node, steps)
        else:
            value = [self._item(item, (*steps, index)) for index, item in enumerate(node.value)]
        self._open.remove(id(node))
        return value

    def _item(self, node: Node, steps: Steps) -> object:
        self._positions[steps] = _position(node.start_mark)
        return self._value(node, steps)

    def _mapping(self, node: MappingNode, steps: Steps) -> dict[str, object]:
        mapping = {}
        for key, (key_node, value_node) in self._entries(node, steps).items():
            inside = (*steps, key)
            self._positions[inside] = _position(key_node.start_mark)
            mapping[key] = self._value(value_node, inside)
        return mapping

    def _entries(self, node: MappingNode, steps: Steps) -> dict[str, tuple[Node, Node]]:
        """Key and value by key: a mapping's own first, then those of each merge, in order."""
        entries: dict[str, tuple[Node, Node]] = {}
        merged: list[MappingNode] = []
        for key_node, value_node in node.value:
            self._count(key_node)
            if not isinstance(key_node, ScalarNode):
                self._fault(key_node, steps, "expected text as a key, found a list or mapping")
            elif key_node.tag == _TAG + "merge":
                merged.extend(self._merged(value_node, steps))
            elif _UNUSABLE.search(key := key_node.value):
                self._fault(key_node, steps, "this key holds a character that text cannot have")
            elif key in entries:
                first = entries[key][0].start_mark.line + 1
                message = f"duplicate key; it stands in line {first} already"
                self._fault(key_node, (*steps, key), message)
            else:
                entries[key] = key_node, value_node
        for source in merged:
            for key, entry in self._entries(source, steps).items():
                entries.setdefault(key, entry)
        return entries

    def _merged(self, node: Node, steps: Steps) -> Iterator[MappingNode]:
        """The mappings that a merge key names."""
        for source in node.value if isinstance(node, SequenceNode) else [node]:
            if not isinstance(source, MappingNode):
                self._fault(source, steps, "<< merges a mapping, or a list of mappings")
            elif id(source) in self._open:
                raise YamlError("an anchor cannot contain itself", _position(node.start_mark))
            else:
                yield source

    def _scalar(self, node: ScalarNode, steps: Steps) -> object:
        if _UNUSABLE.search(node.value):
            self._fault(node, steps, "this text holds a character that text cannot have")
            return None
        kind = node.tag.removeprefix(_TAG)
        if kind not in _SCALARS:
            self._fault(node, steps, _NO_TAGS)
            return None
        try:
            return _SCALARS[kind](node.value)
        except (ValueError, KeyError):  # `!!int text`, or too many digits
            self._fault(node, steps, f"this value cannot be read as {kind}")
            return None

    def _fault(self, node: Node, steps: Steps, message: str) -> None:
        position = _position(node.start_mark)
        self._faults.setdefault(position, Fault(steps, position, message))

    def _count(self, node: Node) -> None:
        self._values += 1
        if self._values > MAX_VALUES:
            message = f"more than {MAX_VALUES} values once aliases are expanded"
            raise YamlError(message, _position(node.start_mark))


_NO_TAGS = 'tags (words that begin with "!") are not supported; put text that begins so in quotes'


def _position(mark: Mark) -> Position:
    return Position(mark.line + 1, mark.column + 1)


_IN_BRACKETS = "in brackets, text with any of , ? [ ] { } needs quotes"
_EXPLANATIONS = (
    # What PyYAML says, whether the mistake is where the construct begins, and what we say. PyYAML
    # quotes parts of a value in some of these; ours must not, for the value may be a secret.
    ("could not find expected ':'", True, 'expected a ":" after this key'),
    (
        "mapping values are not allowed",
        False,
        'unexpected ":"; check the indentation and the line before, or put the text in quotes',
    ),
    ("sequence entries are not allowed", False, 'unexpected "-"; a list begins on its own line'),
    ("unexpected end of stream", True, "this quote is never closed"),
    ("undefined alias", False, 'no anchor has this name; put text that begins with "*" in quotes'),
    ("expected alphabetic or numeric", True, 'put text that begins with "*", "&" or "!" in quotes'),
    ("undefined tag handle", False, _NO_TAGS),
    ("second occurrence", False, "another anchor has this name already"),
    ("expected ',' or ']'", False, f'expected "," or "]"; {_IN_BRACKETS}'),
    ("expected ',' or '}'", False, f'expected "," or "}}"; {_IN_BRACKETS}'),
)


def _explained(error: MarkedYAMLError, text: str) -> YamlError:
    """PyYAML's error in the words of someone who edits a file."""
    begun, mark = error.context_mark, error.problem_mark
    problem = error.problem or "this is no YAML"
    if mark is None:
        return YamlError(problem, None)
    before = text[mark.index - mark.column : mark.index]
    if text[mark.index : mark.index + 1] == "\t" or ("\t" in before and not before.strip()):
        return YamlError("a tab cannot stand here; use spaces", _position(mark))
    for theirs, at_beginning, ours in _EXPLANATIONS:
        if theirs in problem:
            problem = ours
            mark = begun if at_beginning and begun is not None else mark
            break
    if re.match("expected (<block end>|'<document start>')", problem):
        problem = "the indentation does not fit the lines above"
        if before.strip():
            problem, begun = "unexpected text after a value; put all of it in quotes", None
    if character := re.fullmatch(r"found character '(.+)' that cannot start any token", problem):
        problem = f'text cannot begin with "{character[1]}"; put it in quotes'
    if begun is not None and begun.line < mark.line:
        problem += f" (in what begins in line {begun.line + 1})"
    return YamlError(problem, _position(mark))
