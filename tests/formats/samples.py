"""A streamed success in each format (where there is one): lines of our own, to be changed."""

import json
from collections.abc import Callable, Mapping
from typing import Any

START = 1_770_000_000.25
"""When LiteLLM's request came."""


def litellm(**changes: Any) -> dict[str, Any]:
    """LiteLLM's StandardLoggingPayload."""
    return {
        "id": "chatcmpl-8f1",
        "litellm_call_id": "call-1",
        "trace_id": "trace-1",
        "call_type": "acompletion",
        "cache_hit": False,
        "stream": True,
        "status": "success",
        "custom_llm_provider": "bedrock",
        "startTime": START,
        "endTime": START + 4,
        "completionStartTime": START + 0.5,
        "response_time": 0.5,
        "model": "bedrock/claude-sonnet-4-6",
        "model_group": "sonnet",
        "model_id": "deployment-7",
        "metadata": {
            "user_api_key_alias": "search",
            "user_api_key_team_alias": "web",
            "user_api_key_user_id": "someone@example.org",
            "usage_object": None,
        },
        "response_cost": 0.0123,
        "prompt_tokens": 1200,
        "completion_tokens": 80,
        "total_tokens": 1280,
        "end_user": "someone",
        "messages": [{"role": "user", "content": "A secret?"}],
        "response": {
            "model": "claude-sonnet-4-6-v2",
            "choices": [{"finish_reason": "length", "message": {"content": "Not telling."}}],
            "usage": {
                "prompt_tokens_details": {"cached_tokens": 1000},
                "completion_tokens_details": {"reasoning_tokens": 30},
                "cache_creation_input_tokens": 150,
            },
        },
        "hidden_params": {"litellm_overhead_time_ms": None},
        "error_information": {"error_code": "", "error_class": "", "llm_provider": ""},
        **changes,
    }


def envoy_ai_gateway(**changes: Any) -> dict[str, Any]:
    """Envoy AI Gateway's access log."""
    return {
        "start_time": "2026-04-02T08:00:00.500Z",
        "method": "POST",
        "x-envoy-origin-path": "/v1/chat/completions",
        "response_code": 200,
        "response_flags": "-",
        "response_code_details": "via_upstream",
        "duration": 2500,
        "x-envoy-upstream-service-time": "310",
        "x-request-id": "req-1",
        "route_name": "llm/rule/0",
        "upstream_cluster": "llm/rule/0",
        "gen_ai.request.model": "qwen-plus",
        "gen_ai.response.model": "qwen-plus-2026-01",
        "gen_ai.provider.name": "default/bailian/route/llm/rule/0/ref/0",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.cached_input_tokens": 64,
        "gen_ai.usage.cache_creation_input_tokens": 8,
        "gen_ai.usage.output_tokens": 40,
        "gen_ai.usage.reasoning_tokens": 10,
        "gen_ai.usage.total_tokens": 160,
        "gen_ai.latency.ttft_ms": 350.5,
        **changes,
    }


HIGRESS_AI_LOG = {
    "model": "qwen-max",
    "input_token": "200",
    "output_token": "50",
    "llm_first_token_duration": "420",
    "llm_service_duration": "3100",
    "response_type": "stream",
    "consumer": "shop",
}


def higress(ai: Mapping[str, Any] | str | None = HIGRESS_AI_LOG, **changes: str) -> dict[str, Any]:
    """Higress's access log with this ai_log, `-` for None."""
    log = "-" if ai is None else ai if isinstance(ai, str) else json.dumps(ai)
    return {
        "ai_log": log,
        "duration": "3105",
        "method": "POST",
        "path": "/v1/chat/completions",
        "request_id": "req-1",
        "response_code": "200",
        "response_code_details": "via_upstream",
        "response_flags": "-",
        "route_name": "ai-route-bailian.internal",
        "start_time": "2026-02-01T00:00:00.250Z",
        "trace_id": "-",
        "upstream_cluster": "outbound|443||llm-bailian.internal.dns",
        **changes,
    }


