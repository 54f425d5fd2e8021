"""Links between the dashboards carry variables along, by their names."""

from itertools import permutations

import pytest

from exporter.dashboards import Options, boards
from tests.dashboards.built import NAMES

ATTRIBUTES = ("team", "pattern_team", "model", "one_model")
"""Among them some that are called as other variables are."""


@pytest.mark.parametrize(("source", "target"), [*permutations(NAMES, 2)])
def test_what_is_picked_on_one_dashboard_can_be_picked_on_the_other(
    source: str, target: str
) -> None:
    """Grafana takes All, several values, or a pattern for a name where there is nothing such."""
    built = {name: board.build() for name, board in boards(Options(attributes=ATTRIBUTES)).items()}
    assert all(link.include_vars for link in built[source].links or ())
    there = {variable.name: variable for variable in built[target].templating.list_val or ()}
    for variable in built[source].templating.list_val or ():
        if variable.name in there:
            taken = there[variable.name]
            assert taken.type_val == variable.type_val, variable.name
            assert taken.include_all or not variable.include_all, variable.name
            assert taken.multi or not variable.multi, variable.name
