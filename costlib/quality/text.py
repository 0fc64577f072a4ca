"""Text fidelity: what a model loses at a precision, against its own baseline precision on the same text.

Each precision is scored in a child process of its own (`costlib.quality.score` holds the window rule), the baseline
first; every way a child can end becomes one row of the QUALITY table, and the next precision goes on. What the store
already holds is not repeated. The statistics are paired by token, as `costlib.quality.compare` explains.

Perplexity alone is a weak witness: a variant can change many predictions and keep its perplexity. So a row also holds
the KL divergence of whole distributions, the share of equal first choices, and every token's negative log-likelihood.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlib.environment import default_device, describe
from costlib.errors import bad
from costlib.isolate import Outcome, Unsupported, run_isolated
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import parse
from costlib.progress import Progress, Step, silent
from costlib.quality.compare import Estimate, block_bootstrap, paired_difference
from costlib.store import Store, new_id
from costlib.tables import QUALITY

if TYPE_CHECKING:
    import pandas as pd

DEFAULT_TEXT = "pydoc_data.topics"
"""English prose that every Python ships; it differs a little between Python versions, so its hash is stored."""
KEY = ("model", "precision", "baseline", "text", "window", "tokens")
"""Columns that make two rows results of the same question."""
_TARGET = "costlib.quality.score:score"
_UTF8_KEY = "text_utf8_sha256"
_MOST_TOKENS = 10**15


@dataclass(frozen=True)
class _Question:
    """What is asked of every precision."""

    model: str
    baseline: str
    text: str
    content: str
    tokens: int
    window: int
    device: str

    @property
    def utf8_sha256(self) -> str:
        return hashlib.sha256(self.content.encode()).hexdigest()


def measure_text(
    model: str,
    precisions: str | Iterable[str],
    *,
    baseline: str = "bf16",
    text: str | Path | None = None,
    tokens: int = 4096,
    window: int = 1024,
    store: Store | Path | str | None = None,
    device: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    timeout_s: float = 3600.0,
) -> pd.DataFrame:
    """Score the first `tokens` tokens of a text at each precision and compare each with `baseline`.

    `text` is a UTF-8 file, or None for `pydoc_data.topics`. Windows of `window` tokens are disjoint and every token is
    scored once (`ppl_rolling`; `costlib.quality.score` says what the first token of a window is conditioned on).
    Returns one QUALITY row for the baseline and each precision, in that order, and writes the new ones to the store. A
    result that the store holds for the same text, device and package versions is not repeated unless it ended as an
    error, or `fresh`. `timeout_s` bounds each precision.

    Raises `InputError` for an unknown model or precision, a `random:` model (quality of random weights means nothing),
    a text shorter than one window or than `tokens`, or a store that cannot be written. A run that fails is a row.
    """
    device = device or default_device()
    names = list(dict.fromkeys([baseline, *([precisions] if isinstance(precisions, str) else precisions)]))
    for name in names:
        with suppress(Unsupported):  # becomes a row
            check_device(known_precision(name), device)
    if parse(model).kind == "random":
        raise bad("model", model, "a model with trained weights (quality of random weights cannot be measured)")
    _whole("window", window, 2)
    _whole("tokens", tokens, window)
    label, content = read_text(text)
    question = _Question(model, baseline, label, content, tokens, window, device)
    place = store if isinstance(store, Store) else Store(store)
    place.check_writable()
    rows = {} if fresh else _found(question, place)
    missing = [name for name in names if name not in rows]
    for name, row in _measured(question, missing, progress or silent, timeout_s):
        place.write(QUALITY, _frame([row]), row["run_id"])
        rows[name] = row
    return QUALITY.validate(_frame([rows[name] for name in names]))


def quality_results(store: Store | Path | str | None = None) -> pd.DataFrame:
    """The newest stored row of each model, precision, baseline, text, window and tokens, oldest first."""
    found = (store if isinstance(store, Store) else Store(store)).read(QUALITY).frame
    ordered = found.sort_values("started_at", kind="stable")
    return ordered.drop_duplicates(list(KEY), keep="last").reset_index(drop=True)


def read_text(text: str | Path | None) -> tuple[str, str]:
    """Name and content of a text; raises `InputError` for a file that is missing, empty or not UTF-8."""
    if text is None or str(text) == DEFAULT_TEXT:
        from pydoc_data.topics import topics

        return DEFAULT_TEXT, "\n\n".join(topics[name] for name in sorted(topics))
    try:
        content = Path(text).read_bytes().decode("utf-8")
    except OSError as error:
        raise bad("text", str(text), f"{DEFAULT_TEXT} or a file that can be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise bad("text", str(text), f"a UTF-8 file (byte {error.start} is not)") from error
    if not content.strip():
        raise bad("text", str(text), "a file that holds prose (this one is empty)")
    return str(text), content


def statistics(
    nll: list[float], utf8_bytes: int, baseline_nll: list[float], kl: list[float] | None, top1: list[float] | None
) -> dict[str, float]:
    """The numeric columns of one row, from per-token values; without `kl` and `top1` it is the baseline itself.

    Perplexity is exp(mean nll); its ratio to the baseline's is exp(mean paired difference); intervals come from the
    block bootstrap. A model compared with itself has exactly ratio 1, KL 0 and agreement 1.
    """
    own = block_bootstrap(nll)
    difference = paired_difference(baseline_nll, nll)
    divergence = kl if kl is not None else [0.0] * len(nll)
    agreement = top1 if top1 is not None else [1.0] * len(nll)
    ordered = sorted(divergence)
    return {
        **_columns("ppl_rolling", own.ratio),
        **_columns("ppl_ratio", difference.ratio),
        "ppl_p_value": difference.p_value,
        **_columns("kl_mean", _within(block_bootstrap(divergence), math.inf)),
        "kl_p99": ordered[math.ceil(0.99 * len(ordered)) - 1],
        "kl_max": ordered[-1],
        **_columns("top1_agreement", _within(block_bootstrap(agreement), 1.0)),
        "bits_per_byte": sum(nll) / math.log(2) / utf8_bytes,
    }


def _measured(
    question: _Question, missing: list[str], progress: Progress, timeout_s: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """A row for each missing precision. The baseline runs first, and again when only its row is stored."""
    if not missing:
        return
    variants = [name for name in missing if name != question.baseline]
    with tempfile.TemporaryDirectory(prefix="costlib-quality-") as folder:
        todo = 1 + len(variants)

        def run(precision: str, done: int) -> Outcome:
            def show(text: str) -> None:
                line = f"quality of {question.model} at {precision}: {text}"
                progress(Step(line, stage="quality", done=done, total=todo))

            show("starting")
            arguments = {name: getattr(question, name) for name in ("model", "device", "tokens", "window")}
            arguments |= {"precision": precision, "text": question.content, "folder": folder}
            hand_over = precision == question.baseline and bool(variants)
            return run_isolated(_TARGET, {**arguments, "hand_over": hand_over}, timeout_s=timeout_s, on_progress=show)

        started = _now()
        reference = run(question.baseline, 0)
        if question.baseline in missing:
            yield question.baseline, _row(question, question.baseline, started, reference, reference)
        for done, name in enumerate(variants, 1):
            started = _now()
            if reference.value is None:
                reason = f"not scored, because its baseline {question.baseline} ended as {reference.status}"
                outcome = Outcome("error", None, f"{reason}: {reference.reason}", 0.0)
            else:
                outcome = run(name, done)
            yield name, _row(question, name, started, outcome, reference)
        progress(Step("quality scored", stage="quality", done=todo, total=todo))


def _row(question: _Question, precision: str, started: str, outcome: Outcome, reference: Outcome) -> dict[str, Any]:
    """One QUALITY row; a failed run keeps the tokens asked for, so that it answers the same question."""
    found = outcome.value or {}
    environment, fingerprint = (found["environment"], found["fingerprint"]) if found else describe(question.device)
    row = {
        "run_id": new_id(),
        "started_at": started,
        "model": question.model,
        "precision": precision,
        "baseline": question.baseline,
        "device": environment["device"],
        "text": question.text,
        "text_sha256": (found or reference.value or {}).get("text_sha256"),
        "window": question.window,
        "tokens": question.tokens,
        "status": outcome.status,
        "reason": outcome.reason,
        "kind": "measured",
        "fingerprint": fingerprint,
        "environment": json.dumps({**environment, _UTF8_KEY: question.utf8_sha256}, sort_keys=True),
    }
    if found and reference.value is not None:
        row |= {"nll": found["nll"], "weights_note": found["weights_note"]}
        row |= statistics(found["nll"], found["utf8_bytes"], reference.value["nll"], found["kl"], found["top1"])
    return row


def _found(question: _Question, store: Store) -> dict[str, dict[str, Any]]:
    """Stored results by precision, the newest of each: same question and content, device and package versions.

    A crash or a timeout may pass and is tried again; what does not fit or is not supported stays so.
    """
    environment, _ = describe(question.device)
    frame = store.read(QUALITY).frame.sort_values("started_at", kind="stable")
    frame = frame[(frame["status"] != "error") & (frame["device"] == environment["device"])]
    for name in set(KEY) - {"precision"}:
        frame = frame[frame[name] == getattr(question, name)]
    found: dict[str, dict[str, Any]] = {}
    for row in frame.to_dict("records"):
        stored = json.loads(str(row["environment"]))
        if (stored.get(_UTF8_KEY), stored.get("packages")) == (question.utf8_sha256, environment["packages"]):
            found[str(row["precision"])] = {str(key): value for key, value in row.items()}
    return found


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({name: pd.Series([row.get(name) for row in rows], dtype=object) for name in QUALITY.names})


def _columns(name: str, interval: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval, strict=True))


def _within(estimate: Estimate, most: float) -> tuple[float, float, float]:
    """An interval cut to what the quantity can be, 0 to `most`."""
    return estimate.mean, max(0.0, estimate.low), min(most, estimate.high)


def _whole(name: str, value: int, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < _MOST_TOKENS:
        reason = ", one window," if name == "tokens" else ""
        raise bad(name, value, f"a whole number of tokens from {least}{reason} to below 1e15")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
