"""The metrics about itself, of all processes together."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from exporter.engine import Metrics
from exporter.vocabulary import ACTIVE_REQUESTS, RATELIMIT_REMAINING
from exporter.workers.own_metrics import OwnMetrics, WorkerSamples, own_samples


class Process:
    """What one process counts."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        prefix = "llm_gateway_exporter"
        self.lines = Counter(f"{prefix}_lines", "", ["source"], registry=self.registry)
        self.seconds = Histogram("seconds", "", buckets=[1, 2], registry=self.registry)
        self.open = Gauge(f"{prefix}_tail_open_files", "", registry=self.registry)
        self.behind = Gauge(f"{prefix}_tail_behind_seconds", "", registry=self.registry)
        self.commit = Gauge(f"{prefix}_last_commit_timestamp_seconds", "", registry=self.registry)
        self.loaded = Gauge(f"{prefix}_config_last_reload_successful", "", registry=self.registry)


def values(*processes: Process, samples: WorkerSamples | None = None) -> dict[str, float]:
    """All samples, the first process being the main one."""
    told = [samples] if samples else []
    for process in processes[1:]:
        told.append(WorkerSamples())
        told[-1].tell(own_samples(process.registry))
    found = {}
    for family in OwnMetrics(processes[0].registry, told).collect():
        for sample in family.samples:
            if not sample.name.endswith("_created"):
                found[sample.name + "".join(sample.labels.values())] = sample.value
    return found


def test_counters_and_histograms_are_summed_and_gauges_put_together_as_each_means() -> None:
    main, one, two = Process(), Process(), Process()
    main.lines.labels("a").inc(1)
    one.lines.labels("a").inc(2)
    two.lines.labels("b").inc(4)
    for process, seconds in ((main, 0.5), (one, 1.5), (two, 9.0)):
        process.seconds.observe(seconds)
        process.open.set(3)
        process.behind.set(seconds)
        process.commit.set(100 + seconds)
        process.loaded.set(process is main)
    found = values(main, one, two)
    prefix = "llm_gateway_exporter"
    assert found[f"{prefix}_lines_totala"] == 3
    assert found[f"{prefix}_lines_totalb"] == 4
    assert [found[f"seconds_bucket{bound}"] for bound in ("1.0", "2.0", "+Inf")] == [1, 2, 3]
    assert (found["seconds_count"], found["seconds_sum"]) == (3, 11)
    assert found[f"{prefix}_tail_open_files"] == 9
    assert found[f"{prefix}_tail_behind_seconds"] == 9
    assert found[f"{prefix}_last_commit_timestamp_seconds"] == 100.5
    assert found[f"{prefix}_config_last_reload_successful"] == 1


def test_the_counts_of_a_worker_that_died_stay_and_its_last_commit_does_too() -> None:
    main, samples = Process(), WorkerSamples()
    main.commit.set(300)
    for lines in (2, 3):
        worker = Process()
        worker.lines.labels("a").inc(lines)
        worker.seconds.observe(1.5)
        worker.commit.set(200)
        samples.tell(own_samples(worker.registry))
        samples.ended()
    found = values(main, samples=samples)
    assert found["llm_gateway_exporter_lines_totala"] == 5
    assert found["seconds_bucket2.0"] == 2
    assert found["llm_gateway_exporter_last_commit_timestamp_seconds"] == 200
    another = Process()
    another.lines.labels("b").inc(1)
    samples.tell(own_samples(another.registry))
    found = values(main, samples=samples)
    assert found["llm_gateway_exporter_lines_totala"] == 5
    assert found["llm_gateway_exporter_lines_totalb"] == 1


def test_every_gauge_that_is_put_together_exists() -> None:
    from exporter.workers.own_metrics import GAUGES

    names = {family.name for family in Metrics().registry.collect()}
    assert names >= set(GAUGES)


def test_requests_under_way_end_with_their_process_and_what_is_left_is_what_was_said_last() -> None:
    main, worker = Metrics(), Metrics()
    samples = WorkerSamples()
    who = "qwen", "openai", "chat"
    for process, left in ((worker, 100.0), (main, 7.0)):
        process.proxy.gauges.succeeded("qwen")
        process.proxy.gauges.active(*who).count += 1
        process.proxy.gauges.remains(*who, "request", left)
    told = worker.proxy.gauges.remaining
    samples.tell(own_samples(worker.registry))
    main.proxy.gauges.hear(told)
    assert shown(main, samples) == {
        "llm_gateway_active_requests": 2,
        "llm_gateway_ratelimit_remaining": 7,
    }
    main.proxy.gauges.hear([told[0]._replace(left=99.0, said=told[0].said + 60)])
    samples.ended()
    assert shown(main, samples) == {
        "llm_gateway_active_requests": 1,
        "llm_gateway_ratelimit_remaining": 99,
    }


def shown(main: Metrics, worker: WorkerSamples) -> dict[str, float]:
    """The proxies' gauges."""
    families = OwnMetrics(main.registry, [worker]).collect()
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if sample.name in (ACTIVE_REQUESTS.prometheus_name, RATELIMIT_REMAINING.prometheus_name)
    }