def kong(ai: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Kong's log object, as file-log writes it; `ai` is its part of that name."""
    line = {
        "started_at": 1_770_000_000_250,
        "request": {"id": "req-1", "uri": "/llm", "method": "POST"},
        "response": {"status": 200, "headers": {"content-type": "text/event-stream"}},
        "upstream_status": "200",
        "source": "upstream",
        "latencies": {"kong": 9, "proxy": 400, "request": 3200.0000000001, "receive": 2790},
        "workspace_name": "default",
        "route": {"name": "llm-route"},
        "service": {"name": "llm-service"},
        "consumer": {"username": "shop"},
        "tries": {},
        "ai": {"proxy": kong_plugin()} if ai is None else ai,
    }
    return line | changes


def kong_plugin(**usage: Any) -> dict[str, Any]:
    """What an AI plugin of Kong tells of a stream, with this usage besides."""
    return {
        "meta": {
            "provider_name": "anthropic",
            "request_model": "claude-sonnet-4-6",
            "response_model": "claude-sonnet-4-6-v2",
            "request_mode": "stream",
            "llm_latency": 3100,
        },
        "usage": {
            "prompt_tokens": 300,
            "completion_tokens": 90,
            "total_tokens": 390,
            "prompt_tokens_details": {"cached_tokens": 256},
            "completion_tokens_details": {"reasoning_tokens": 40},
            "time_to_first_token": 700,
            "time_per_token": 34.4,
            "cost": 0.002,
            **usage,
        },
        "tried_targets": [{"route_type": "llm/v1/chat", "ip": "192.0.2.1"}],
    }


def apisix(**changes: str) -> str:
    """A line of APISIX's access log in the format that its documentation gives."""
    value = {
        "time": "21/Mar/2026:04:28:03 +0000",
        "status": "200",
        "request_time": "5.770",
        "upstream": "192.0.2.1:443 200 5.765",
        "url": "https://api.deepseek.com/v1/chat/completions",
        "type": "ai_stream",
        "ttft": "412",
        "model": "deepseek-chat-v3",
        "asked": "deepseek-chat",
        "input": "23",
        "output": "120",
        **changes,
    }
    return (
        '192.0.2.9 - - [{time}] gw.example.org "POST /llm HTTP/1.1" {status} 804 {request_time} '
        '"-" "curl/8.6.0" {upstream} "{url}" "req-1" "{type}" "{ttft}" "{model}" "{asked}"  '
        '"{input}" "{output}"'
    ).format_map(value)


def apisix_json(**changes: str) -> dict[str, Any]:
    """APISIX's access log as JSON, in the format that our documentation gives."""
    return {
        "msec": "1774067283.500",
        "request_time": "5.770",
        "status": "200",
        "host": "gw.example.org",
        "apisix_request_id": "req-1",
        "request_type": "ai_stream",
        "request_llm_model": "deepseek-chat",
        "llm_model": "deepseek-chat-v3",
        "llm_time_to_first_token": "412",
        "llm_prompt_tokens": "23",
        "llm_completion_tokens": "120",
        "llm_total_tokens": "143",
        "llm_cache_read_input_tokens": "16",
        "llm_cache_creation_input_tokens": "0",
        "llm_reasoning_tokens": "30",
        "upstream_host": "api.deepseek.com",
        "upstream_uri": "/v1/chat/completions",
        "upstream_response_time": "5.765",
        **changes,
    }


def apisix_llm_summary(status: int = 200, **summary: Any) -> dict[str, Any]:
    """The object that APISIX's logger plugins write."""
    return {
        "start_time": 1_770_000_000_250,
        "latency": 5770.000038147,
        "upstream_latency": 5765,
        "apisix_latency": 5.000038147,
        "route_id": "llm-route",
        "service_id": "",
        "consumer": {"username": "shop"},
        "upstream": "api.deepseek.com:443",
        "request": {"uri": "/llm", "headers": {"x-request-id": "req-1"}},
        "response": {"status": status},
        "llm_summary": {
            "request_model": "deepseek-chat",
            "model": "deepseek-chat-v3",
            "duration": 412,
            "prompt_tokens": 23,
            "completion_tokens": 120,
            "total_tokens": 143,
            "cache_read_input_tokens": 16,
            "cache_creation_input_tokens": 0,
            "reasoning_tokens": 30,
            "upstream_response_time": 5765,
            "stream": "true",
            "end_user_id": "someone",
            **summary,
        },
    }


def agentgateway_json(**changes: Any) -> dict[str, Any]:
    """agentgateway's log as JSON; None takes a key away, as agentgateway does."""
    line = {
        "level": "info",
        "time": "2026-07-08T21:17:12.059908Z",
        "scope": "request",
        "gateway": "default/default",
        "listener": "llm",
        "route": "internal/llm",
        "endpoint": "api.mistral.ai:443",
        "src.addr": "[::1]:61586",
        "http.method": "POST",
        "http.path": "/v1/chat/completions",
        "http.status": 200,
        "protocol": "llm",
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "mistral",
        "gen_ai.request.model": "mistral-large",
        "gen_ai.response.model": "mistral-large-2512",
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.cache_read.input_tokens": 8,
        "gen_ai.usage.cache_creation.input_tokens": 2,
        "gen_ai.usage.output_tokens": 258,
        "gen_ai.usage.reasoning_tokens": 100,
        "agw.ai.time_to_first_token": 0.412,
        "agw.ai.usage.cost.total": "0.000393",
        "duration": "2603ms",
        "trace.id": "0af7651916cd43dd8448eb211c80319c",
        **changes,
    }
    return {key: value for key, value in line.items() if value is not None}


def agentgateway(**changes: Any) -> str:
    """agentgateway's log as text."""
    line = agentgateway_json(**changes)
    head = [str(line.pop(key)) for key in ("time", "level", "scope") if key in line]
    return "\t".join(head) + "".join(
        f' {key}="{value}"' if " " in str(value) else f" {key}={value}"
        for key, value in line.items()
    )


def nginx_json(**changes: str) -> dict[str, Any]:
    """nginx's access log in the format that our documentation gives."""
    return {
        "time": "1770000003.456",
        "request_id": "req-1",
        "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "method": "POST",
        "path": "/v1/chat/completions",
        "status": "200",
        "complete": "yes",
        "duration": "3.206",
        "upstream_time": "0.002, 3.200",
        "upstream_header_time": "-, 0.120",
        "content_type": "text/event-stream",
        "server": "llm.example.org",
        "provider": "vllm",
        "model": "qwen3-32b",
        "input_tokens": "",
        "output_tokens": "",
        "cached_input_tokens": "",
        **changes,
    }


def sglang(**changes: Any) -> dict[str, Any]:
    """SGLang's line at the end of a request."""
    return {
        "timestamp": "2026-03-01T09:20:46.250000",
        "event": "request.finished",
        "rid": "5f1",
        "obj": {"stream": True, "lora_path": None, "text": "A secret?"},
        "out": {
            "meta_info": {
                "id": "5f1",
                "finish_reason": {"type": "stop", "matched": 151645},
                "prompt_tokens": 40,
                "completion_tokens": 60,
                "cached_tokens": 32,
                "e2e_latency": 1.25,
            }
        },
        **changes,
    }


def portkey(**changes: Any) -> dict[str, Any]:
    """A line of Portkey's export."""
    return {
        "created_at": "2026-02-01T09:30:15.000Z",
        "is_success": 1,
        "ai_org": "openai",
        "ai_model": "gpt-5-mini",
        "req_units": 12,
        "res_units": 258,
        "total_units": 270,
        "cost": 0.0393,
        "cost_currency": "USD",
        "request_url": "https://api.openai.com/v1/chat/completions",
        "response_status_code": 200,
        "response_time": 2603,
        "cache_status": "MISS",
        "stream_mode": "TRUE",
        "retry_success_count": 0,
        "trace_id": "trace-1",
        **changes,
    }


def bedrock(**changes: Any) -> dict[str, Any]:
    """Bedrock's log of a ConverseStream."""
    return {
        "schemaType": "ModelInvocationLog",
        "timestamp": "2026-08-10T21:12:39Z",
        "identity": {"arn": "arn:aws:iam::111122223333:user/someone"},
        "region": "eu-central-1",
        "requestId": "req-1",
        "operation": "ConverseStream",
        "modelId": "arn:aws:bedrock:eu-central-1:111122223333:inference-profile/eu.claude-v1:0",
        "input": {
            "inputTokenCount": 62,
            "cacheReadInputTokenCount": 1000,
            "cacheWriteInputTokenCount": 200,
        },
        "output": {
            "outputTokenCount": 36,
            "outputBodyJson": {"stopReason": "end_turn", "metrics": {"latencyMs": 1134}},
        },
        **changes,
    }


def records(**changes: Any) -> dict[str, Any]:
    """Our own plain JSON."""
    return {
        "request_id": "req-1",
        "start_time": 1_770_000_000.25,
        "model": "qwen-plus",
        "provider": "bailian",
        "status_code": 200,
        "streamed": True,
        "latency_s": 2.5,
        "time_to_first_token_s": 0.25,
        "input_tokens": 100,
        "output_tokens": 50,
        **changes,
    }


SAMPLES: Mapping[str, Callable[..., Any]] = {
    "agentgateway": agentgateway,
    "agentgateway-json": agentgateway_json,
    "apisix": apisix,
    "apisix-json": apisix_json,
    "apisix-llm-summary": apisix_llm_summary,
    "bedrock": bedrock,
    "envoy-ai-gateway": envoy_ai_gateway,
    "higress": higress,
    "kong": kong,
    "litellm": litellm,
    "nginx-json": nginx_json,
    "portkey": portkey,
    "records": records,
    "sglang": sglang,
}
"""Each built-in format's, by name."""
