"""A gateway's log to measure with: lines of about 425 bytes, and what they add up to."""

import json
import random
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

MODELS = (
    *("gpt-4o", "gpt-4o-mini", "claude-sonnet-4", "claude-haiku", "llama-3.3-70b", "qwen-plus"),
    *("mixtral-8x7b", "gemini-2.5-pro"),
)
STATUSES = (200,) * 94 + (429,) * 3 + (500,) * 2 + (503,)
ROUTES = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings")

FORMAT = """
description: lines of the benchmark
fields:
  request_id: request_id
  model: model
  provider: {value: benchmark}
  operation:
    path: route
    map: {/v1/chat/completions: chat, /v1/completions: text_completion, /v1/embeddings: embeddings}
  status_code: status
  streamed: stream
  start_time: ts
  latency: latency_s
  time_to_first_token: ttft_s
  input_tokens: usage.prompt_tokens
  output_tokens: usage.completion_tokens
  total_tokens: usage.total_tokens
  cached_input_tokens: usage.prompt_tokens_details.cached_tokens
attributes:
  team: team
"""


def write_lines(path: Path, lines: int, seed: int = 7, models: Sequence[str] = MODELS) -> None:
    """A log of so many requests; the same for the same seed.

    Args:
        models: each is asked for as often as any other.
    """
    draw = random.Random(seed)
    now = 1_760_000_000.0
    with path.open("w") as log:
        for _ in range(lines):
            now += draw.expovariate(1000)
            request = _request(draw, draw.choice(models), now)
            log.write(json.dumps(request, separators=(",", ":")) + "\n")


def _request(draw: random.Random, model: str, now: float) -> dict[str, object]:
    latency = draw.lognormvariate(0, 1)
    key = draw.randrange(500)
    prompt, completion = int(draw.lognormvariate(6, 1)), int(draw.lognormvariate(5, 1))
    return {
        "request_id": f"req_{draw.getrandbits(128):032x}",
        "ts": round(now, 6),
        "start_time": datetime.fromtimestamp(now, UTC).isoformat(),
        "model": model,
        "route": draw.choice(ROUTES),
        "status": draw.choice(STATUSES),
        "stream": draw.random() < 0.7,
        "team": f"team-{key % 40:02}",
        "key": f"key-{key:04x}",
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": prompt // 3},
        },
        "latency_s": round(latency, 6),
        "ttft_s": round(latency * draw.uniform(0.05, 0.6), 6),
        "backend": f"10.0.{draw.randrange(4)}.{draw.randrange(250)}:8000",
    }
