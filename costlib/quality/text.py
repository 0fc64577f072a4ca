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
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import invalid_input
from costlib.isolate import Outcome, Unsupported
from costlib.measure.campaign import Campaign, Row
from costlib.measure.estimate import ends
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.models.reference import on_disk, parse
from costlib.models.texts import Text, read_text
from costlib.output import scratch
from costlib.progress import Progress
from costlib.quality.windows import ROLLING, Rule
from costlib.stats.bootstrap import Estimate, block_bootstrap, paired_difference
from costlib.store import Store
from costlib.tables import QUALITY, RULES

if TYPE_CHECKING:
    import pandas as pd

KEY = ("model", "precision", "baseline_model", "baseline", "text", "rule", "window", "stride", "tokens")
"""Columns that make two rows results of the same question."""
_UTF8_KEY = "text_utf8_sha256"
_WEIGHTS_KEY = "weights_on_disk"
_MATERIAL = "material"
_MOST_TOKENS = 10**15
_Name = tuple[str, str]
"""A model and a precision of it."""


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
    time_budget_s: float = 3600.0,
    timeout_s: float = 3600.0,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Score the first `tokens` tokens of a text at each precision and compare each with `baseline`.

    The baseline is a precision of `baseline_model`, by default of the same model; another model (a quantized folder
    beside the one it was made from, a student beside its teacher) needs the same tokenizer. `text` is a UTF-8 file, a
    folder of them, or None for `pydoc_data.topics`. `rule`, with `window` and for `ppl_sliding` `stride`, says which
    tokens are scored from which context (`costlib.quality.windows`); results of unlike rules are unlike results.
    Returns one QUALITY row for the baseline and each precision, in that order, and writes the new ones to the store. A
    result that the store holds for the same text, files of weights and environment is not repeated unless
    it ended as an error, or `fresh`. `timeout_s` bounds each precision, `time_budget_s` what it does once it is loaded.

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
        time_budget_s: Seconds for a precision, once its model is loaded.
        timeout_s: Seconds for a precision, loading included.
        progress: Is told each step.
    """
    device = device or default_device()
    other = baseline_model or model
    asked = [(model, name) for name in ([precisions] if isinstance(precisions, str) else precisions)]
    names = list(dict.fromkeys((one, resolve(name, one, device).name) for one, name in [(other, baseline), *asked]))
    for _, name in names:
        with suppress(Unsupported):  # becomes a row
            check_device(known_precision(name), device)
    for field, reference in (("model", model), ("baseline_model", other)):
        if parse(reference).kind == "random":
            raise invalid_input(
                field, reference, "a model with trained weights (quality of random weights cannot be measured)"
            )
    laid = Rule.of(rule, window, stride)
    if isinstance(tokens, bool) or not isinstance(tokens, int) or not window <= tokens < _MOST_TOKENS:
        raise invalid_input("tokens", tokens, f"a whole number of tokens from {window}, one window, to below 1e15")
    question = {"rule": laid.name, "window": laid.window, "stride": laid.stride, "tokens": tokens}
    with scratch() as folder:
        probe = TextQuality(
            models=list(dict.fromkeys([other, model])), device=device, store=store, fresh=fresh, progress=progress,
            time_budget_s=time_budget_s, timeout_s=timeout_s, baseline=names[0], text=read_text(text),
            question=question, folder=folder,
        )  # fmt: skip
        rows = probe.run(names)
    return probe.answer(QUALITY.of([found[-1] for found in rows]))


@dataclass(kw_only=True)
class TextQuality(Campaign[_Name]):
    """Models at precisions on one text: the baseline runs first, and again where only its row is stored."""

    name, table, in_child, once = "quality", QUALITY, "costlib.quality.score:score", True
    text: Text
    question: Row
    folder: Path
    reference: Row | None = None
    """What the baseline's process said in this call."""

    def label(self, case: _Name) -> str:
        """Model and precision."""
        return f"quality of {case[0]} at {case[1]}"

    def columns(self, case: _Name) -> Row:
        """The question; a failed run keeps the tokens asked for, so that it answers the same one."""
        assert self.baseline is not None
        names = ("model", "precision", "baseline_model", "baseline")
        return dict(zip(names, (*case, *self.baseline), strict=True)) | self.question | {"text": self.text.name}

    def key(self, case: _Name) -> Row:
        """The question, and what its names stand for."""
        return self.columns(case) | {_MATERIAL: _material(self._material(case))}

    def arguments(self, case: _Name) -> Row:
        """The baseline hands over what others are compared with, and refuses models with other tokens."""
        waiting = [name for name in self.rows if name != case and not self.rows[name]] if case == self.baseline else []
        given: Row = {"model": case[0], "precision": case[1], "device": self.device, "text": self.text.content}
        given |= {"folder": str(self.folder), "hand_over": bool(waiting)}
        return given | self.question | {"variants": sorted({model for model, _ in waiting} - {case[0]})}

    def in_order(self, round_: list[_Name]) -> list[_Name]:
        """The baseline first."""
        assert self.baseline is not None
        return [self.baseline, *(case for case in self.rows if case in round_ and case != self.baseline)]

    def child(self, case: _Name, arguments: Row, budget_s: float, show: Progress) -> Outcome:
        """A variant is not scored where its baseline was not."""
        if case != self.baseline and self.reference is not None and self.reference["status"] != "ok":
            status, reason = self.reference["status"], self.reference["reason"]
            said = f"not scored, because its baseline {self.reference['precision']} ended as {status}: {reason}"
            return Outcome("error", None, said, 0.0)
        return super().child(case, arguments, budget_s, show)

    def stored_of(self, case: _Name) -> list[Row]:
        """One row, with the numbers where there are any."""
        row = dict(self.processes[case][-1])
        if case == self.baseline:
            self.reference = row
            if self.rows[case]:  # it ran to be compared with
                return []
        assert self.reference is not None
        row["environment"] = json.dumps(json.loads(row["environment"]) | self._material(case), sort_keys=True)
        row |= {"text_files": list(self.text.files) or None, "text_sha256": self.reference.get("text_sha256")}
        if row["status"] == "ok":
            nll = row["nll"]
            if row["kl"] is None:
                row |= {"kl": [0.0] * len(nll), "top1": [True] * len(nll)}
            compared = (self.reference["nll"], row["kl"], row["top1"], row["rule"])
            row |= statistics(nll, row["utf8_bytes"], *compared)
        return [row]

    def stored_rows(self) -> pd.DataFrame:
        """All rows, and what each was made from."""
        frame = _stored(self.kept)
        read = frame["environment"].map(lambda text: _material({_WEIGHTS_KEY: [None, None]} | json.loads(text)))
        return frame.assign(**{_MATERIAL: read})

    def _material(self, case: _Name) -> Row:
        """What a result was made from beyond its names: the text, and the files of the model and of its baseline."""
        assert self.baseline is not None
        return {_UTF8_KEY: self.text.sha256, _WEIGHTS_KEY: [on_disk(case[0]), on_disk(self.baseline[0])]}


