"""The formats that come with the program, by name."""

from functools import cache
from importlib import resources

from exporter.formats.spec import FormatSpec


@cache
def builtin_names() -> tuple[str, ...]:
    """Names of the built-in formats, sorted."""
    files = resources.files(__package__).iterdir()
    return tuple(sorted(file.name.removesuffix(".yaml") for file in files if file.name.endswith(".yaml")))


def builtin_text(name: str) -> str:
    """The YAML of a built-in format.

    Raises:
        KeyError: there is none of this name.
    """
    if name not in builtin_names():
        raise KeyError(name)
    return (resources.files(__package__) / f"{name}.yaml").read_text()


@cache
def builtin(name: str) -> FormatSpec:
    """A built-in format.

    Raises:
        KeyError: there is none of this name.
    """
    import yaml

    return FormatSpec.model_validate(yaml.load(builtin_text(name), yaml.CSafeLoader))
