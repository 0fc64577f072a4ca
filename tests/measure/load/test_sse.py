from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.measure.load.client import Events

STREAM = (
    "\ufeff: a comment\r\n"
    'data: {"a": 1}\r\n\r\n'
    "event: message\nid: 7\nretry: 10\ndata: first line\ndata:second line\n\n"
    ": ping\n\n"
    "data: Zürich - 東京 🙂\r\r"
    "data\n\n"
    "nonsense without a colon\n\n"
    "data: [DONE]\n\n"
).encode()
EVENTS = ['{"a": 1}', "first line\nsecond line", "Zürich - 東京 🙂", "", "[DONE]"]


def read(*parts: bytes) -> list[str]:
    events = Events()
    return [event for part in parts for event in events.feed(part)] + events.end()


def test_every_form_of_line_and_field_is_read() -> None:
    assert read(STREAM) == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_wherever_the_network_cuts_the_events_are_the_same(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert read(*(STREAM[a:b] for a, b in pairwise(edges))) == EVENTS
    assert read(*(STREAM[i : i + 1] for i in range(len(STREAM)))) == EVENTS


def test_an_event_is_there_as_soon_as_its_blank_line_is() -> None:
    events = Events()
    assert events.feed(b"data: a\n") == []
    assert events.feed(b"\n") == ["a"]
    assert events.feed(b"data: b\r\n\r") == ["b"]
    assert events.feed(b"\ndata: c") == []
    assert events.end() == ["c"]


@pytest.mark.parametrize("rest", [b"", b"\n", b": comment", b"event: x"])
def test_what_is_no_event_gives_none(rest: bytes) -> None:
    assert read(rest) == []


def test_bytes_that_are_no_utf8_are_replaced_not_fatal() -> None:
    assert read(b"data: \xff\xfe\n\n") == ["\ufffd\ufffd"]
