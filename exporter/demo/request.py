"""A finished request, and its line in the log as LiteLLM writes it.

The line is LiteLLM's StandardLoggingPayload without the parts that the exporter never reads, and
with prompts and answers struck out as LiteLLM does it (`turn_off_message_logging`).
"""

from uuid import UUID

import msgspec

from exporter.demo.gateway import Failure, Model

STRUCK_OUT = "redacted-by-litellm"


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one answer; cached ones are part of the input, reasoning ones of the output."""

    input: int = 0
    cached: int = 0
    output: int = 0
    reasoning: int = 0

    def payload(self) -> dict[str, object]:
        """As OpenAI's API reports it."""
        return {
            "prompt_tokens": self.input,
            "completion_tokens": self.output,
            "total_tokens": self.input + self.output,
            "prompt_tokens_details": {"cached_tokens": self.cached} if self.cached else None,
            "completion_tokens_details": (
                {"reasoning_tokens": self.reasoning} if self.reasoning else None
            ),
        }


class Request(msgspec.Struct, frozen=True):
    """One finished request. Times are epoch seconds; `first_token` is there where it streamed."""

    id: UUID
    trace_id: UUID
    model: Model
    asked_for: str
    team: str
    key: str
    start: float
    end: float
    first_token: float | None = None
    overhead_ms: float | None = None
    usage: Usage = Usage()
    finish_reason: str = "stop"
    cache_hit: bool = False
    failure: Failure | None = None

    def payload(self) -> dict[str, object]:
        """The line's JSON object."""
        model, embedding = self.model, not self.model.output_tokens
        status = "failure" if self.failure else "success"
        first_token = self.end if self.first_token is None else self.first_token
        api_base = f"https://{model.provider}.example/v1"
        usage = {} if self.failure else self.usage.payload()
        costs = self._costs_usd()
        return {
            "id": f"{self.id}_cache_hit{self.end}" if self.cache_hit else str(self.id),
            "litellm_call_id": str(self.id),
            "trace_id": str(self.trace_id),
            "call_type": "aembedding" if embedding else "acompletion",
            "cache_hit": self.cache_hit,
            "stream": None if self.first_token is None else True,
            "status": status,
            "status_fields": {"llm_api_status": status, "guardrail_status": "not_run"},
            "custom_llm_provider": model.provider,
            "saved_cache_cost": costs["total_cost"] if self.cache_hit else 0.0,
            "startTime": self.start,
            "endTime": self.end,
            "completionStartTime": first_token,
            "response_time": round(first_token - self.start, 6),
            "model": f"{model.provider}/{self.asked_for}",
            "metadata": {
                "user_api_key_alias": self.key,
                "user_api_key_team_alias": self.team,
                "user_api_key_request_route": (
                    "/v1/embeddings" if embedding else "/v1/chat/completions"
                ),
                "usage_object": usage,
            },
            "response_cost": 0.0 if self.cache_hit else costs["total_cost"],
            "cost_breakdown": None if self.failure else costs,
            "total_tokens": self.usage.input + self.usage.output,
            "prompt_tokens": self.usage.input,
            "completion_tokens": self.usage.output,
            "end_user": "",
            "api_base": api_base,
            "model_group": self.asked_for,
            "messages": [{"role": "user", "content": STRUCK_OUT}],
            "response": {} if self.failure else self._response(usage),
            "hidden_params": {
                "api_base": api_base,
                "litellm_overhead_time_ms": self.overhead_ms,
                "litellm_model_name": f"{model.provider}/{self.asked_for}",
            },
            **self._error(),
        }

    def _costs_usd(self) -> dict[str, float]:
        prices, usage = self.model.prices, self.usage
        fresh = usage.input - usage.cached
        input_cost = (fresh * prices.input + usage.cached * prices.cached) / 1e6
        output_cost = usage.output * prices.output / 1e6
        return {
            "input_cost": input_cost,
            "output_cost": output_cost,
            "total_cost": input_cost + output_cost,
        }

    def _response(self, usage: dict[str, object]) -> dict[str, object]:
        if not self.model.output_tokens:
            return {"object": "list", "model": self.model.answered_by, "data": [], "usage": usage}
        message = {"role": "assistant", "content": STRUCK_OUT}
        return {
            "id": f"chatcmpl-{self.id}",
            "object": "chat.completion",
            "model": self.model.answered_by,
            "choices": [{"index": 0, "finish_reason": self.finish_reason, "message": message}],
            "usage": usage,
        }

    def _error(self) -> dict[str, object]:
        if (failure := self.failure) is None:
            nothing = {"error_code": "", "error_class": "", "llm_provider": "", "error_message": ""}
            return {"error_str": None, "error_information": nothing}
        message = f"litellm.{failure.error_class}: {failure.message}"
        return {
            "error_str": message,
            "error_information": {
                "error_code": failure.error_code,
                "error_class": failure.error_class,
                "llm_provider": self.model.provider,
                "error_message": message,
            },
        }
