"""Conversion of the public list: the active entry of each period, and the release that is pinned."""

from dataclasses import dataclass, field
from datetime import date, datetime
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costlib.errors import InputError
from costlib.prices import library


def test_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "version", lambda name: "9.9.9")
    with pytest.raises(InputError, match=r"version of genai-prices is '9.9.9'; allowed: 0.2.3"):
        library.read_public_list()


def test_a_missing_package_is_refused_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(library, "version", missing)
    with pytest.raises(InputError, match=r"pip install genai-prices==0.2.3"):
        library.read_public_list()


@dataclass
class Entry:
    name: int
    constraint: Any = None
    prices: Any = field(default=None)


DAYS = st.one_of(st.none(), st.dates(date(2025, 1, 1), date(2025, 1, 20)))


@settings(deadline=None, max_examples=200)
@given(st.lists(DAYS, min_size=1, max_size=6), st.dates(date(2024, 12, 20), date(2025, 2, 1)), st.booleans())
def test_periods_choose_as_the_library_does_on_every_day(starts: list[date | None], day: date, last: bool) -> None:
    entries = [Entry(i, start and SimpleNamespace(start_date=start)) for i, start in enumerate(starts)]
    active = [e for e in entries if e.constraint is None or e.constraint.start_date <= day]
    expected = (active[-1] if last else active[0]) if active else None
    segments = library._segments(entries, lambda choices: choices[-1 if last else 0])
    found = [e for first, end, e in segments if (first or date.min) <= day <= (end or date.max)]
    assert found == ([expected] if expected else [])


def test_every_public_token_price_is_in_the_list_or_left_out_by_name() -> None:
    from genai_prices.data import providers

    left_out = {
        "audio_hours",
        "input_audio_hours",
        "input_document_kpages",
        "input_annotated_document_kpages",
        "input_mchars",
        "input_text_messages_kcount",
    }
    listed = {(m.name.provider, m.name.model): m for m in library.read_public_list().models}
    for provider in providers:
        for model in provider.models:
            at = datetime(2026, 11, 10)
            kinds = {p.token_kind for p in listed[provider.id, model.id].prices}
            prices = {key for key, value in model.get_prices(at).__dict__.items() if value is not None}
            assert {library._TOKEN_KINDS[key] for key in prices - left_out} <= kinds
