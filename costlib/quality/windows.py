"""The three window rules: which tokens of a text are scored, and what each of them is conditioned on.

A model reads a limited context, so a long text is scored in windows, and perplexity depends on how they are laid: the
fewer tokens a token is conditioned on, the worse it is predicted. The rule is therefore part of a result's identity.
With the beginning-of-text token in front, s = [bos, t1, ..., tn]; a window reads some of s and predicts the last ones:

- `ppl_rolling`: every token is scored once, in disjoint windows of `window` tokens. The first token of the text is
  conditioned on bos, and the first token of every later window on the one token before it. A last window that is not
  full reads earlier tokens again, but does not score them again. The rolling log-likelihood rule of
  lm-evaluation-harness with a context length of 1.
- `ppl_sliding`: every token is scored once; windows of `window` tokens begin every `stride` tokens, so that every token
  after the first window is conditioned on more than `window - stride` tokens. The rule of the transformers
  documentation, "Perplexity of fixed-length models", where the last token read is only predicted, so its `max_length`
  is `window` + 1.
- `ppl_llamacpp`: s is cut into disjoint chunks of `window` tokens (n_ctx) and what is left over is dropped; bos takes
  the place of the first token of each chunk, and only the second half is scored. The rule of llama.cpp's perplexity
  tool: n_ctx - 1 - n_ctx // 2 tokens of each chunk.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from costlib.errors import invalid_input
from costlib.isolate import Unsupported
from costlib.tables import RULES

ROLLING = RULES[0]
_LEAST = {"ppl_rolling": 2, "ppl_sliding": 2, "ppl_llamacpp": 8}


@dataclass(frozen=True)
class Window:
    """One pass of a model: it reads s[read:stop] and scores s[start + 1 : stop + 1], all counted in tokens of s."""

    read: int
    start: int
    stop: int


@dataclass(frozen=True)
class Rule:
    """A window rule with its lengths in tokens; `Rule.of` checks them."""

    name: str
    window: int
    stride: int

    @classmethod
    def of(cls, name: str, window: int, stride: int | None = None) -> Rule:
        """A rule with its stride, which is the window except for `ppl_sliding` (by default half of it there).

        Raises `InputError` for an unknown rule, a window too short to score, or a stride the rule does not have.
        """
        if name not in RULES:
            raise invalid_input("rule", name, RULES)
        if isinstance(window, bool) or not isinstance(window, int) or not _LEAST[name] <= window < 10**15:
            raise invalid_input("window", window, f"a whole number of tokens from {_LEAST[name]} to below 1e15")
        sliding = name == "ppl_sliding"
        given = (window // 2 if sliding else window) if stride is None else stride
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= window:
            raise invalid_input("stride", given, f"a whole number of tokens from 1 to the window, {window}")
        if given != window and not sliding:
            raise invalid_input("stride", given, f"the window, {window}, or none: {name} has disjoint windows")
        return cls(name, window, given)

    @property
    def bos_first(self) -> bool:
        """Whether the first token a window reads is replaced by the beginning-of-text token."""
        return self.name == "ppl_llamacpp"

    def windows(self, tokens: int) -> list[Window]:
        """The windows of a text of `tokens` tokens, in order."""
        size = self.window
        if self.name == "ppl_llamacpp":
            chunks = range(0, (tokens + 1) // size * size, size)
            return [Window(read, read + size // 2, read + size - 1) for read in chunks]
        if self.name == ROLLING:
            ends = [(start, min(tokens, start + size)) for start in range(0, tokens, size)]
            return [Window(max(0, stop - size), start, stop) for start, stop in ends]
        found = [Window(0, 0, min(tokens, size))]
        while (last := found[-1]).stop < tokens:
            read = last.read + self.stride
            found.append(Window(read, last.stop, min(tokens, read + size)))
        return found

    def depths(self, tokens: int) -> list[int]:
        """How many tokens, bos included, each scored token is conditioned on, in the order they are scored."""
        return [at - part.read + 1 for part in self.windows(tokens) for at in range(part.start, part.stop)]


def token_hash(ids: Sequence[int]) -> str:
    """SHA-256 of token ids written as a JSON list without spaces."""
    return hashlib.sha256(json.dumps(list(ids), separators=(",", ":")).encode()).hexdigest()


def sequence_of(tokenizer: Any, text: str, tokens: int, rule: Rule) -> tuple[list[int], int]:
    """The token everything starts from and the first `tokens` of the text; the UTF-8 bytes of those that are scored.

    What the text starts from is beginning of text, or end of text where a tokenizer has none. A character that several
    tokens share counts for the first of them.
    """
    if not tokenizer.is_fast:
        raise Unsupported("this tokenizer does not tell which characters a token stands for, so bytes are unknown")
    special = [token for token in (tokenizer.bos_token_id, tokenizer.eos_token_id) if token is not None]
    if not special:
        raise Unsupported("the tokenizer has neither a beginning-of-text nor an end-of-text token to start from")
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids = encoded["input_ids"]
    for name, value in (("window", rule.window), ("tokens", tokens)):
        if len(ids) < value:
            raise invalid_input(name, value, f"at most {len(ids):,}, which is all the text holds with this tokenizer")
    ends = [0]
    for _, end in encoded["offset_mapping"][:tokens]:
        ends.append(max(end, ends[-1]))
    size = sum(len(text[ends[part.start] : ends[part.stop]].encode()) for part in rule.windows(tokens))
    return [int(special[0]), *ids[:tokens]], size


def refuse_other_tokenizer(
    variant: str, own: Any, model: str, tokenizer: Any, text: str, sequence: Sequence[int]
) -> None:
    """Raise `InputError` unless a variant's tokenizer has the baseline's vocabulary and reads the text as it does.

    Per-token differences and KL compare position by position and word by word; with other tokens they mean nothing.
    `sequence` is what the baseline's tokenizer made of the text, with the token everything starts from in front.
    """
    allowed = f"a model with the tokenizer of {model}"
    words, others = ({at: word for word, at in each.get_vocab().items()} for each in (tokenizer, own))
    if words != others:
        at = min(at for at in words.keys() | others.keys() if words.get(at) != others.get(at))
        seen, found = (repr(each[at]) if at in each else "none" for each in (words, others))
        sizes = f"{len(words):,} tokens there, {len(others):,} here"
        raise invalid_input(
            "model", variant, f"{allowed} ({sizes}; the first to differ is token {at}, {seen} there, {found} here)"
        )
    ids = own(text, add_special_tokens=False, verbose=False)["input_ids"]
    for place, (there, here) in enumerate(zip(sequence[1:], ids, strict=False), 1):
        if there != here:
            pair = f"{words[there]!r} there, {words[here]!r} here"
            raise invalid_input(
                "model", variant, f"{allowed} (same {len(words):,} tokens, but token {place} of the text is {pair})"
            )
