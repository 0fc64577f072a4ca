"""A name means one model, or it is an error with near names."""

import genai_prices
import pytest

from costlib.prices.book import load_book
from costlib.prices.entries import UnknownModel, UnknownProvider
from costlib.prices.names import Name, find

BOOK = load_book()


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("gpt-4o", "openai", "gpt-4o"),
        ("GPT-4o", "openai", "gpt-4o"),
        ("gpt-4o-2024-11-20", "openai", "gpt-4o"),
        ("gpt-4o-2024-05-13", "openai", "gpt-4o-2024-05-13"),
        ("claude-3.5-sonnet", "anthropic", "claude-3-5-sonnet"),
        ("claude-sonnet-4-5-20250929", "anthropic", "claude-sonnet-4-5"),
        ("claude-3-5-haiku-latest", "anthropic", "claude-3-5-haiku-latest"),
        ("gemini-2.5-pro", "google", "gemini-2.5-pro"),
    ],
)
def test_a_name_means_the_model_of_its_own_provider(name: str, provider: str, model: str) -> None:
    assert find(BOOK.names, name) == (provider, model)


def test_a_named_provider_is_asked_alone() -> None:
    assert find(BOOK.names, "openai/gpt-4o", "openrouter")[0] == "openrouter"
    with pytest.raises(UnknownModel, match=r"a model of azure, .*offered by .*openai"):
        find(BOOK.names, "gpt-4o", "azure")


def test_the_library_falls_back_to_another_provider_and_this_does_not() -> None:
    _, model = genai_prices.data_snapshot.get_snapshot().find_provider_model("gpt-4o", None, "azure", None)
    assert model.id == "gpt-4o"


def test_the_library_takes_any_ending_and_this_only_a_date() -> None:
    _, model = genai_prices.data_snapshot.get_snapshot().find_provider_model("claude-3-5-sonnet-best", None, None, None)
    assert model.id == "claude-3-5-sonnet"
    with pytest.raises(UnknownModel, match="such as claude-3-5-sonnet"):
        find(BOOK.names, "claude-3-5-sonnet-best")
    with pytest.raises(UnknownModel):
        find(BOOK.names, "claude-3-5-sonnet-20241399")


def test_a_model_without_dated_names_takes_no_date() -> None:
    with pytest.raises(UnknownModel):
        find(BOOK.names, "gpt-4o-2026-01-01", "openai")


def test_near_names_are_suggested() -> None:
    with pytest.raises(UnknownModel, match=r"model is 'gpt4o'; allowed: a model of openai, such as gpt-4o"):
        find(BOOK.names, "gpt4o", "openai")
    with pytest.raises(UnknownProvider, match="provider is 'openay'; allowed: one of openai"):
        find(BOOK.names, "gpt-4o", "openay")
    with pytest.raises(UnknownProvider, match="allowed: one of anthropic, "):
        find(BOOK.names, "gpt-4o", "qqqqq")


def test_a_model_of_several_providers_needs_one() -> None:
    allowed = "provider of text-embedding-3-large is None; allowed: one of azure, openai"
    with pytest.raises(UnknownProvider, match=allowed):
        find(BOOK.names, "text-embedding-3-large")


def test_an_exact_name_goes_before_a_date_suffix() -> None:
    names = {"m": (Name("a", "m", takes_date=True),), "m-20260101": (Name("a", "pinned"), Name("b", "other"))}
    assert find(names, "m-20260101", "a") == ("a", "pinned")
    assert find(names, "m-20260102") == ("a", "m")