def _material(known: Mapping[str, Any]) -> str:
    """What a result was made from, as one word."""
    return json.dumps([known.get(name) for name in (_UTF8_KEY, _WEIGHTS_KEY)])


def quality_results(store: Store | Path | str | None = None, *, rule: str = ROLLING) -> pd.DataFrame:
    """The newest stored row of each question under one window rule, oldest first; `KEY` says what makes a question.

    One rule at a time, because perplexities under unlike rules do not compare. Raises `InputError` for an unknown rule.
    """
    if rule not in RULES:
        raise invalid_input("rule", rule, RULES)
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
) -> dict[str, float | None]:
    """The numeric columns of one row, from values per scored token, with `utf8_bytes` of text scored.

    Perplexity, in the column of its rule, is exp(mean nll); its ratio to the baseline's is exp(mean paired difference);
    intervals come from the block bootstrap. A model compared with itself has exactly ratio 1, KL 0 and agreement 1.
    """
    own = block_bootstrap(nll)
    difference = paired_difference(baseline_nll, nll)
    divergence = block_bootstrap(kl)
    ordered = sorted(kl)
    return {
        **ends(rule, own.ratio),
        **ends("ppl_ratio", difference.ratio),
        "ppl_p_value": difference.p_value,
        **ends("kl_mean", _within(divergence, math.inf)),
        "kl_mean_se": divergence.standard_error,
        "kl_median": float(np.median(kl)),
        "kl_p99": ordered[math.ceil(0.99 * len(ordered)) - 1],
        "kl_max": ordered[-1],
        **ends("top1_agreement", _within(block_bootstrap(np.asarray(top1, dtype=float)), 1.0)),
        "bits_per_byte": sum(nll) / math.log(2) / utf8_bytes,
    }


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


def _within(estimate: Estimate, most: float) -> tuple[float, float, float]:
    """An interval cut to what the quantity can be, 0 to `most`."""
    return estimate.mean, max(0.0, estimate.low), min(most, estimate.high)
