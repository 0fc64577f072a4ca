"""The book: names, coverage, our own entries over the public list, moves and corrections."""

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from costlib.errors import InputError
from costlib.prices.api import price_request
from costlib.prices.book import PriceBook, day_and_time, load_book
from costlib.prices.currency import NoExchangeRate
from costlib.prices.entries import DateOutsideCoverage, MissingPrice, UnknownModel

HEADER = (
    "model,provider,token_kind,tier,unit,amount,currency,effective_from,effective_to,observed_on,source,kind,purpose"
)


def book_with(folder: Path, *rows: str, header: str = HEADER) -> PriceBook:
    (folder / "own.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return load_book(folder)


def price(book: PriceBook, model: str, day: str | None = None, tokens: int = 10**6) -> Decimal:
    return price_request(book, model, input_tokens=tokens, output_tokens=0, as_of=day).total


CONTRACT = "gpt-4o,openai,input,standard,1M tokens,{},USD,{},{},{},contract 7,quoted,{}"


def test_a_contracted_price_goes_before_the_list_on_its_days_alone(tmp_path: Path) -> None:
    book = book_with(tmp_path, CONTRACT.format("2.00", "2026-07-01", "2026-09-30", "2026-06-20", "contracted"))
    assert price(book, "gpt-4o", day="2026-06-30") == Decimal("2.5")
    assert price(book, "gpt-4o", day="2026-07-01") == 2
    assert price(book, "gpt-4o", day="2026-09-30") == 2
    assert price(book, "gpt-4o", day="2026-10-01") == Decimal("2.5")


def test_a_contract_reaches_beyond_the_snapshot_and_the_list_does_not(tmp_path: Path) -> None:
    book = book_with(tmp_path, CONTRACT.format("2.00", "2026-07-01", "2027-06-30", "2026-06-20", "contracted"))
    assert price(book, "gpt-4o", day="2027-06-30") == 2
    with pytest.raises(DateOutsideCoverage):
        price(book, "gpt-4o", day="2027-07-01")
    with pytest.raises(DateOutsideCoverage, match="price of output tokens"):
        price_request(book, "gpt-4o", input_tokens=1, output_tokens=1, as_of="2027-01-01")


def test_an_open_ended_entry_holds_to_the_snapshot(tmp_path: Path) -> None:
    book = book_with(tmp_path, CONTRACT.format("2.00", "2026-07-01", "", "2026-06-20", "contracted"))
    assert price(book, "gpt-4o") == 2
    with pytest.raises(DateOutsideCoverage):
        price(book, "gpt-4o", day="2026-11-11")


def test_the_later_observation_of_the_same_days_is_a_correction_and_holds(tmp_path: Path) -> None:
    rows = [
        CONTRACT.format("2.00", "2026-07-01", "2026-09-30", "2026-08-05", "contracted"),
        CONTRACT.format("2.10", "2026-07-01", "2026-09-30", "2026-06-20", "contracted"),
    ]
    assert price(book_with(tmp_path, *rows), "gpt-4o", day="2026-08-01") == 2


def test_an_own_price_replaces_one_that_depends_on_the_hour(tmp_path: Path) -> None:
    row = "deepseek-v4-pro,deepseek,{},standard,1M tokens,1,USD,2026-11-01,,2026-11-01,contract,assumed,contracted"
    book = book_with(tmp_path, *(row.format(kind) for kind in ("input", "output", "cache_read")))
    priced = price_request(book, "deepseek-v4-pro", "deepseek", input_tokens=10**6, output_tokens=10**6)
    assert (priced.total, priced.kind, priced.source) == (Decimal(2), "assumed", "contract")


def test_a_free_promotion_is_a_price_of_zero(tmp_path: Path) -> None:
    book = book_with(tmp_path, CONTRACT.format("0", "2026-07-01", "2026-07-31", "2026-06-20", "promotional"))
    assert price(book, "gpt-4o", day="2026-07-15") == 0


def test_an_own_entry_may_be_of_a_model_nobody_lists(tmp_path: Path) -> None:
    row = "house-8b,house,input,standard,1K tokens,0.0003,USD,2026-01-01,,2026-01-01,internal rate card,assumed,"
    book = book_with(tmp_path, row)
    assert price(book, "house-8b") == Decimal("0.3")
    with pytest.raises(MissingPrice):
        price_request(book, "house-8b", input_tokens=1, output_tokens=1)


def test_an_own_long_context_price_is_a_cliff(tmp_path: Path) -> None:
    rows = [
        "house-8b,house,input,standard,1M tokens,1,USD,2026-01-01,,2026-01-01,card,quoted,,0",
        "house-8b,house,input,standard,1M tokens,2,USD,2026-01-01,,2026-01-01,card,quoted,,1000000",
    ]
    book = book_with(tmp_path, *rows, header=f"{HEADER},above_input_tokens")
    assert price(book, "house-8b") == 1
    assert price(book, "house-8b", tokens=10**6 + 1) == Decimal("2.000002")


def test_another_currency_is_converted_at_the_rate_of_the_day_or_not_at_all(tmp_path: Path) -> None:
    row = "house-8b,house,input,standard,1M tokens,2,EUR,2020-01-01,,2026-01-01,card,quoted,"
    book = book_with(tmp_path, row)
    assert price(book, "house-8b", day="2026-10-30") == Decimal("2.2344")  # ECB reference rate 1.1172
    with pytest.raises(NoExchangeRate, match="date of a rate for EUR is '2021-01-01'"):
        price(book, "house-8b", day="2021-01-01")


def changed(old: str, new: str) -> str:
    return CONTRACT.format("2", "2026-07-01", "", "2026-06-20", "list").replace(old, new)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed("tokens,2,", "tokens,2,00,"), r"own.csv:2: number of cells is 14"),
        (changed("tokens,2,", 'tokens,"2,00",'), r"own.csv:2: amount is '2,00'.*thousands"),
        (changed("tokens,2,", "tokens,0,"), r"own.csv:2: amount is '0'"),
        (changed("tokens,2,", "tokens,-1,"), r"own.csv:2: amount is '-1'"),
        (changed("tokens,2,", "tokens,nan,"), r"own.csv:2: amount is 'nan'"),
        (changed("tokens,2,", "tokens,inf,"), r"own.csv:2: amount is 'inf'"),
        (changed("2026-07-01,,", "2026-07-01,2026-06-30,"), r"own.csv:2: effective_to is '2026-06-30'"),
        (changed("2026-07-01", "01.07.2026"), r"own.csv:2: effective_from is '01.07.2026'"),
        (changed("2026-07-01", "2026-02-30"), r"own.csv:2: effective_from is '2026-02-30'"),
        (changed("2026-06-20", ""), r"own.csv:2: observed_on is ''"),
        (changed(",list", ",gift"), r"own.csv:2: purpose is 'gift'"),
        (changed(",list", ",missing"), r"own.csv:2: purpose is 'missing'.*gpt-4o"),
        (changed("USD", "XYZ"), r"own.csv:2: currency is 'XYZ'; allowed: one of AUD"),
        (changed("quoted", "sure"), r"own.csv:2: kind is 'sure'"),
        (changed("standard", "cheap"), r"own.csv:2: tier is 'cheap'"),
        (changed("input", "words"), r"own.csv:2: token_kind is 'words'"),
        (changed("1M tokens", "token"), r"own.csv:2: unit is 'token'"),
        (changed("1M tokens", "1M requests"), r"own.csv:2: unit is '1M requests'; allowed: a unit of tokens"),
        (changed("contract 7", ""), r"own.csv:2: source is ''"),
    ],
)
def test_a_broken_entry_is_named_by_file_line_and_field(tmp_path: Path, row: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        book_with(tmp_path, row)


def test_a_correction_must_find_what_it_corrects(tmp_path: Path) -> None:
    row = "o3,openai,input,standard,1M tokens,2.1,USD,2025-06-{},,2026-06-20,price page,quoted,correction"
    with pytest.raises(InputError, match="purpose is 'correction'"):
        book_with(tmp_path, row.format("12").replace("o3,openai", "nova,house"))
    assert price(book_with(tmp_path, row.format("10")), "o3", day="2025-07-01") == Decimal("2.1")


def test_duplicates_and_overlaps_are_refused(tmp_path: Path) -> None:
    one = CONTRACT.format("2", "2026-07-01", "2026-09-30", "2026-06-20", "contracted")
    with pytest.raises(InputError, match=r"own.csv:3: row is 'own.csv:openai/gpt-4o:.*see .*own.csv:2"):
        book_with(tmp_path, one, one)
    overlapping = CONTRACT.format("1.8", "2026-09-30", "2026-12-31", "2026-06-20", "contracted")
    with pytest.raises(InputError, match=r"own.csv:3: effective_from is '2026-09-30'.*do not overlap"):
        book_with(tmp_path, one, overlapping)


def test_the_snapshot_hash_tells_books_apart(tmp_path: Path) -> None:
    plain = load_book(tmp_path)
    again = load_book(tmp_path)
    assert plain.snapshot == again.snapshot and len(plain.snapshot) == 64
    assert book_with(tmp_path, CONTRACT.format("2", "2026-07-01", "", "2026-06-20", "list")).snapshot != plain.snapshot


def test_every_price_has_an_id_of_its_own() -> None:
    ids = [price.id for price in load_book().prices]
    assert len(set(ids)) == len(ids)
    assert "genai-prices@0.2.3:openai/o3:input:standard:2025-06-10" in ids
    assert "genai-prices@0.2.3:anthropic/claude-sonnet-4-5:output:batch:2026-10-14:>200000" in ids


def test_prices_are_dated_and_quoted() -> None:
    book = load_book()
    of_input = [p for p in book.by_model["openai", "o3"] if (p.token_kind, p.tier) == ("input", "standard")]
    moved = {p.effective_from: p for p in of_input}
    assert moved[None].effective_to == date(2025, 6, 9)
    assert moved[None].known_from == date(2025, 4, 16)  # the date in o3-2025-04-16
    assert moved[date(2025, 6, 10)].effective_to is None
    assert {p.kind for p in book.prices} == {"quoted"}
    assert all(p.known_from <= (p.effective_to or date.max) for p in book.prices)


def test_a_model_that_did_not_exist_has_no_price() -> None:
    with pytest.raises(DateOutsideCoverage, match="2025-09-29"):
        price(load_book(), "claude-sonnet-4-5", day="2024-01-01")


def test_moments_are_utc() -> None:
    assert day_and_time("2026-11-01T23:30:00-05:00")[0] == date(2026, 11, 2)
    assert day_and_time(date(2026, 11, 1)) == (date(2026, 11, 1), None)


def test_an_unknown_model_is_not_found_in_an_empty_folder_either(tmp_path: Path) -> None:
    with pytest.raises(UnknownModel):
        price(load_book(tmp_path), "house-8b")


@pytest.mark.parametrize(
    ("model", "provider", "message"),
    [
        ("GPT-4o", "openai", r"own.csv:2: model is 'GPT-4o'; allowed: gpt-4o, its name in the price book"),
        ("gpt-4o-2024-08-06", "openai", r"own.csv:2: model is 'gpt-4o-2024-08-06'; allowed: gpt-4o,"),
        ("gpt-4o", "OpenAI", r"own.csv:2: provider is 'OpenAI'; allowed: openai,"),
    ],
)
def test_an_own_entry_under_another_name_would_price_nobody_and_is_refused(
    tmp_path: Path, model: str, provider: str, message: str
) -> None:
    row = f"{model},{provider},input,standard,1M tokens,2,USD,2026-01-01,,2026-01-01,contract,quoted,contracted"
    with pytest.raises(InputError, match=message):
        book_with(tmp_path, row)


@pytest.mark.parametrize(("given", "asked"), [(0, 200_000), (200_000, 0)])
def test_an_own_entry_for_one_band_of_a_long_context_price_needs_the_other(
    tmp_path: Path, given: int, asked: int
) -> None:
    row = "claude-sonnet-4-5,anthropic,input,standard,1M tokens,2,USD,2026-01-01,,2026-01-01,c,quoted,contracted"
    with pytest.raises(InputError, match=rf"own.csv:2: above_input_tokens is {given}; allowed: a row for {asked} on"):
        book_with(tmp_path, f"{row},{given}", header=f"{HEADER},above_input_tokens")


@pytest.mark.parametrize("amount", ["1e15", "1e400", "1e-16"])
def test_an_absurd_amount_is_refused(tmp_path: Path, amount: str) -> None:
    row = f"gpt-4o,openai,input,standard,1M tokens,{amount},USD,2026-01-01,,2026-01-01,c,quoted,contracted"
    with pytest.raises(InputError, match=r"own.csv:2: amount is .*; allowed: a number above 0 and below 1e15"):
        book_with(tmp_path, row)


def test_an_alias_that_moved_on_is_a_model_of_its_own_from_its_day() -> None:
    """The list has mistral-large-latest for a model of 2024; its provider has meant mistral-large-2512 since."""
    book = load_book()
    for alias, model in (
        ("mistral-large-latest", "mistral-large-2512"),
        ("magistral-small-latest", "mistral-small-2603"),
    ):
        tokens = {"input_tokens": 10**6, "cached_tokens": 10**5, "output_tokens": 10**5}
        moved, meant = (price_request(book, name, "mistral", **tokens) for name in (alias, model))
        assert moved.total == meant.total and "litellm" in moved.source
    assert price_request(book, "mistral-large", "mistral", input_tokens=10**6).total == 2
    with pytest.raises(DateOutsideCoverage, match="the nearest recorded price is that of 2026-11-10"):
        price_request(book, "mistral-large-latest", "mistral", input_tokens=1, as_of="2026-11-01")
