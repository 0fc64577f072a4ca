"""Prompts of a wanted length that no cache has seen: random words, drawn anew for every request of every test.

How many tokens a word is depends on the server's tokenizer and chat template, which are not known here. The first
requests, which warm the server up, tell: two prompts of different length and the tokens the server counted give tokens
per word and the tokens of the template.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

FEWEST_WORDS = 4
"""Random words of a prompt, however short it is to be: with fewer, prompts would repeat."""


@dataclass(frozen=True)
class Ruler:
    """Tokens of a prompt: those of the chat template, and so many a word."""

    template_tokens: float = 0.0
    tokens_per_word: float = 1.0

    @classmethod
    def of(cls, seen: Sequence[tuple[int, int]]) -> Ruler:
        """From (words, tokens) of two prompts; a word a token where they tell nothing sensible."""
        if len(seen) < 2 or seen[0][0] == seen[1][0]:
            return cls()
        (few, less), (many, more) = seen[:2]
        slope = (more - less) / (many - few)
        return cls(max(0.0, less - slope * few), slope) if 0.1 <= slope <= 10 else cls()

    def words(self, tokens: int) -> int:
        """Words that make about so many tokens together with the template."""
        return max(FEWEST_WORDS, round((tokens - self.template_tokens) / self.tokens_per_word))


@cache
def _vocabulary() -> tuple[str, ...]:
    """Short English words; a package of Python's own brings a text that holds them."""
    from pydoc_data.topics import topics

    return tuple(sorted(set(re.findall(r"\b[a-z]{3,8}\b", " ".join(topics.values())))))


def prompt(words: int, seed: str, shared_words: int = 0) -> str:
    """`words` random words, the first `shared_words` of them the same in every prompt, the rest drawn by `seed`."""
    own = max(FEWEST_WORDS, words - shared_words)
    drawn = random.Random("shared").choices(_vocabulary(), k=shared_words)
    return " ".join([*drawn, *random.Random(seed).choices(_vocabulary(), k=own)])
