"""The formats that come with the program, as the YAML that people read and extend."""

from functools import cache
from importlib import resources

from exporter.yaml_tree import parse


@cache
def builtin_names() -> tuple[str, ...]:
    """Names of the built-in formats, sorted."""
    files = [file.name for file in resources.files(__package__).iterdir()]
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def builtin_text(name: str) -> str:
    """The YAML of a built-in format.

    Raises:
        KeyError: there is none of this name.
    """
    if name not in builtin_names():
        raise KeyError(name)
    return (resources.files(__package__) / f"{name}.yaml").read_text(encoding="utf-8")


def builtin_document(name: str) -> dict[str, object]:
    """A built-in format as plain values.

    Raises:
        KeyError: there is none of this name.
    """
    return parse(builtin_text(name)).value
