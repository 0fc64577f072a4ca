"""The tokens of a text that a model is scored on, and whether another model reads the same text in the same tokens."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from costlib.errors import bad
from costlib.isolate import Unsupported
from costlib.quality.windows import Rule


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
            raise bad(name, value, f"at most {len(ids):,}, which is all the text holds with this tokenizer")
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
        raise bad(
            "model", variant, f"{allowed} ({sizes}; the first to differ is token {at}, {seen} there, {found} here)"
        )
    ids = own(text, add_special_tokens=False, verbose=False)["input_ids"]
    for place, (there, here) in enumerate(zip(sequence[1:], ids, strict=False), 1):
        if there != here:
            pair = f"{words[there]!r} there, {words[here]!r} here"
            raise bad(
                "model", variant, f"{allowed} (same {len(words):,} tokens, but token {place} of the text is {pair})"
            )
