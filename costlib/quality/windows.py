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

from dataclasses import dataclass

from costlib.errors import bad
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
            raise bad("rule", name, RULES)
        if isinstance(window, bool) or not isinstance(window, int) or not _LEAST[name] <= window < 10**15:
            raise bad("window", window, f"a whole number of tokens from {_LEAST[name]} to below 1e15")
        sliding = name == "ppl_sliding"
        given = (window // 2 if sliding else window) if stride is None else stride
        if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= window:
            raise bad("stride", given, f"a whole number of tokens from 1 to the window, {window}")
        if given != window and not sliding:
            raise bad("stride", given, f"the window, {window}, or none: {name} has disjoint windows")
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
