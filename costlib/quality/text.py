"""Text fidelity: what a model loses at a precision, against its own baseline precision on the same text.

Each precision is scored in a child process of its own (`costlib.quality.score`), the baseline first; every way a child
can end becomes one row of the QUALITY table, and the next precision goes on. What the store already holds is not
repeated. The statistics are paired by token, as `costlib.stats.bootstrap` explains.

Perplexity alone is a weak witness: a variant can change many predictions and keep its perplexity. So a row also holds
the KL divergence of whole distributions, the share of equal first choices, and every token's negative log-likelihood.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.devices import resolve
from costlib.environment import default_device, describe
from costlib.errors import bad
from costlib.isolate import Outcome, Unsupported, run_isolated
from costlib.models.corpus import Text, read_text
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import on_disk, parse
from costlib.output import scratch
from costlib.progress import Progress, Step, silent
from costlib.quality.windows import ROLLING, Rule
from costlib.stats.bootstrap import Estimate, block_bootstrap, paired_difference
from costlib.store import Store, new_id
from costlib.tables import QUALITY, RULES

if TYPE_CHECKING:
    import pandas as pd

KEY = ("model", "precision", "baseline_model", "baseline", "text", "rule", "window", "stride", "tokens")
"""Columns that make two rows results of the same question."""
_TARGET = "costlib.quality.score:score"
_UTF8_KEY = "text_utf8_sha256"
_WEIGHTS_KEY = "weights_on_disk"
_MOST_TOKENS = 10**15
_Name = tuple[str, str]
"""A model and a precision of it."""


@dataclass(frozen=True)
class _Question:
    """What is asked of every precision."""

    baseline_model: str
    baseline: str
    text: Text
    tokens: int
    rule: Rule
    device: str

    def columns(self) -> dict[str, Any]:
        """What tells a question from another in the QUALITY table; model and precision are asked of it."""
        return {
            "baseline_model": self.baseline_model,
            "baseline": self.baseline,
            "text": self.text.name,
            "rule": self.rule.name,
            "window": self.rule.window,
            "stride": self.rule.stride,
            "tokens": self.tokens,
        }


def measure_text(
    model: str,
    precisions: str | Iterable[str],
    *,
    baseline: str = "16-bit",
    baseline_model: str | None = None,
    text: str | Path | None = None,
    tokens: int = 4096,
    rule: str = ROLLING,
    window: int = 1024,
    stride: int | None = None,
    store: Store | Path | str | None = None,
    device: str | None = None,
    fresh: bool = False,
    progress: Progress | None = None,
    timeout_s: float = 3600.0,
) -> pd.DataFrame:
    """Score the first `tokens` tokens of a text at each precision and compare each with `baseline`.

    The baseline is a precision of `baseline_model`, by default of the same model; another model (a quantized folder
    beside the one it was made from, a student beside its teacher) needs the same tokenizer. `text` is a UTF-8 file, a
    folder of them, or None for `pydoc_data.topics`. `rule`, with `window` and for `ppl_sliding` `stride`, says which
    tokens are scored from which context (`costlib.quality.windows`); results of unlike rules are unlike results.
    Returns one QUALITY row for the baseline and each precision, in that order, and writes the new ones to the store. A
    result that the store holds for the same text, files of weights, device and package versions is not repeated unless
    it ended as an error, or `fresh`. `timeout_s` bounds each precision.

    Raises `InputError` for an unknown model, precision or rule, a `random:` model (quality of random weights means
    nothing), another tokenizer, a text that cannot be read or is shorter than one window or than `tokens`, or a store
    that cannot be written. A run that fails is a row.

    Args:
        model: A model reference.
        precisions: 16-bit, 8-bit, 4-bit, bf16, int8, ...
        baseline: Precision compared with.
        baseline_model: Model compared with [default: the same].
        text: File or folder [default: pydoc_data.topics].
        tokens: Tokens of the text that are scored.
        rule: ppl_rolling, ppl_sliding or ppl_llamacpp.
        window: Tokens per window.
        stride: Tokens between windows of ppl_sliding [default: half].
        store: Folder of measurements [default: data/store].
        device: cpu or cuda[:n] [default: the GPU when there is one].
        fresh: Measure again what is in the store.
        progress: Is told each step.
        timeout_s: Seconds for a precision.
    """
    device = device or default_device()
    other = baseline_model or model
    asked = [
        (model, resolve(name, model, device).name)
        for name in ([precisions] if isinstance(precisions, str) else precisions)
    ]
    baseline = resolve(baseline, other, device).name
    names = list(dict.fromkeys([(other, baseline), *asked]))
    for _, name in names:
        with suppress(Unsupported):  # becomes a row
            check_device(known_precision(name), device)
    for field, reference in (("model", model), ("baseline_model", other)):
        if parse(reference).kind == "random":
            raise bad(field, reference, "a model with trained weights (quality of random weights cannot be measured)")
    laid = Rule.of(rule, window, stride)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not window <= tokens < _MOST_TOKENS:
        raise bad("tokens", tokens, f"a whole number of tokens from {window}, one window, to below 1e15")
    if not 0 < timeout_s < math.inf:
        raise bad("timeout_s", timeout_s, "a number of seconds above 0")
    question = _Question(other, baseline, read_text(text), tokens, laid, device)
    place = store if isinstance(store, Store) else Store(store)
    place.check_writable()
    rows = {} if fresh else _found(question, place)
    missing = [name for name in names if name not in rows]
    for done, row in _measured(question, missing, progress or silent, timeout_s):
        place.write(QUALITY, QUALITY.of([row]), row["run_id"])
        rows[done] = row
    return QUALITY.of([rows[name] for name in names])


def quality_results(store: Store | Path | str | None = None, *, rule: str = ROLLING) -> pd.DataFrame:
    """The newest stored row of each question under one window rule, oldest first; `KEY` says what makes a question.

    One rule at a time, because perplexities under unlike rules do not compare. Raises `InputError` for an unknown rule.
    """
    if rule not in RULES:
        raise bad("rule", rule, RULES)
    found = _stored(store if isinstance(store, Store) else Store(store))
    found = found[found["rule"] == rule]
    return found.drop_duplicates(list(KEY), keep="last").reset_index(drop=True)


def statistics(
    nll: list[float],
    utf8_bytes: int,
    baseline_nll: list[float],
    kl: list[float],
    top1: list[bool],
    rule: str = ROLLING,
) -> dict[str, float]:
    """The numeric columns of one row, from values per scored token, with `utf8_bytes` of text scored.

    Perplexity, in the column of its rule, is exp(mean nll); its ratio to the baseline's is exp(mean paired difference);
    intervals come from the block bootstrap. A model compared with itself has exactly ratio 1, KL 0 and agreement 1.
    """
    own = block_bootstrap(nll)
    difference = paired_difference(baseline_nll, nll)
    divergence = block_bootstrap(kl)
    ordered = sorted(kl)
    return {
        **_columns(rule, own.ratio),
        **_columns("ppl_ratio", difference.ratio),
        "ppl_p_value": difference.p_value,
        **_columns("kl_mean", _within(divergence, math.inf)),
        "kl_mean_se": divergence.standard_error,
        "kl_median": float(np.median(kl)),
        "kl_p99": ordered[math.ceil(0.99 * len(ordered)) - 1],
        "kl_max": ordered[-1],
        **_columns("top1_agreement", _within(block_bootstrap(np.asarray(top1, dtype=float)), 1.0)),
        "bits_per_byte": sum(nll) / math.log(2) / utf8_bytes,
    }


def _measured(
    question: _Question, missing: list[_Name], progress: Progress, timeout_s: float
) -> Iterator[tuple[_Name, dict[str, Any]]]:
    """A row for each missing model and precision. The baseline runs first, and again when only its row is stored."""
    if not missing:
        return
    base = (question.baseline_model, question.baseline)
    variants = [name for name in missing if name != base]
    others = sorted({model for model, _ in variants} - {question.baseline_model})
    with scratch() as folder:
        todo = 1 + len(variants)

        def run(name: _Name, done: int) -> tuple[str, Outcome]:
            def show(text: str) -> None:
                line = f"quality of {name[0]} at {name[1]}: {text}"
                progress(Step(line, stage="quality", done=done, total=todo))

            show("starting")
            arguments: dict[str, Any] = {"model": name[0], "precision": name[1], "device": question.device}
            arguments |= {key: question.columns()[key] for key in ("rule", "window", "stride", "tokens")}
            arguments |= {"text": question.text.content, "folder": str(folder)}
            arguments |= {"hand_over": bool(variants), "variants": others} if name == base else {"hand_over": False}
            started = datetime.now(UTC).isoformat(timespec="milliseconds")
            return started, run_isolated(_TARGET, arguments, timeout_s=timeout_s, on_progress=show)

        started, reference = run(base, 0)
        if base in missing:
            yield base, _row(question, base, started, reference, reference)
        for done, name in enumerate(variants, 1):
            if reference.value is None:
                reason = f"not scored, because its baseline {question.baseline} ended as {reference.status}"
                outcome = Outcome("error", None, f"{reason}: {reference.reason}", 0.0)
            else:
                started, outcome = run(name, done)
            yield name, _row(question, name, started, outcome, reference)
        progress(Step("quality scored", stage="quality", done=todo, total=todo))


def _row(question: _Question, name: _Name, started: str, outcome: Outcome, reference: Outcome) -> dict[str, Any]:
    """One QUALITY row; a failed run keeps the tokens asked for, so that it answers the same question."""
    found = outcome.value or {}
    environment, fingerprint = (found["environment"], found["fingerprint"]) if found else describe(question.device)
    row = {
        "run_id": new_id(),
        "started_at": started,
        "model": name[0],
        "precision": name[1],
        **question.columns(),
        "device": environment["device"],
        "text_files": list(question.text.files) or None,
        "text_sha256": (found or reference.value or {}).get("text_sha256"),
        "status": outcome.status,
        "reason": outcome.reason,
        "kind": "measured",
        "fingerprint": fingerprint,
        "environment": json.dumps({**environment, **_material(question, name[0])}, sort_keys=True),
    }
    if found and reference.value is not None:
        nll = found["nll"]
        kl, top1 = (found["kl"], found["top1"]) if found["kl"] is not None else ([0.0] * len(nll), [True] * len(nll))
        row |= {
            "nll": nll,
            "kl": kl,
            "top1": top1,
            **{name: found.get(name) for name in ("weights_note", "compute_dtype")},
        }
        row |= statistics(nll, found["utf8_bytes"], reference.value["nll"], kl, top1, question.rule.name)
    return row


def _stored(store: Store) -> pd.DataFrame:
    """All rows of the store, oldest first.

    Rows of before there was a choice of rule and of baseline model are rolling ones against the same model.
    """
    frame = store.read(QUALITY).frame.sort_values("started_at", kind="stable")
    return frame.assign(
        rule=frame["rule"].fillna(ROLLING),
        stride=frame["stride"].fillna(frame["window"]),
        baseline_model=frame["baseline_model"].fillna(frame["model"]),
    )


def _found(question: _Question, store: Store) -> dict[_Name, dict[str, Any]]:
    """Stored results by model and precision, the newest of each: same content, device and package versions.

    A crash or a timeout may pass and is tried again; what does not fit or is not supported stays so.
    """
    environment, _ = describe(question.device)
    frame = _stored(store)
    frame = frame[(frame["status"] != "error") & (frame["device"] == environment["device"])]
    for name, value in question.columns().items():
        frame = frame[frame[name] == value]
    found: dict[_Name, dict[str, Any]] = {}
    for row in frame.to_dict("records"):
        stored = {_WEIGHTS_KEY: [None, None], **json.loads(str(row["environment"]))}
        wanted = {"packages": environment["packages"], **_material(question, str(row["model"]))}
        wanted["native_16_bit"] = environment.get("native_16_bit")
        if all(stored.get(key) == value for key, value in wanted.items()):
            found[str(row["model"]), str(row["precision"])] = {str(key): value for key, value in row.items()}
    return found


def _material(question: _Question, model: str) -> dict[str, Any]:
    """What a result was made from beyond its names: the text, and the files of the model and of its baseline."""
    return {_UTF8_KEY: question.text.sha256, _WEIGHTS_KEY: [on_disk(model), on_disk(question.baseline_model)]}


def _columns(name: str, interval: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval, strict=True))


def _within(estimate: Estimate, most: float) -> tuple[float, float, float]:
    """An interval cut to what the quantity can be, 0 to `most`."""
    return estimate.mean, max(0.0, estimate.low), min(most, estimate.high)
