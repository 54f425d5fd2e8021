"""What all signals have in common: resource, scope, attributes, times, trace ids."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.sdk.resources import OTELResourceDetector

from exporter import __version__
from exporter.vocabulary import STATUS_CODE

SERVICE_NAME = "llm-gateway-exporter"

SCOPE = InstrumentationScope(name=SERVICE_NAME, version=__version__)

Value = str | int | float | bool


def resource(instance_id: str) -> Resource:
    """Who tells: `service.name` and the like; OTEL_RESOURCE_ATTRIBUTES wins over ours.

    Args:
        instance_id: of the state directory, so that a restart stays the same instance.
    """
    described: Mapping[str, Any] = {
        "service.name": SERVICE_NAME,
        "service.version": __version__,
        "service.instance.id": instance_id,
        **OTELResourceDetector().detect().attributes,
    }
    made = Resource()
    for name, value in described.items():
        add_attribute(made.attributes, name, value)
    return made


def add_attribute(attributes: Any, name: str, value: Value) -> None:
    """Append an attribute to a repeated KeyValue; a status code becomes the number that it is."""
    if name == STATUS_CODE and isinstance(value, str) and value.isdecimal():
        value = int(value)
    told = attributes.add(key=name).value
    if isinstance(value, bool):
        told.bool_value = value
    elif isinstance(value, int):
        told.int_value = value
    elif isinstance(value, float):
        told.double_value = value
    else:
        told.string_value = value


def nanoseconds(time_s: float) -> int:
    """Unix seconds as OTLP counts time."""
    return round(time_s * 1e9)


def trace_id_bytes(text: str) -> bytes:
    """A W3C trace id as OTLP has it; empty for an id of another kind."""
    try:
        found = bytes.fromhex(text) if len(text) == 32 else b""
    except ValueError:
        return b""
    return found if any(found) else b""
