"""Groups of rules as YAML text.

A rule's text is made once, however many files it stands in: the rules of a group, those of its
Kubernetes objects, and those that its unit tests are about.
"""

import re
from functools import lru_cache
from textwrap import indent

import yaml

from exporter.alerting import promql as q
from exporter.alerting.groups import Group
from exporter.alerting.records import Record
from exporter.alerting.rules import AlertRule


def group_text(group: Group) -> str:
    """A group, as an entry of the list `groups`."""
    head = f"- name: {group.name}\n  interval: {q.duration(group.interval_s)}\n  rules:\n"
    records = map(_record_text, group.records.rules.values())
    return head + "".join(indent(text, "  ") for text in (*records, *map(alert_text, group.alerts)))


@lru_cache(maxsize=65_536)
def _record_text(record: Record) -> str:
    document: dict[str, object] = {"record": record.name, "expr": str(record.expression)}
    if record.labels:
        document["labels"] = dict(record.labels)
    return yaml_text([document])


def alert_text(rule: AlertRule) -> str:
    """An alerting rule, as an entry of the list `rules`."""
    document: dict[str, object] = {"alert": rule.name, "expr": str(rule.expression)}
    if rule.for_s:
        document["for"] = q.duration(rule.for_s)
    if rule.keep_firing_for_s:
        document["keep_firing_for"] = q.duration(rule.keep_firing_for_s)
    document["labels"] = dict(rule.labels)
    document["annotations"] = dict(rule.annotations)
    return yaml_text([document])


class _Dumper(yaml.CSafeDumper):
    """Texts of several lines as blocks, in which a person can read a query."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)
# In YAML 1.1, which PyYAML knows, these are no numbers; a title such as 1e5 has to be quoted still.
_Dumper.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"(?:[-+]?(?:\.\d+|\d+\.?\d*)(?:[eE][-+]?\d+)?|0o[0-7]+)\Z", re.ASCII),
    list("-+.0123456789"),
)


def yaml_text(document: object) -> str:
    """A document, in the order of its keys, no line broken."""
    text: str = yaml.dump(
        document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000
    )
    return text
