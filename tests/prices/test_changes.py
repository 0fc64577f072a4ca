"""What changed: moves, corrections, and their effect on usage."""

from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path

import pandas as pd
import pytest

from costlib.errors import InputError
from costlib.prices.book import PriceBook, load_book
from costlib.prices.changes import diff, read_snapshot, save_snapshot
from costlib.prices.usage import price_usage

HEADER = (
    "model,provider,token_kind,tier,unit,amount,currency,effective_from,effective_to,observed_on,source,kind,purpose"
)
BOOK = load_book()


def book_with(folder: Path, row: str) -> PriceBook:
    folder.mkdir(exist_ok=True)
    (folder / "own.csv").write_text(f"{HEADER}\n{row}\n", encoding="utf-8")
    return load_book(folder)


def of(frame: pd.DataFrame, provider: str, model: str) -> pd.DataFrame:
    return frame[(frame["provider"] == provider) & (frame["model"] == model) & (frame["tier"] == "standard")]


def test_a_book_does_not_differ_from_itself() -> None:
    assert diff(BOOK, BOOK).empty


def test_a_new_first_day_is_a_move() -> None:
    changed = of(diff(BOOK, BOOK, before_day="2025-06-09", after_day="2025-06-10"), "openai", "o3")
    assert changed[["token_kind", "change"]].to_numpy().tolist() == [["input", "moved"], ["output", "moved"]]
    assert changed["usd_per_mtok_before"].tolist() == [10, 40] and changed["usd_per_mtok_after"].tolist() == [2, 8]
    assert changed["effective_from_after"].tolist() == [date(2025, 6, 10)] * 2


def test_another_amount_for_the_same_first_day_is_a_correction(tmp_path: Path) -> None:
    row = "o3,openai,input,standard,1M tokens,2.1,USD,2025-06-10,,2026-11-20,price page,quoted,{}"
    for purpose in ("correction", ""):
        changed = of(diff(BOOK, book_with(tmp_path, row.format(purpose))), "openai", "o3")
        assert changed["change"].tolist() == ["corrected"]
        assert changed["observed_on_after"].tolist() == [date(2026, 11, 20)]


def test_a_contract_from_a_new_day_is_a_move_and_an_undated_change_is_unclear(tmp_path: Path) -> None:
    row = "o3,openai,input,standard,1M tokens,1.5,USD,2026-10-01,2026-12-31,2026-09-20,contract,quoted,contracted"
    assert of(diff(BOOK, book_with(tmp_path, row)), "openai", "o3")["change"].tolist() == ["moved"]
    undated = "genai-prices@0.2.3:openai/gpt-4o:input:standard:undated"
    cheaper = tuple(replace(price, amount=Decimal(2)) if price.id == undated else price for price in BOOK.prices)
    other = PriceBook(BOOK.source, BOOK.snapshot_date, cheaper, BOOK.names, BOOK.exchange_rates)
    assert of(diff(BOOK, other), "openai", "gpt-4o")["change"].tolist() == ["unclear"]


def test_an_added_and_a_removed_price_have_no_other_side(tmp_path: Path) -> None:
    row = "house-8b,house,input,standard,1M tokens,1,USD,2026-01-01,,2026-01-01,card,quoted,"
    empty = tmp_path / "empty"
    empty.mkdir()
    with_house, without = book_with(tmp_path / "house", row), load_book(empty)
    added, removed = diff(without, with_house), diff(with_house, without)
    assert added["change"].tolist() == ["added"] and added["usd_per_mtok_before"].tolist() == [None]
    assert removed["change"].tolist() == ["removed"] and removed["price_id_after"].tolist() == [None]


def test_the_effect_on_usage_is_the_difference_of_the_two_bills() -> None:
    usage = pd.DataFrame(
        {
            "model": ["o3", "o3", "gpt-4o"],
            "input_tokens": [10**6, 5, 10**6],
            "output_tokens": [10**5, 7, 10],
            "cached_tokens": [10**5, 0, 0],
        }
    )
    changed = diff(BOOK, BOOK, before_day="2025-06-01", after_day="2025-07-01", usage=usage)
    before, after = (price_usage(BOOK, usage, as_of=day).total for day in ("2025-06-01", "2025-07-01"))
    effects = [effect for effect in changed["effect_usd"] if effect is not None]
    assert sum(effects, Decimal(0)) == after - before
    assert after < before


def test_a_snapshot_comes_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    save_snapshot(BOOK, path)
    again = read_snapshot(path)
    assert again == BOOK and again.snapshot == BOOK.snapshot
    assert diff(BOOK, again).empty
    assert list(tmp_path.iterdir()) == [path]


def test_a_snapshot_that_was_touched_or_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    save_snapshot(BOOK, path)
    path.write_text(path.read_text(encoding="utf-8").replace('"amount": "2.5"', '"amount": "2.4"'), encoding="utf-8")
    with pytest.raises(InputError, match="hash of the prices"):
        read_snapshot(path)
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(InputError, match="costlib prices save"):
        read_snapshot(path)
    with pytest.raises(InputError, match="can be read"):
        read_snapshot(tmp_path / "none.json")
