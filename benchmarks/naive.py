"""The exporter of an afternoon: `json.loads` and prometheus-client, with the same metrics.

Nothing is durable: a restart begins at zero, or counts the whole log again.
"""

import json
import sys
import time
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Histogram

from exporter import vocabulary as v

registry = CollectorRegistry()


def _counter(instrument: v.Instrument) -> Counter:
    return Counter(
        instrument.prometheus_family, instrument.help, _labels(instrument), registry=registry
    )


def _histogram(instrument: v.Instrument) -> Histogram:
    return Histogram(
        instrument.prometheus_family,
        instrument.help,
        _labels(instrument),
        buckets=instrument.buckets,
        registry=registry,
    )


def _labels(instrument: v.Instrument) -> list[str]:
    return [v.prometheus_label(name) for name in (*v.IDENTITY, *instrument.attributes)]


OPERATIONS = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
}
requests, tokens, usage = map(_counter, (v.REQUESTS, v.TOKENS, v.USAGE))
cached_tokens, without_usage = map(_counter, (v.CACHED_INPUT_TOKENS, v.REQUESTS_WITHOUT_USAGE))
durations, first_tokens = map(_histogram, (v.REQUEST_DURATION, v.TIME_TO_FIRST_TOKEN))
output_tokens, token_usage = map(_histogram, (v.TIME_PER_OUTPUT_TOKEN, v.TOKEN_USAGE))


def count(line: str) -> None:
    """Count one request."""
    request = json.loads(line)
    identity = (request["model"], "benchmark", OPERATIONS[request["route"]])
    status = request["status"]
    succeeded = 200 <= status < 300
    error = "" if succeeded else str(status)
    latency, first = request["latency_s"], request["ttft_s"]
    requests.labels(*identity, str(status), error).inc()
    durations.labels(*identity, error).observe(latency)
    used = request["usage"]
    prompt, completion = used["prompt_tokens"], used["completion_tokens"]
    if prompt:
        tokens.labels(*identity, "input").inc(prompt)
        token_usage.labels(*identity, "input").observe(prompt)
        tokens.labels(*identity, "output").inc(completion)
        token_usage.labels(*identity, "output").observe(completion)
        usage.labels(*identity, "token", "text").inc(prompt + completion)
        cached_tokens.labels(*identity).inc(used["prompt_tokens_details"]["cached_tokens"])
    elif succeeded:
        without_usage.labels(*identity).inc()
    if succeeded and request["stream"] and 0 < first < latency:
        first_tokens.labels(*identity).observe(first)
        if completion > 1:
            output_tokens.labels(*identity).observe((latency - first) / (completion - 1))


def main() -> None:
    """Count a log, and print the totals."""
    began = time.process_time()
    with Path(sys.argv[1]).open() as log:
        for line in log:
            count(line)
    cpu_s = time.process_time() - began
    totals: dict[str, float] = {}
    for family in registry.collect():
        for sample in family.samples:
            if sample.name.endswith(("_total", "_count", "_sum")):
                totals[sample.name] = totals.get(sample.name, 0) + sample.value
    print(json.dumps({"cpu_s": cpu_s, "totals": totals}))


if __name__ == "__main__":
    main()
