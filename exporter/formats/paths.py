"""Where a value stands in a line: `usage.tokens`, `tries[-1].ip`, `['gen_ai.request.model']`."""

import re

Path = tuple[str | int, ...]
"""Keys of objects and indices of arrays, from the outside in."""

_FIRST = r"""(?P<key>[^.\[\]'"\s]+)"""
_QUOTED = r"""\['(?P<single>[^']+)'\]|\["(?P<double>[^"]+)"\]"""
_INDEX = r"""\[(?P<index>-?\d+)\]"""
_START = re.compile(f"{_FIRST}|{_QUOTED}")
_STEP = re.compile(rf"\.{_FIRST}|{_QUOTED}|{_INDEX}")


def parse_path(text: str) -> Path:
    """The path's steps.

    Raises:
        ValueError: the text is no path.
    """
    steps: list[str | int] = []
    position = 0
    while position < len(text) or not steps:
        match = (_STEP if steps else _START).match(text, position)
        if match is None:
            raise ValueError(f"{text!r} is no path: write usage.tokens, tries[-1].ip or ['a.b'].c")
        found = match.groupdict()
        index = found.get("index")
        steps.append(int(index) if index else found["key"] or found["single"] or found["double"])
        position = match.end()
    return tuple(steps)
