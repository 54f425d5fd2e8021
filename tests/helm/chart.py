"""The Helm chart, rendered by Helm's own engine as a library.

`python -m tests.helm.chart` writes what each way of installing it gives; `make generate` does so.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm" / "llm-gateway-exporter"
RENDERED = Path(__file__).parent / "rendered"
RELEASE = "demo"
NAMESPACE = "llm"

WAYS = sorted(path.name.removesuffix("-values.yaml") for path in (CHART / "ci").iterdir())
"""The ways people install it: names of ci/*-values.yaml, which chart-testing installs each."""

HEAD = "# Made by `make generate`; changes here are lost.\n"

Object = dict[str, Any]


class Loader(yaml.CSafeLoader):
    """Reads a lone `=` as text, as Helm and Kubernetes do; refuses a key that is there twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := sorted({key for key in keys if keys.count(key) > 1}):
            raise yaml.constructor.ConstructorError(
                None, None, f"keys that are there twice: {', '.join(twice)}", node.start_mark
            )
        return super().construct_mapping(node, deep)


Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def values_of(way: str) -> Mapping[str, Any]:
    """The values of one of the ways."""
    values: Mapping[str, Any] = yaml.safe_load((CHART / "ci" / f"{way}-values.yaml").read_text())
    return values


def render(values: Mapping[str, Any], chart: Path = CHART) -> dict[str, str]:
    """The text that each template gives.

    Raises:
        helm_python.HelmError: the values are not what the schema or a template wants.
    """
    with helm_python.Chart.load(chart) as loaded:
        loaded.validate_schema(dict(values))
        return loaded.render(dict(values), name=RELEASE, namespace=NAMESPACE)


@cache
def rendered(way: str) -> Mapping[str, str]:
    """The text that each template gives for one of the ways."""
    return render(values_of(way))


def objects(texts: Mapping[str, str]) -> list[Object]:
    """The objects among rendered templates."""
    return [
        found
        for name, text in sorted(texts.items())
        if name.endswith(".yaml")
        for found in yaml.load_all(text, Loader)
        if found
    ]


def only(kind: str, found: list[Object]) -> Object:
    """The one object of a kind."""
    (one,) = [each for each in found if each["kind"] == kind]
    return one


def workload(found: list[Object]) -> Object:
    """The DaemonSet, StatefulSet or Deployment."""
    (one,) = [each for each in found if each["kind"] in ("DaemonSet", "StatefulSet", "Deployment")]
    return one


def without_dashboards(found: list[Object]) -> Iterator[Object]:
    """Objects; of dashboards, which are compared elsewhere, without the JSON."""
    for each in found:
        if "-dashboard-" in each["metadata"]["name"]:
            yield each | {"data": dict.fromkeys(each["data"], "(grafana/dashboards)")}
        else:
            yield each


def document(texts: Mapping[str, str]) -> str:
    """Everything that a way gives, as one text: the objects, and then the notes."""
    found = yaml.safe_dump_all(without_dashboards(objects(texts)), sort_keys=False, width=1000)
    (notes,) = [text for name, text in texts.items() if name.endswith("NOTES.txt")]
    return f"{HEAD}{found}---\n" + "".join(
        f"# {line}".rstrip() + "\n" for line in notes.split("\n")
    )


def main() -> None:
    RENDERED.mkdir(exist_ok=True)
    wanted = {RENDERED / f"{way}.yaml": document(rendered(way)) for way in WAYS}
    for old in set(RENDERED.iterdir()) - set(wanted):
        old.unlink()
    for path, text in wanted.items():
        path.write_text(text)


if __name__ == "__main__":
    main()
