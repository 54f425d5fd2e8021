"""The metrics about the exporter itself, of all processes together."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample

from exporter.vocabulary import ACTIVE_REQUESTS
from exporter.workers.messages import OwnSample

_PREFIX = "llm_gateway_exporter"

OF_A_PROCESS = frozenset(
    (
        ACTIVE_REQUESTS.prometheus_name,
        "process_open_fds",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
    )
)
"""Gauges of what ends with a process."""

GAUGES: Mapping[str, Callable[[float, float], float]] = {
    f"{_PREFIX}_last_commit_timestamp_seconds": min,
    f"{_PREFIX}_tail_behind_seconds": max,
    **dict.fromkeys(
        (
            f"{_PREFIX}_series",
            f"{_PREFIX}_tail_behind_bytes",
            f"{_PREFIX}_tail_known_files",
            f"{_PREFIX}_tail_open_files",
            *OF_A_PROCESS,
        ),
        float.__add__,
    ),
}
"""How gauges are put together. Others are the main process's alone, or the same in all of them."""

Key = tuple[str, tuple[tuple[str, str], ...]]


def own_samples(registry: CollectorRegistry) -> list[OwnSample]:
    """What a worker tells of itself."""
    return [
        OwnSample(
            family.name, family.type, sample.name, tuple(sample.labels.items()), float(sample.value)
        )
        for family in registry.collect()
        if _is_put_together(family.name, family.type)
        for sample in family.samples
    ]


def _is_put_together(family: str, type: str) -> bool:
    return type in ("counter", "histogram") or family in GAUGES


class WorkerSamples:
    """What a worker has told of itself; the counts of one that died stay."""

    def __init__(self) -> None:
        self._before: dict[Key, OwnSample] = {}
        self._told: dict[Key, OwnSample] = {}

    def tell(self, samples: Iterable[OwnSample]) -> None:
        """These take the place of those before."""
        self._told = {(sample.name, sample.labels): sample for sample in samples}

    def ended(self) -> None:
        """The worker has ended; the next one counts from zero."""
        for key, sample in self._told.items():
            if sample.type != "gauge":
                self._before[key] = _plus(sample, self._before.get(key))
        self._told = {
            key: one
            for key, one in self._told.items()
            if one.type == "gauge" and one.family not in OF_A_PROCESS
        }

    def all(self) -> list[OwnSample]:
        """Counts since the main process began, and gauges as they were told last."""
        before, told = self._before, self._told
        return [
            *(_plus(sample, before.get(key)) for key, sample in told.items()),
            *(sample for key, sample in before.items() if key not in told),
        ]


def _plus(sample: OwnSample, before: OwnSample | None) -> OwnSample:
    return sample if before is None else sample._replace(value=sample.value + before.value)


class OwnMetrics(Collector):
    """The main process's metrics about itself, with those of the workers put together."""

    def __init__(self, own: Collector, workers: Sequence[WorkerSamples]) -> None:
        self._own = own
        self._workers = workers

    def collect(self) -> Iterator[Metric]:
        """For an exposition."""
        told: dict[str, list[OwnSample]] = {}
        for worker in self._workers:
            for sample in worker.all():
                told.setdefault(sample.family, []).append(sample)
        for family in self._own.collect():
            yield _with(family, told.get(family.name, ()))


def _with(family: Metric, others: Iterable[OwnSample]) -> Metric:
    if not others:
        return family
    together = GAUGES.get(family.name, float.__add__)
    samples = {_key(sample.name, sample.labels): sample for sample in family.samples}
    for other in others:
        key = other.name, other.labels
        before = samples.get(key)
        value = other.value if before is None else together(float(before.value), other.value)
        samples[key] = Sample(other.name, dict(other.labels), value)
    whole = Metric(family.name, family.documentation, family.type, family.unit)
    whole.samples = list(samples.values())
    return whole


def _key(name: str, labels: Mapping[str, str]) -> Key:
    return name, tuple(labels.items())
