"""A name means one model, or it is an error with near names."""

import genai_prices
import pytest

from costlib.prices.book import load_book
from costlib.prices.entries import UnknownModel, UnknownProvider
from costlib.prices.names import Name, _named, _provider, find

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
    found = find(BOOK.names, name)
    assert (found.provider, found.model) == (provider, model)


def test_a_named_provider_is_asked_alone() -> None:
    assert find(BOOK.names, "openai/gpt-4o", "openrouter").provider == "openrouter"
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
    dated = Name("a", "m", pattern=r"(m)-\d{8}")
    names = {"m": (dated,), "m-20260101": (Name("a", "pinned"), Name("b", "other"))}
    assert find(names, "m-20260101", "a").model == "pinned"
    assert find(names, "m-20260102").model == "m"


@pytest.mark.parametrize(
    ("name", "provider", "model"),
    [
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", None, "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws", "regional.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("global.anthropic.claude-sonnet-4-5-20250929-v1:0", "aws", "global.anthropic.claude-sonnet-4-5-20250929-v1:0"),
        ("anthropic.claude-3-haiku-20240307-v1:0", "bedrock", "regional.anthropic.claude-3-haiku-20240307-v1:0"),
        ("us.meta.llama3-1-70b-instruct-v1:0", "aws.bedrock", "meta.llama3-1-70b-instruct-v1:0"),
        ("claude-sonnet-4-5@20250929", None, "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "vertex_ai", "claude-sonnet-4-5"),
        ("claude-sonnet-4-20250514", "anthropic", "claude-sonnet-4-0"),
        ("publishers/anthropic/models/claude-3-5-haiku", "google", "claude-3-5-haiku"),
        ("ft:gpt-4o-mini-2024-07-18:acme::x", None, "ft:gpt-4o-mini"),
        ("ft:gpt-4o-2024-08-06:acme:desk:9zx", "openai", "ft:gpt-4o"),
        ("ft:gpt-3.5-turbo-0125:acme::9zx", "openai", "ft:gpt-3.5-turbo-"),
        ("gemini-2.0-flash-001", "gemini", "gemini-2.0-flash"),
        ("gemini-2.5-pro-preview-05-06", "google", "gemini-2.5-pro"),
        ("text-embedding-3-small", "azure", "text-embedding-3-small"),
    ],
)
def test_real_ids_resolve_by_the_rules_of_the_list_and_as_the_library_does(
    name: str, provider: str | None, model: str
) -> None:
    found = find(BOOK.names, name, provider)
    assert found.model == model
    _, theirs = genai_prices.data_snapshot.get_snapshot().find_provider_model(name, None, found.provider, None)
    assert theirs.id == model


@pytest.mark.parametrize(
    "name",
    [
        "claude-opus-4-10",
        "claude-3-5-sonnet-best",
        "my-claude-sonnet-4-5",
        "gemini-2.5-pro-native-voice",
        "ft:gpt-4.1-mini-2025-04-14:acme::x",
        "ft:o4-mini-2025-04-16:acme::x",
        "claude-sonnet-4-5-20251399",
    ],
)
def test_what_only_begins_like_a_model_is_none(name: str) -> None:
    for provider in (None, "anthropic", "google", "openai", "azure", "aws"):
        with pytest.raises(UnknownModel):
            find(BOOK.names, name, provider)


def test_a_fine_tuned_model_is_never_priced_as_its_base() -> None:
    with pytest.raises(
        UnknownModel, match=r"such as ft:gpt-4o, ft:gpt-4o-mini; a fine-tuned model is never priced as its"
    ):
        find(BOOK.names, "ft:gpt-4.1-mini-2025-04-14:acme::x", "openai")


def test_a_prefix_of_the_list_is_not_offered_as_a_name() -> None:
    ids = {model.lower() for _, model in BOOK.by_model}
    assert not {"claude-sonnet-4-2025", "ft:gpt-4o-mini-2024-", "claude-sonnet-4@", "gpt-4o-mini-2024-07-18.ft"} & set(
        BOOK.names
    )
    with pytest.raises(UnknownModel) as error:
        find(BOOK.names, "claude-sonnet-4@x", "anthropic")
    offered = str(error.value).partition("such as ")[2].partition(";")[0].split(", ")
    assert offered and all(name in BOOK.names for name in offered) and ids & set(offered)


@pytest.mark.parametrize(
    ("given", "provider"),
    [
        ("vertex_ai", "google"),
        ("gcp.vertex_ai", "google"),
        ("google-vertex", "google"),
        ("bedrock_converse", "aws"),
        ("Amazon Bedrock", "aws"),
        ("xai", "x-ai"),
        ("together_ai", "together"),
        ("fireworks_ai", "fireworks"),
        ("mistralai", "mistral"),
        ("OpenAI", "openai"),
    ],
)
def test_a_provider_goes_by_the_names_the_list_knows(given: str, provider: str) -> None:
    assert _provider(BOOK.names, given) == provider


@pytest.mark.parametrize(
    "given",
    ["nonsense", "hosted_vllm", "ollama", "openai-gateway", "my-openai", "azure_openai", "anthropic-openai", "ai"],
)
def test_a_provider_nobody_knows_is_no_neighbour(given: str) -> None:
    with pytest.raises(UnknownProvider, match=f"provider is '{given}'"):
        find(BOOK.names, "gpt-4o", given)


def test_names_of_the_list_mean_what_the_library_says() -> None:
    snapshot = genai_prices.data_snapshot.get_snapshot()
    checked = 0
    for provider in (p for p in snapshot.providers if p.id in ("anthropic", "google", "openai", "deepseek", "mistral")):
        for model in provider.models:
            for ending in ("-20260101", "@2026-01-01", "-latest", "-v1:0", "-001"):
                name = f"{model.id}{ending}".lower()
                own = {
                    model for by, model in BOOK.by_model if by == provider.id
                }  # a name that moved on is its own model
                for found in _named(BOOK.names, name, provider.id) if name not in own else ():
                    theirs = provider._match_model(name)
                    checked += 1
                    assert theirs is not None and found.model == theirs.id, name
    assert checked > 150
