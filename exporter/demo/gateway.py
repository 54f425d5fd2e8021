"""The made-up gateway's models, failures and teams, as traffic.yaml lists them."""

import math
from functools import cache
from importlib import resources

import msgspec


class Prices(msgspec.Struct, frozen=True):
    """USD per million tokens; `cached` is for input read from the provider's prompt cache."""

    input: float
    cached: float = 0
    output: float = 0


class Model(msgspec.Struct, frozen=True):
    """A model of the gateway. Tokens and seconds are medians.

    Attributes:
        share: its requests, relative to the other models'.
        output_tokens: none makes it an embedding model.
        streamed, cached, reasoning: shares of its requests that stream, that read the prompt
            cache, that think before they answer.
        refused: the share refused while the provider is busy, six minutes in each hour.
    """

    name: str
    provider: str
    answered_by: str
    share: float
    input_tokens: int
    first_token_s: float
    prices: Prices
    output_tokens: int = 0
    tokens_per_s: float = math.inf
    streamed: float = 0
    cached: float = 0
    reasoning: float = 0
    refused: float = 0


class Failure(msgspec.Struct, frozen=True):
    """A way to fail, in LiteLLM's words; `asked_for` are the names that clients got wrong."""

    error_class: str
    error_code: str
    share: float
    latency_s: float
    message: str
    asked_for: tuple[str, ...] = ()


class Gateway(msgspec.Struct, frozen=True):
    """What traffic.yaml holds; `teams` are the key aliases of each."""

    models: tuple[Model, ...]
    failures: tuple[Failure, ...]
    teams: dict[str, tuple[str, ...]]


@cache
def gateway() -> Gateway:
    """The gateway of traffic.yaml."""
    text = resources.files(__package__).joinpath("traffic.yaml").read_text("utf-8")
    return msgspec.yaml.decode(text, type=Gateway)
