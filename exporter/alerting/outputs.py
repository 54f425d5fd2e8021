"""The files that definitions become: rules for several rulers, their unit tests, Alertmanager's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from textwrap import indent

from exporter.alerting.alertmanager import configuration, remarks
from exporter.alerting.definitions import Definitions
from exporter.alerting.groups import Group, groups_of
from exporter.alerting.records import Records
from exporter.alerting.rulefile import alert_text, group_text, yaml_text
from exporter.alerting.rules import AlertRule
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

    def text(self, number: int, groups: Sequence[str]) -> str:
        """An object with groups, given as YAML."""
        head = {
            "apiVersion": self.api_version,
            "kind": self.kind,
            "metadata": {
                "name": f"llm-gateway-{number}",
                "labels": {"app": "llm-gateway-exporter"},
            },
        }
        return f"{MADE_BY}{yaml_text(head)}spec:\n  groups:\n{indent(''.join(groups), '  ')}"


OBJECTS = (
    RuleObject("prometheus-operator", "monitoring.coreos.com/v1", "PrometheusRule"),
    RuleObject("victoriametrics-operator", "operator.victoriametrics.com/v1beta1", "VMRule"),
)


def files_of(definitions: Definitions) -> dict[str, str]:
    """Every file made of definitions, by its path: its text."""
    groups = [part for group in groups_of(definitions) for part in split(group)]
    texts = {group.name: group_text(group) for group in groups}
    files = {f"prometheus/{name}.yaml": _rule_file(text) for name, text in texts.items()}
    for name, text in texts.items():
        files[f"mimir/{name}.yaml"] = f"{MADE_BY}namespace: {name}\ngroups:\n{text}"
    for kind in OBJECTS:
        for number, parts in enumerate(packed(list(texts.values()), LARGEST_OBJECT), start=1):
            files[f"{kind.directory}/rules-{number}.yaml"] = kind.text(number, parts)
    files |= tests_of(definitions)
    notes = "".join(f"# {line}\n" for text in remarks(definitions) for line in text.splitlines())
    files["alertmanager.yaml"] = MADE_BY + notes + yaml_text(configuration(definitions))
    return files


def _rule_file(groups: str) -> str:
    return f"{MADE_BY}groups:\n{groups}"


def tests_of(definitions: Definitions) -> dict[str, str]:
    """The unit tests of each alert, and the rules that they are about.

    promtool evaluates all rules of a test's files at each step of its time, days of it where weeks
    are compared: a test has the rules of one definition only, each as it is in the group's file.
    """
    files: dict[str, str] = {}
    for alert in definitions.alerts:
        only = definitions.model_copy(update={"alerts": (alert,), "slos": ()})
        groups = groups_of(only)
        cases = cases_of(alert, groups[0].alerts, definitions)
        files |= _test(alert.name, groups, list(cases))
    for slo in definitions.slos:
        only = definitions.model_copy(update={"alerts": (), "slos": (slo,)})
        groups = groups_of(only)
        cases = slo_cases_of(slo, groups[0].alerts, definitions)
        files |= _test(slo.name, groups, list(cases))
    return files


def _test(name: str, groups: Sequence[Group], cases: Sequence[Case]) -> dict[str, str]:
    rules, names = f"rules/{name}.yaml", [group.name for group in groups]
    test = document(rules, names, cases, groups[0].interval_s)
    return {
        f"tests/{name}.yaml": MADE_BY + yaml_text(test),
        f"tests/{rules}": _rule_file("".join(map(group_text, groups))),
    }


def split(group: Group) -> Iterator[Group]:
    """A group, or several when its rules are too many for one object.

    Records stay together, for they are chained. Alerts of the later groups read them up to one
    interval later.
    """
    room = LARGEST_OBJECT - _size(group_text(Group(group.name, group.records)))
    parts: list[list[AlertRule]] = [[]]
    for alert in group.alerts:
        size = _size(alert_text(alert))
        if size > room and parts[-1]:
            parts.append([])
            room = LARGEST_OBJECT
        room -= size
        parts[-1].append(alert)
    yield Group(group.name, group.records, parts[0])
    for number, alerts in enumerate(parts[1:], start=2):
        yield Group(f"{group.name}-{number}", Records(group.interval_s), alerts)


def packed(groups: Sequence[str], limit: int) -> Iterator[list[str]]:
    """Groups, as YAML, in as few lists as keep each below a size, in order."""
    held: list[str] = []
    size = 0
    for group in groups:
        own = _size(group)
        if held and size + own > limit:
            yield held
            held, size = [], 0
        held.append(group)
        size += own
    if held:
        yield held


def _size(text: str) -> int:
    """Bytes of a text within an object, where its lines are indented by up to six characters."""
    return len(text.encode()) + 6 * text.count("\n")
