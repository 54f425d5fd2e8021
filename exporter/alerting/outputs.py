"""The files that definitions become: rules for several rulers, their unit tests, Alertmanager's."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import yaml

from exporter.alerting import promql as q
from exporter.alerting.alertmanager import configuration, remarks
from exporter.alerting.definitions import Definitions
from exporter.alerting.rules import AlertRule, Group, groups_of
from exporter.alerting.slo_tests import slo_cases_of
from exporter.alerting.unit_tests import Case, cases_of, document

LARGEST_OBJECT = 480 * 1024
"""Bytes of a Kubernetes object's rules: the operator's admission refuses more than 512 KiB."""

MADE_BY = "# Made by `llm-gateway-exporter alerts build`; edit the definitions instead.\n"


@dataclass(frozen=True, slots=True)
class RuleObject:
    """A kind of Kubernetes object that holds groups of rules."""

    directory: str
    api_version: str
    kind: str


OBJECTS = (
    RuleObject("prometheus-operator", "monitoring.coreos.com/v1", "PrometheusRule"),
    RuleObject("victoriametrics-operator", "operator.victoriametrics.com/v1beta1", "VMRule"),
)


def files_of(definitions: Definitions) -> dict[str, str]:
    """Every file made of definitions, by its path: its text."""
    groups = [part for group in groups_of(definitions) for part in split(group)]
    texts = {group.name: _text({"groups": [group_document(group)]}) for group in groups}
    files = {f"prometheus/{name}.yaml": text for name, text in texts.items()}
    for name, text in texts.items():
        files[f"mimir/{name}.yaml"] = text.replace("groups:", f"namespace: {name}\ngroups:", 1)
    for kind in OBJECTS:
        for number, parts in enumerate(packed(groups, LARGEST_OBJECT), start=1):
            files[f"{kind.directory}/rules-{number}.yaml"] = _object(kind, number, parts)
    files |= tests_of(definitions)
    notes = "".join(f"# {line}\n" for text in remarks(definitions) for line in text.splitlines())
    files["alertmanager.yaml"] = _text(configuration(definitions), notes)
    return files


def tests_of(definitions: Definitions) -> dict[str, str]:
    """The unit tests of each alert, and the rules that they are about.

    promtool evaluates all rules of a test's files at each step of its time, days of it where weeks
    are compared: a test has the rules of one definition only, each as it is in the group's file.
    """
    files: dict[str, str] = {}
    for alert in definitions.alerts:
        only = definitions.model_copy(update={"alerts": (alert,), "slos": ()})
        (group,) = groups_of(only)
        files |= _test(alert.name, group, list(cases_of(alert, group.alerts, definitions)))
    for slo in definitions.slos:
        only = definitions.model_copy(update={"alerts": (), "slos": (slo,)})
        (group,) = groups_of(only)
        files |= _test(slo.name, group, list(slo_cases_of(slo, group.alerts, definitions)))
    return files


def _test(name: str, group: Group, cases: Sequence[Case]) -> dict[str, str]:
    rules = f"rules/{name}.yaml"
    return {
        f"tests/{name}.yaml": _text(document(rules, cases, group.interval_s)),
        f"tests/{rules}": _text({"groups": [group_document(group)]}),
    }


def split(group: Group) -> Iterator[Group]:
    """A group, or several when its rules are too many for one object.

    Records stay together, for they are chained. Alerts of the later groups read them up to one
    interval later.
    """
    room = LARGEST_OBJECT - len(_text({"groups": [group_document(Group("", group.records))]}))
    parts: list[list[AlertRule]] = [[]]
    for alert in group.alerts:
        size = len(_text([_alert(alert)])) * 5 // 4  # Indentation and quotes come on top.
        if size > room and parts[-1]:
            parts.append([])
            room = LARGEST_OBJECT
        room -= size
        parts[-1].append(alert)
    yield Group(group.name, group.records, parts[0])
    for number, alerts in enumerate(parts[1:], start=2):
        yield Group(f"{group.name}-{number}", type(group.records)(group.interval_s), alerts)


def packed(groups: Sequence[Group], limit: int) -> Iterator[list[Group]]:
    """Groups in as few lists as keep each below a size, in order."""
    held: list[Group] = []
    size = 0
    for group in groups:
        own = len(_text({"groups": [group_document(group)]})) * 5 // 4
        if held and size + own > limit:
            yield held
            held, size = [], 0
        held.append(group)
        size += own
    if held:
        yield held


def group_document(group: Group) -> dict[str, object]:
    """A group as Prometheus reads it."""
    records = [
        {"record": record.name, "expr": str(record.expression)}
        for record in group.records.rules.values()
    ]
    return {
        "name": group.name,
        "interval": q.duration(group.interval_s),
        "rules": [*records, *map(_alert, group.alerts)],
    }


def _alert(rule: AlertRule) -> Mapping[str, object]:
    document: dict[str, object] = {"alert": rule.name, "expr": str(rule.expression)}
    if rule.for_s:
        document["for"] = q.duration(rule.for_s)
    if rule.keep_firing_for_s:
        document["keep_firing_for"] = q.duration(rule.keep_firing_for_s)
    return document | {"labels": dict(rule.labels), "annotations": dict(rule.annotations)}


def _object(kind: RuleObject, number: int, groups: Sequence[Group]) -> str:
    return _text(
        {
            "apiVersion": kind.api_version,
            "kind": kind.kind,
            "metadata": {
                "name": f"llm-gateway-{number}",
                "labels": {"app": "llm-gateway-exporter"},
            },
            "spec": {"groups": [group_document(group) for group in groups]},
        }
    )


class _Dumper(yaml.CSafeDumper):
    """Texts of several lines as blocks, in which a person can read a query."""

    def ignore_aliases(self, data: object) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def _text(document: object, notes: str = "") -> str:
    body = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)
    return MADE_BY + notes + body
