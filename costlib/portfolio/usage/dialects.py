"""One log record of a known export, as a canonical call; or the kind of reason why it is not one.

Exports disagree on whether input tokens include cached ones: OpenAI's, LiteLLM's and OpenTelemetry's do, Anthropic's
do not, Langfuse keeps buckets apart unless its total says otherwise. A canonical call's input includes everything.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

MOST_TOKENS = 10**9
"""A request of a billion tokens is a broken record."""


class Rejected(Exception):  # noqa: N818 - an outcome of a record, not a defect
    """A record that is not used; its text is the kind of reason, the same for every such record."""


@dataclass(frozen=True)
class Call:
    """One model call, or `requests` of them in an export that adds them up. `time` is seconds since 1970, UTC."""

    time: float
    has_zone: bool
    model: str
    provider: str | None
    tier: str | None
    workload: str | None
    id: str | None
    input_tokens: int
    cached_tokens: int
    cache_write_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    reasoning_tokens: int
    cost_usd: float | None
    prompt: str | None
    requests: int = 1


Paths = Sequence[str]
FIELDS: dict[str, Paths] = {
    "time": (
        "timestamp", "time", "startTime", "start_time", "start_time_iso", "created_at", "created", "date",
        "startTimeUnixNano", "usage_date_utc",
    ),
    "model": (
        "model", "gen_ai.response.model", "gen_ai.request.model", "response.model", "body.model", "model_version",
    ),
    "provider": ("provider", "custom_llm_provider", "gen_ai.provider.name", "gen_ai.system"),
    "tier": ("tier", "service_tier", "usage.service_tier", "gen_ai.openai.response.service_tier"),
    "workload": (
        "workload", "metadata.workload", "name", "request_tags", "metadata.tags", "tags", "gen_ai.operation.name",
        "end_user", "project_id", "workspace",
    ),
    "id": ("request_id", "id", "spanId", "gen_ai.response.id"),
    "input_tokens": (
        "input_tokens", "prompt_tokens", "usage.input_tokens", "usage.prompt_tokens", "usageDetails.input",
        "usage.input", "promptTokens", "gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens",
        "usage_input_tokens_no_cache",
    ),
    "output_tokens": (
        "output_tokens", "completion_tokens", "usage.output_tokens", "usage.completion_tokens", "usageDetails.output",
        "usage.output", "completionTokens", "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
        "usage_output_tokens",
    ),
    "cached_tokens": (
        "cached_tokens", "input_cached_tokens", "usage.prompt_tokens_details.cached_tokens",
        "usage.input_tokens_details.cached_tokens", "usage.cache_read_input_tokens", "cache_read_input_tokens",
        "usageDetails.input_cached_tokens", "usageDetails.cache_read_input_tokens",
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "usage_input_tokens_cache_read",
    ),
    "cache_write_tokens": (
        "cache_write_tokens", "usage.cache_creation.ephemeral_5m_input_tokens", "usage.cache_creation_input_tokens",
        "cache_creation_input_tokens", "usageDetails.cache_creation_input_tokens",
        "gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
        "usage_input_tokens_cache_write_5m",
    ),
    "cache_write_1h_tokens": (
        "cache_write_1h_tokens", "usage.cache_creation.ephemeral_1h_input_tokens", "usage_input_tokens_cache_write_1h",
    ),
    "reasoning_tokens": (
        "reasoning_tokens", "usage.completion_tokens_details.reasoning_tokens",
        "usage.output_tokens_details.reasoning_tokens", "usageDetails.output_reasoning_tokens",
        "gen_ai.usage.reasoning.output_tokens",
    ),
    "cost_usd": ("cost_usd", "spend", "calculatedTotalCost", "costDetails.total", "response_cost", "cost"),
    "prompt": ("prompt", "messages", "input", "gen_ai.prompt", "body.messages"),
    "requests": ("requests", "num_model_requests"),
    "status": ("status", "level", "status_code"),
}  # fmt: skip
"""Where each field stands in the known exports, first found wins; a dot goes into a nested object."""

_FAILED = ("error", "failure", "failed")
_ANTHROPIC = ("cache_read_input_tokens", "cache_creation_input_tokens", "usage_input_tokens_no_cache")


def dialect_of(record: Mapping[str, Any]) -> str:
    """The name of the export a record comes from, for the report."""
    return _dialect(_flat(record))


def _dialect(flat: Mapping[str, Any]) -> str:
    if any(path.startswith("gen_ai.") for path in flat):
        return "OpenTelemetry GenAI"
    if any(path.startswith(("usageDetails.", "promptTokens")) or path == "usage.input" for path in flat):
        return "Langfuse"
    if "spend" in flat and "startTime" in flat:
        return "LiteLLM"
    if flat.get("type") == "message" or any(path.rpartition(".")[2] in _ANTHROPIC for path in flat):
        return "Anthropic"
    if "num_model_requests" in flat or any(path.startswith("usage.") for path in flat):
        return "OpenAI"
    return "table"


def call_of(record: Mapping[str, Any], columns: Mapping[str, str], noted: Counter[str] | None = None) -> Call:
    """The canonical call in a record; `columns` maps a field to its own path, doubts are counted in `noted`.

    Raises `Rejected`.
    """
    flat = _flat(record)
    plan = _plan(tuple(flat), tuple(columns.items()))

    def find(field: str) -> Any:
        for path in plan[field]:
            value = flat[path]
            if value not in (None, "") and value == value:
                return value
        return None

    dialect = _dialect(flat)
    kind = str(flat.get("type", "")).upper()
    if dialect == "Langfuse" and kind not in ("", "GENERATION", "EMBEDDING"):
        raise Rejected("not a model call")
    if _failed(find("status")) or any(flat[path] for path in plan["error"]):
        raise Rejected("failed request")
    model = find("model")
    if model is None:
        raise Rejected("no model")
    tokens = {name: _count(find(name)) for name in FIELDS if name.endswith("_tokens")}
    if tokens["input_tokens"] is None:
        raise Rejected("no token counts" if tokens["output_tokens"] is None else "no input token count")
    known = {name: count or 0 for name, count in tokens.items()}
    inside = known["cached_tokens"] + known["cache_write_tokens"] + known["cache_write_1h_tokens"]
    if dialect == "Anthropic" or (dialect == "Langfuse" and not _inclusive(flat, known)):
        known["input_tokens"] += inside
    if inside > known["input_tokens"]:
        raise Rejected("cached tokens above input tokens")
    if known["reasoning_tokens"] > known["output_tokens"]:
        raise Rejected("reasoning tokens above output tokens")
    time, has_zone = _time(find("time"))
    requests = _count(find("requests"))
    if requests is None and "usage_date_utc" in flat:
        raise Rejected("a day's total without a number of requests")
    if requests == 0:
        raise Rejected("no request in the row")
    cost = find("cost_usd")
    if noted is not None:
        noted["no output token count, read as 0, as an embedding has"] += tokens["output_tokens"] is None
    return Call(
        time=time,
        has_zone=has_zone,
        model=str(model),
        provider=_text(find("provider")),
        tier=_tier(find("tier")),
        workload=_text(find("workload")),
        id=_text(find("id")),
        cost_usd=float(cost) if _is_number(cost) and float(cost) >= 0 else None,
        prompt=None if (prompt := find("prompt")) is None else str(prompt),
        requests=requests or 1,
        **known,
    )


def spans(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The GenAI spans of an OTLP JSON document, their attributes made flat; empty where it is none."""
    found = []
    for resource in record.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for span in scope.get("spans", ()):
                flat = {item["key"]: next(iter(item["value"].values()), None) for item in span.get("attributes", ())}
                named = {key: span.get(key) for key in ("spanId", "startTimeUnixNano", "name")}
                failed = {"status": "error"} if span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR") else {}
                found.append({**named, **flat, **failed})
    return found


