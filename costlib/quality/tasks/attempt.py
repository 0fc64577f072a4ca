"""One attempt at one completion: its text and tokens, or in which way it failed and what that may have cost."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costlib.server import LARGEST_BODY, NO_JSON, Failed, lost, refused, usage_counts

if TYPE_CHECKING:
    import httpx


@dataclass(frozen=True)
class Answer:
    """A whole answer, billed: `text`, None where it holds none; `ended` as the server says; tokens (read, written)."""

    text: str | None
    ended: str
    used: tuple[int, int] | None


def send(client: httpx.Client, url: str, body: Mapping[str, Any], *, timeout_s: float, secret: str | None) -> Answer:
    """Ask once; raises `Failed` for all that a server or a network does, `secret` blotted out of what it said."""
    import httpx

    late = Failed("timeout", f"no whole answer within {timeout_s:g} s", passing=True, billed=True)
    deadline = time.monotonic() + timeout_s
    content = b""
    try:
        with client.stream("POST", url, json=body, timeout=timeout_s) as response:
            for part in response.iter_bytes():
                content += part
                if len(content) > LARGEST_BODY:
                    raise Failed("malformed", "more than 16 MB came back", passing=False, billed=True)
                if time.monotonic() > deadline:
                    raise late
    except (httpx.TransportError, httpx.DecodingError) as error:
        raise lost(error, late) from error
    if response.status_code != 200:
        raise refused(response.status_code, response.headers.get("retry-after"), content, secret)
    return _read(content)


def _read(content: bytes) -> Answer:
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        text = choice["message"].get("content") if "message" in choice else choice["text"]
        ended = str(choice.get("finish_reason"))
        if isinstance(text, list):  # parts, of which some may be thoughts
            text = "".join(part["text"] for part in text if part["type"] == "text")
        if text is not None:
            text = text.encode(errors="replace").decode()  # JSON can spell half a character, which no file holds
    except NO_JSON as error:
        raise Failed("malformed", "the answer is not a completion in JSON", passing=True, billed=True) from error
    # A model may say nothing; one that was stopped before it said anything has not answered.
    return Answer(text if text or ended == "stop" else None, ended[:40], usage_counts(answer.get("usage")))
