"""Our price book beside a second public list: the price file of litellm, read from where it lies.

    python benchmarks/price_lists.py PATH_TO_model_prices_and_context_window_backup.json [--provider mistral] [--all]

The file is part of litellm's wheel; install that in an environment of its own, or unpack it. Every name of a provider
that both lists have is resolved by ours; then each price that both publish for it (standard, batch, flex, priority, and
the first long-context band) is compared, in USD per million tokens. Counts and each difference are printed: a
difference has a cause (a list that is late, an alias that moved on), which a person finds. Nothing is copied.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from costlib.errors import InputError
from costlib.prices.book import PriceBook, load_book

PROVIDERS = {
    "openai": "openai",
    "text-completion-openai": "openai",
    "anthropic": "anthropic",
    "gemini": "google",
    "mistral": "mistral",
    "deepseek": "deepseek",
    "xai": "x-ai",
    "cohere": "cohere",
    "cohere_chat": "cohere",
    "groq": "groq",
    "perplexity": "perplexity",
    "moonshot": "moonshotai",
    "voyage": "voyageai",
    "cerebras": "cerebras",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "azure": "azure",
    "together_ai": "together",
    "fireworks_ai": "fireworks",
    "minimax": "minimax",
    "zai": "zai",
}
KINDS = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cache_read",
    "cache_creation_input_token_cost": "cache_write_5m",
    "cache_creation_input_token_cost_above_1hr": "cache_write_1h",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
    "input_cost_per_image_token": "input_image",
    "output_cost_per_image_token": "output_image",
    "output_cost_per_reasoning_token": "output_reasoning",
}
TIERS = {"_batches": "batch", "_priority": "priority", "_flex": "flex"}


def theirs(record: dict[str, Any]) -> Iterator[tuple[str, str, int, Decimal]]:
    """Kind, tier, band (input tokens above) and USD per million tokens of every price of a record that we know of."""
    for key, usd in record.items():
        found = re.fullmatch(r"(.+?)(?:_above_(\d+)k_tokens)?(_batches|_priority|_flex)?", key)
        if found and found[1] in KINDS and isinstance(usd, (int, float)) and not isinstance(usd, bool):
            above = int(found[2] or 0) * 1000
            yield KINDS[found[1]], TIERS.get(found[3] or "", "standard"), above, Decimal(str(usd)) * 10**6


def compare(book: PriceBook, document: dict[str, Any], only: str | None) -> tuple[Counter[str], list[dict[str, Any]]]:
    """What was compared, counted, and each difference."""
    counts: Counter[str] = Counter()
    rows: list[dict[str, Any]] = []
    for full, record in document.items():
        provider = PROVIDERS.get(record.get("litellm_provider") or "")
        if provider is None or only not in (None, provider):
            continue
        counts["names"] += 1
        name = full.removeprefix(f"{record['litellm_provider']}/")
        try:
            model = book.name(name, provider).model
        except InputError:
            counts["names we do not have"] += 1
            continue
        counts["names we have"] += 1
        for kind, tier, above, usd in theirs(record):
            try:
                sheet = book.sheet(name, provider, tier)
                band = sheet.band(kind, above + 1)
            except InputError:
                counts["prices we do not have"] += 1
                continue
            if above and band.above != above:
                counts["bands we do not have"] += 1
                continue
            same = band.usd_per_mtok == usd
            counts["prices equal" if same else "prices that differ"] += 1
            if not same:
                row = {"provider": provider, "name": name, "model": model, "tier": tier, "kind": kind, "above": above}
                rows.append(row | {"ours": band.usd_per_mtok, "theirs": usd})
    return counts, rows


def main() -> int:
    """Compare, print counts by provider and each difference, then one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--provider")
    arguments = parser.parse_args()
    document = json.loads(arguments.file.read_text(encoding="utf-8"))
    counts, rows = compare(load_book(), document, arguments.provider)
    for what, count in counts.items():
        print(f"{count:>7,} {what}")
    by_model: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for row in rows:
        band = f" above {row['above']:,}" if row["above"] else ""
        price = f"{row['tier']} {row['kind']}{band} {row['ours'].normalize():f} / {row['theirs'].normalize():f}"
        by_model[row["provider"], row["name"], row["model"]].append(price)
    print("ours / theirs, USD per million tokens:")
    for (provider, name, model), prices in sorted(by_model.items()):
        alias = "" if name.lower() == model.lower() else f" ({model})"
        print(f"  {provider}/{name}{alias}: {'; '.join(prices)}")
    print(json.dumps({"counts": counts, "differences": [{k: str(v) for k, v in row.items()} for row in rows]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
