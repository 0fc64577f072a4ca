"""What one completion says: its text and tokens, without the secrets that a server may have put into it."""

from __future__ import annotations

import json
from dataclasses import dataclass

from costlib.redact import redact
from costlib.server import NO_JSON, Failed, usage_counts


@dataclass(frozen=True)
class Answer:
    """A whole answer, billed: `text`, None where it holds none; `ended` as the server says; tokens (read, written)."""

    text: str | None
    ended: str
    used: tuple[int, int] | None


def read(content: bytes) -> Answer:
    """The completion that a server sent; raises `Failed` for what is none."""
    try:
        answer = json.loads(content)
        choice = answer["choices"][0]
        text = choice["message"].get("content") if "message" in choice else choice["text"]
        ended = redact(str(choice.get("finish_reason")))
        if isinstance(text, list):  # parts, of which some may be thoughts
            text = "".join(part["text"] for part in text if part["type"] == "text")
        if text is not None:
            # JSON can spell half a character, which no file holds.
            text = redact(text.encode(errors="replace").decode())
    except NO_JSON as error:
        raise Failed("malformed", "the answer is not a completion in JSON", passing=True, billed=True) from error
    # A model may say nothing; one that was stopped before it said anything has not answered.
    return Answer(text if text or ended == "stop" else None, ended[:40], usage_counts(answer.get("usage")))
