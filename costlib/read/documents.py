"""One JSON document of a log as the records it holds, and a record as flat paths.

Exports nest what they log: spans in OTLP, rows in pages of buckets, a session's turns in events. Shapes that are broken
give the kind of reason instead of a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import from_json

_HALF = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB][0-9a-fA-F]{2})\\u[dD][c-fC-F][0-9a-fA-F]{2}"
)
_DEEPEST = 12
"""Levels of nesting below which nothing of a record is looked for."""
_COUNTED = re.compile(r"(?i)usage|token")


def parsed(text: str) -> Any:
    """The JSON value of a text, None where it is none or null; half a character becomes the sign for an unknown one."""
    try:
        return from_json(text)
    except ValueError:
        try:
            return json.loads(_HALF.sub(r"\\ufffd", text))
        except (ValueError, RecursionError):
            return None


_NESTING = frozenset({"resourceSpans", "data", "results", "breakdown", "payload", "attributes"})


def plain(document: Any) -> bool:
    """Whether a document is one record as it stands."""
    return type(document) is dict and _NESTING.isdisjoint(document)


def documents(found: Any, state: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any] | str]:
    """The records of a document; `state` holds what earlier lines of a session's file said about later ones."""
    if not isinstance(found, Mapping):
        yield "not an object"
        return
    if "resourceSpans" in found:
        yield from _spans(found["resourceSpans"])
        return
    for name in ("data", "results"):
        inner = found.get(name)
        if depth < _DEEPEST and isinstance(inner, list) and "model" not in found:
            shared = {key: value for key, value in found.items() if not isinstance(value, list | dict)}
            for item in inner:
                yield from documents({**shared, **item} if isinstance(item, Mapping) else item, state, depth + 1)
            return
    models = _at(found, "breakdown", "models")
    if isinstance(models, Mapping):  # LiteLLM's daily activity
        for model, activity in models.items():
            metrics = _at(activity, "metrics")
            yield {"date": found.get("date"), "model": model, **metrics} if isinstance(metrics, Mapping) else "no model"
        return
    kind, payload = found.get("type"), found.get("payload")
    if isinstance(payload, Mapping) and kind in ("session_meta", "turn_context", "event_msg", "response_item"):
        yield from _codex(found, str(kind), payload, state)
        return
    attributes = found.get("attributes")
    if isinstance(attributes, list):
        yield _span(found)
    else:
        yield {**found, **attributes} if isinstance(attributes, Mapping) else dict(found)


def _codex(found: Mapping[str, Any], kind: str, payload: Mapping[str, Any], state: dict[str, Any]) -> Iterator[Any]:
    """A Codex session names its model in one event and counts the tokens of each turn in others, some of them twice."""
    if kind == "session_meta":
        state["session"], state["provider"] = payload.get("id"), payload.get("model_provider")
    if kind == "turn_context":
        state["model"] = payload.get("model")
    last, whole = _at(payload, "info", "last_token_usage"), _at(payload, "info", "total_token_usage")
    if payload.get("type") != "token_count" or not isinstance(last, Mapping):
        yield "not a model call"
        return
    so_far = json.dumps(whole, sort_keys=True, default=str)
    yield {
        "timestamp": found.get("timestamp"),
        "model": state.get("model"),
        "provider": state.get("provider"),
        "id": f"{state.get('session')} {so_far}" if whole else None,
        "usage": dict(last),
    }


def _at(found: Any, *names: str) -> Any:
    for name in names:
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _spans(resources: Any) -> Iterator[dict[str, Any] | str]:
    """The spans of an OTLP JSON document, their attributes made flat."""
    for resource in resources if isinstance(resources, list) else [None]:
        for scope in _list_of(resource, "scopeSpans", "instrumentationLibrarySpans"):
            for span in _list_of(scope, "spans"):
                yield _span(span) if isinstance(span, Mapping) else "a span that is not one"


def _list_of(found: Any, *names: str) -> list[Any]:
    """A list in a mapping; of None where there is none, so that it is counted below."""
    for name in names:
        inner = found.get(name) if isinstance(found, Mapping) else None
        if isinstance(inner, list):
            return inner
    return [None]


def _span(span: Mapping[str, Any]) -> dict[str, Any]:
    attributes = span.get("attributes")
    record = {key: span.get(key) for key in ("spanId", "startTimeUnixNano", "startTime", "timestamp", "name")}
    for item in attributes if isinstance(attributes, list) else ():
        value = _at(item, "value")
        if isinstance(item, Mapping) and isinstance(value, Mapping) and isinstance(item.get("key"), str):
            record[item["key"]] = next(iter(value.values()), None)
    if _at(span, "status", "code") in (2, "STATUS_CODE_ERROR"):
        record["status"] = "error"
    return {key: value for key, value in record.items() if value is not None}


def flat(record: Mapping[str, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """The record with nested objects as dotted paths; lists stay values, but for counts in them."""
    found: dict[str, Any] = {}
    for key, value in record.items():
        kind = type(value)
        if kind is dict:
            if depth < _DEEPEST:
                found.update(flat(value, f"{prefix}{key}.", depth + 1))
        elif kind is list and value and isinstance(value[0], dict) and _COUNTED.search(f"{prefix}{key}"):
            _add_list(found, f"{prefix}{key}", value, depth)
        else:
            found[prefix + key] = value
    return found


def _add_list(found: dict[str, Any], path: str, items: list[Any], depth: int) -> None:
    """Counts by modality, as Gemini lists them, and others, added up by path."""
    for item in items:
        if not isinstance(item, dict):
            continue
        modality, count = item.get("modality"), item.get("tokenCount", item.get("token_count"))
        if isinstance(modality, str):
            found[f"{path}.{modality.lower()}_tokens"] = count
            continue
        for name, value in flat(item, f"{path}[].", depth + 1).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[name] = found.get(name, 0) + value
