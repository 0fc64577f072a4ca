"""From $/hour and tokens/s to $ per million tokens.

An hour of a device is one bill. Prompt tokens (prefill) and output tokens (decode) share it, and how they share it is a
convention, not a fact, so three are computed and named; each one conserves the bill:

- `phase_time` (default): prefill seconds are charged to input tokens, decode seconds to output tokens;
- `price_ratio`: an output token costs a given multiple of an input token, the way an API prices them;
- `output_carries_all`: output tokens carry the whole bill, input tokens are free.

A paid hour costs the same busy or idle, so utilization divides the tokens and never multiplies the bill.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Literal, get_args

from costlib.cost.inputs import money, share
from costlib.errors import invalid_input
from costlib.figure import Number

Convention = Literal["phase_time", "price_ratio", "output_carries_all"]
CONVENTIONS: tuple[str, ...] = get_args(Convention)

_MILLION = 1_000_000
_SHARE_DIGITS = 28  # Decimal's default precision, so that a caller's own sums stay exact
_RATE_DIGITS = 34  # finer than the shares: tokens * rate then rounds back to the share itself


@dataclass(frozen=True)
class TokenRates:
    """One bill split between input and output tokens; rates are $ per million tokens.

    `input_usd + output_usd` is the bill exactly, and so is `input_tokens * input rate + output_tokens * output rate` in
    Decimal arithmetic of the default 28 digits. A rate is None where there are no tokens to carry it.
    """

    convention: str
    input_usd_per_mtok: Decimal | None
    output_usd_per_mtok: Decimal | None
    blended_usd_per_mtok: Decimal
    input_usd: Decimal
    output_usd: Decimal
    input_tokens: Decimal
    output_tokens: Decimal


def usd_per_mtok(usd_per_hour: Number, tokens_per_s: Number) -> Decimal:
    """$ per million tokens = ($/hour) / (tokens/s * 3600 / 1e6).

    The whole hour is charged to the tokens counted: the results for total, output and input tokens/s of one server are
    three views of the same bill and never add up. Raises `InputError` unless both are above 0.
    """
    return money("usd_per_hour", usd_per_hour) * _MILLION / (money("tokens_per_s", tokens_per_s) * 3600)


def split(
    bill_usd: Number,
    input_tokens: Number,
    output_tokens: Number,
    convention: str = "phase_time",
    *,
    prefill_s: Number | None = None,
    decode_s: Number | None = None,
    output_to_input_price_ratio: Number | None = None,
) -> TokenRates:
    """Split a bill in $ between input and output tokens, conserving it exactly.

    `phase_time` needs `prefill_s` and `decode_s`, the seconds of each phase (any common scale: a request, a day);
    `price_ratio` needs `output_to_input_price_ratio`. Raises `InputError` for an unknown convention, a missing or bad
    number, no tokens at all, or a share of the bill that would fall on tokens that are not there.
    """
    bill = money("bill_usd", bill_usd, zero=True)
    tokens_in = money("input_tokens", input_tokens, zero=input_tokens == 0)
    tokens_out = money("output_tokens", output_tokens, zero=output_tokens == 0)
    if tokens_in + tokens_out == 0:
        raise invalid_input(
            "input_tokens + output_tokens", 0, "above 0, because a bill without tokens has no $ per token"
        )
    with localcontext() as context:
        context.prec = 80
        part, total = _input_part(convention, tokens_in, tokens_out, prefill_s, decode_s, output_to_input_price_ratio)
        for field, tokens, carried in (
            ("input_tokens", tokens_in, part),
            ("output_tokens", tokens_out, total - part),
        ):
            if not tokens and carried:
                raise invalid_input(field, 0, f"above 0, because {convention} gives these tokens a share of the bill")
        quantum = Decimal(1).scaleb(bill.adjusted() - _SHARE_DIGITS + 1)
        input_usd = bill if part == total else (bill * part / total).quantize(quantum)
        output_usd = bill - input_usd
    with localcontext() as context:
        context.prec = _RATE_DIGITS
        return TokenRates(
            convention=convention,
            input_usd_per_mtok=input_usd * _MILLION / tokens_in if tokens_in else None,
            output_usd_per_mtok=output_usd * _MILLION / tokens_out if tokens_out else None,
            blended_usd_per_mtok=bill * _MILLION / (tokens_in + tokens_out),
            input_usd=input_usd,
            output_usd=output_usd,
            input_tokens=tokens_in,
            output_tokens=tokens_out,
        )


def _input_part(
    convention: str,
    tokens_in: Decimal,
    tokens_out: Decimal,
    prefill_s: Number | None,
    decode_s: Number | None,
    price_ratio: Number | None,
) -> tuple[Decimal, Decimal]:
    """Weight of the input tokens and total weight; the bill is shared in this proportion."""
    if convention == "phase_time":
        if prefill_s is None or decode_s is None:
            missing = "prefill_s" if prefill_s is None else "decode_s"
            raise invalid_input(missing, None, "seconds of that phase, which phase_time splits by")
        prefill, decode = money("prefill_s", prefill_s, zero=True), money("decode_s", decode_s, zero=True)
        if prefill + decode == 0:
            raise invalid_input("prefill_s + decode_s", 0, "above 0 seconds")
        return prefill, prefill + decode
    if convention == "price_ratio":
        if price_ratio is None:
            raise invalid_input(
                "output_to_input_price_ratio", None, "an API's output price over its input price, above 0"
            )
        ratio = money("output_to_input_price_ratio", price_ratio)
        return tokens_in, tokens_in + ratio * tokens_out
    if convention == "output_carries_all":
        return Decimal(0), Decimal(1)
    raise invalid_input("convention", convention, CONVENTIONS)


def per_good_answer(usd_per_request: Number, success_rate: Number) -> Decimal:
    """$ per good answer = $ per request / share of requests answered well: failed attempts are paid for too.

    `success_rate` lies above 0 and up to 1; at 0 there is no good answer to charge, which is an `InputError`.
    """
    share("success_rate", success_rate, zero=False)
    return money("usd_per_request", usd_per_request, zero=True) / money("success_rate", success_rate)
