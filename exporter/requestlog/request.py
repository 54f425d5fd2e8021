"""A request as the log tells it again: for a page, an API, a file."""

from typing import Annotated

import msgspec
from msgspec import Meta

Text = Annotated[str | None, Meta(description="null: not reported")]
Count = Annotated[int, Meta(ge=0)] | None
Amount = Annotated[float, Meta(ge=0)] | None


class LoggedRequest(msgspec.Struct, frozen=True, gc=False):
    """A request; null is what was not reported."""

    request_id: Text
    start_time: Annotated[str, Meta(description="RFC 3339, UTC, microseconds")]
    model: Annotated[Text, Meta(description="that was asked for")]
    total_tokens: Count
    input_tokens: Annotated[Count, Meta(description="cached tokens included")]
    output_tokens: Annotated[Count, Meta(description="reasoning tokens included")]
    time_to_first_token_ms: Annotated[Amount, Meta(description="of streamed successes")]
    latency_ms: Annotated[Amount, Meta(description="in steps of 0.01 ms")]
    status_code: Annotated[int, Meta(ge=0, le=599)]
    error_type: Annotated[Text, Meta(description="null: a success")]
    response_model: Annotated[Text, Meta(description="that answered")]
    provider: Text
    operation: Text
    streamed: bool
    cache_hit: Annotated[bool, Meta(description="answered from the gateway's own cache")]
    finish_reason: Text
    cached_input_tokens: Count
    cache_creation_input_tokens: Count
    reasoning_output_tokens: Count
    images: Count
    seconds: Annotated[Amount, Meta(description="of audio or video that are billed")]
    characters: Count
    cost: Annotated[Amount, Meta(description="as reported by the gateway")]
    currency: Annotated[Text, Meta(description="ISO 4217, of cost")]
    estimated_cost: Annotated[Amount, Meta(description="by the price list")]
    estimate_currency: Annotated[Text, Meta(description="ISO 4217, of estimated_cost")]
    upstream_time_ms: Annotated[Amount, Meta(description="of the latency")]
    trace_id: Text
    attributes: dict[str, str]
    source: Annotated[Text, Meta(description="of the exporter's configuration")]
    key: Annotated[str, Meta(description="the row's own name, of this log only")]


FIELDS = LoggedRequest.__struct_fields__
