"""How long to look: a few seconds usually, and with `--hypothesis-profile=long` for hours."""

from hypothesis import HealthCheck, settings

_IS_LONG = settings.get_current_profile_name() == "long"

profile = settings(
    max_examples=20_000 if _IS_LONG else 20,
    derandomize=not _IS_LONG,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