def _flat(record: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The record with nested objects as dotted paths; lists stay values."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        if isinstance(value, dict):
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


@lru_cache(maxsize=1024)
def _plan(paths: tuple[str, ...], columns: tuple[tuple[str, str], ...]) -> dict[str, tuple[str, ...]]:
    """Where to look for each field in records of one shape; logs hold few shapes."""
    own, known = dict(columns), set(paths)
    found = {
        field: tuple(path for path in ((own[field],) if field in own else FIELDS[field]) if path in known)
        for field in FIELDS
    }
    return {**found, "error": tuple(path for path in paths if path.partition(".")[0] == "error")}


def _failed(status: Any) -> bool:
    text = str(status).strip().lower()
    return text in _FAILED or (text.isdigit() and int(text) >= 400)


def _inclusive(flat: Mapping[str, Any], known: Mapping[str, int]) -> bool:
    total: Any = flat.get("usageDetails.total") or flat.get("usage.total") or flat.get("totalTokens")
    return _is_number(total) and float(total) == known["input_tokens"] + known["output_tokens"]


def _count(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is int and 0 <= value < MOST_TOKENS:
        return value
    if not _is_number(value):
        raise Rejected("a token count that is not a number")
    number = float(value)
    if number < 0:
        raise Rejected("a negative token count")
    if number != int(number) or number >= MOST_TOKENS:
        raise Rejected("a token count that is not whole or a billion and more")
    return int(number)


def _is_number(value: Any) -> bool:
    if isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False


def _text(value: Any) -> str | None:
    if isinstance(value, (list, tuple)):
        value = next(iter(value), None)
    return None if value is None or value in ("", "[]") else str(value)


def _tier(value: Any) -> str | None:
    """OpenAI says `default` and `auto` for its standard tier."""
    text = _text(value)
    return None if text in (None, "default", "auto", "standard") else text


_SCALES: tuple[tuple[float, float], ...] = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))
"""From which size an epoch counts nano-, micro- or milliseconds."""
_EARLIEST, _LATEST = 1.2e9, 4.1e9


def _time(value: Any) -> tuple[float, bool]:
    """Seconds since 1970 and whether the record names a zone (an epoch always does)."""
    if value is None:
        raise Rejected("no time")
    if isinstance(value, datetime):
        seconds, zone = value.replace(tzinfo=value.tzinfo or UTC).timestamp(), value.tzinfo is not None
    elif _is_number(value):
        seconds, zone = float(value), True
        seconds /= next((scale for least, scale in _SCALES if seconds >= least), 1.0)
    else:
        try:
            moment = datetime.fromisoformat(str(value).strip().replace(" UTC", "+00:00"))
        except ValueError:
            raise Rejected("a time that cannot be read") from None
        seconds, zone = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp(), moment.tzinfo is not None
    if not _EARLIEST <= seconds <= _LATEST:
        raise Rejected("a time before 2008 or after 2099")
    return seconds, zone
