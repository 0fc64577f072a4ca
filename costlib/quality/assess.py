"""How good a model is: by text and by tasks, here or behind an endpoint, with the gate of each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from costlib.errors import invalid_input, unused
from costlib.models.load import is_encoder
from costlib.models.reference import parse
from costlib.quality.gate import check_limit, gate
from costlib.quality.tasks.endpoint import Endpoint, TokenPrice, amount
from costlib.quality.tasks.evaluate import evaluate, list_price
from costlib.quality.tasks.items import Task, read_task
from costlib.quality.text import measure_text
from costlib.stats.paired import minimum_detectable_accuracy
from costlib.value import brief

if TYPE_CHECKING:
    import pandas as pd

    from costlib.progress import Progress

_OF_TEXT = ("baseline_model", "tokens", "rule", "window", "stride", "max_perplexity_ratio")
_OF_TASKS = ("kind", "prompt", "shots", "max_tokens", "limit", "chat", "margin", "against", "dry_run")
_OF_ENDPOINTS = ("api_key_env", "concurrency", "requests_per_minute", "attempts", "provider", "usd_per_mtok", "as_of",
                 "max_usd", "extra", "completions", "allow_remote_http")  # fmt: skip
_OF_MODELS_HERE = ("precision", "baseline", "device", "fresh", "chat", "time_budget_s")
"""Options that have a meaning for one part of the work only."""
_MOST_REQUEST_S = 600.0


@brief
@dataclass(frozen=True)
class Quality:
    """What a model answered: `rows` by text, each with its `gate`, and `tasks`; or with `dry_run` a `forecast`.

    A forecast has a row for each task: the smallest loss its items could show, and what they could cost at most.
    """

    rows: pd.DataFrame | None = None
    tasks: pd.DataFrame | None = None
    forecast: list[dict[str, Any]] | None = None

    @property
    def ok(self) -> bool:
        """Whether every part has a row that is ok."""
        parts = [part for part in (self.rows, self.tasks) if part is not None]
        return all("status" not in part or (part["status"] == "ok").any() for part in parts)

    def document(self) -> dict[str, Any]:
        """The fields of `--json`: without the values of every token."""
        if self.forecast is not None:
            return {"tasks": self.forecast, "kind": "derived"}
        rows: Any = [] if self.rows is None else self.rows.drop(columns=["nll", "kl", "top1"])
        return {"rows": rows, "kind": "measured", "tasks": [] if self.tasks is None else self.tasks}


def quality(
    model: str,
    *,
    precision: str | Iterable[str] = "16-bit",
    baseline: str | None = None,
    baseline_model: str | None = None,
    text: str | None = None,
    tokens: int = 4096,
    rule: str = "ppl_rolling",
    window: int = 1024,
    stride: int | None = None,
    max_perplexity_ratio: float = 1.05,
    tasks: Sequence[str] = (),
    kind: str | None = None,
    prompt: str | None = None,
    shots: int = 0,
    max_tokens: int | None = None,
    limit: int | None = None,
    chat: bool = False,
    margin: float = 0.01,
    against: str | None = None,
    endpoint: str | None = None,
    api_key_env: str | None = None,
    concurrency: int = 4,
    requests_per_minute: float | None = None,
    attempts: int = 4,
    provider: str | None = None,
    usd_per_mtok: str | None = None,
    as_of: str | None = None,
    max_usd: str | None = None,
    extra: Mapping[str, Any] | None = None,
    completions: bool = False,
    allow_remote_http: bool = False,
    device: str | None = None,
    time_budget_s: float = 3600.0,
    timeout_s: float = 3600.0,
    fresh: bool = False,
    dry_run: bool = False,
    store: str | None = None,
    progress: Progress | None = None,
) -> Quality:
    """Score a model: perplexity and KL on a text, and tasks, each precision against its baseline on the same material.

    Args:
        model: A model reference; with --endpoint its name there.
        precision: Comma-separated: 16-bit, 8-bit, 4-bit, bf16, int8, ...
        baseline: Compared with [default: the first precision].
        baseline_model: Model text is compared with [default: MODEL].
        text: File or folder for perplexity [default: pydoc_data.topics, without a task].
        tokens: Tokens of the text that are scored.
        rule: ppl_rolling, ppl_sliding or ppl_llamacpp.
        window: Tokens per window.
        stride: Tokens between windows of ppl_sliding [default: half].
        max_perplexity_ratio: Gate on text: perplexity over the baseline's.
        tasks: JSONL, CSV or Parquet of labelled items; again for each.
        kind: Kind of tasks whose file does not say it.
        prompt: Prompt with {input}, and {choices} or {fields}.
        shots: Examples of the train split in the prompt.
        max_tokens: Longest answer [default: 64, extraction 256].
        limit: First items of each task that are scored [default: all].
        chat: Use the model's chat template.
        margin: Gate on tasks: largest loss against the baseline, a share.
        against: 'MODEL PRECISION' answered before, as the baseline of tasks.
        endpoint: Base URL of an OpenAI-compatible API, ending in /v1.
        api_key_env: Environment variable that holds the key.
        concurrency: Requests at once.
        requests_per_minute: Requests started a minute, at most.
        attempts: Tries of a request, at most.
        provider: API provider, e.g. anthropic, whose list price counts.
        usd_per_mtok: INPUT,OUTPUT price instead of --provider.
        as_of: Date of the prices, YYYY-MM-DD, or UTC moment [default: the snapshot].
        max_usd: What new answers may cost at most.
        extra: JSON object merged into requests; null takes a field out.
        completions: Ask /completions: for a model without a chat template.
        allow_remote_http: Reach another machine by http: text and key go in the clear.
        device: cpu or cuda[:n] [default: the GPU when there is one].
        time_budget_s: Seconds for a precision on a text or task, once its model is loaded.
        timeout_s: Seconds for the same with loading, or for a request.
        fresh: Ask again what is in the store.
        dry_run: Only what tasks could show and cost at most.
        store: Folder of measurements [default: data/store].
    """
    asked = dict(locals())
    for why, no, names_of in (
        ("without a task", not tasks, _OF_TASKS),
        ("with tasks and no text", bool(tasks) and text is None, _OF_TEXT),
        ("without an endpoint", endpoint is None, _OF_ENDPOINTS),
        ("beside an endpoint", endpoint is not None, _OF_MODELS_HERE),
        ("beside against, unless a text is scored, too", against is not None and text is None, ["baseline"]),
        ("beside usd_per_mtok", usd_per_mtok is not None, ["provider", "as_of"]),
        ("without a provider, whose list has days", provider is None, ["as_of"]),
    ):
        if no:
            unused(why, quality, asked, names_of)
    settings: dict[str, Any] = {"kind": kind, "prompt": prompt, "shots": shots, "max_tokens": max_tokens}
    settings |= {"limit": limit, "chat": chat, "margin": margin}
    read = [read_task(file, **settings) for file in tasks]
    if endpoint is None and read and is_encoder(parse(model)):
        learns = ("prompt", "shots", "chat", "max_tokens")
        unused("for an embedding model, which learns from the train split", quality, asked, learns)
    if endpoint is None and read and {one.kind for one in read} <= {"classification", "retrieval"}:
        unused("where every answer is one of the choices", quality, asked, ["max_tokens"])
    who: str | Endpoint = model
    if endpoint is not None:
        if timeout_s > _MOST_REQUEST_S:
            unused(f"above {_MOST_REQUEST_S:g} for a request", quality, asked, ["timeout_s"])
        if text is not None or not read:
            raise invalid_input(
                "text" if text else "task", text or "none", "tasks only: an endpoint tells no likelihoods"
            )
        who = Endpoint(
            endpoint, model, api_key_env, extra or {}, not completions, allow_remote_http, concurrency=concurrency,
            requests_per_minute=requests_per_minute, timeout_s=min(timeout_s, _MOST_REQUEST_S), attempts=attempts,
            price=_price(model, provider, usd_per_mtok, as_of),
        )  # fmt: skip
    check_limit(max_perplexity_ratio)
    cap = None if max_usd is None else amount("max_usd", max_usd)
    if dry_run:
        return Quality(forecast=[_forecast(who, task) for task in read])
    precisions = [precision] if isinstance(precision, str) else list(precision)
    if not precisions:
        raise invalid_input("precision", precisions, "at least one precision")
    base = baseline or precisions[0]
    shared: dict[str, Any] = {"baseline": base, "store": store, "progress": progress}
    local: dict[str, Any] = {"device": device, "fresh": fresh, "time_budget_s": time_budget_s, "timeout_s": timeout_s}
    local = local if endpoint is None else {}
    rows = scores = None
    if endpoint is None and (text is not None or not read):
        how: dict[str, Any] = {"text": text, "tokens": tokens, "rule": rule, "window": window, "stride": stride}
        rows = measure_text(model, precisions, baseline_model=baseline_model, **how, **shared, **local)
        rows = rows.assign(gate=[_gate(row, max_perplexity_ratio) for row in rows.to_dict("records")])
    if read:
        name, _, at = (against or "").strip().partition(" ")
        before = (name, at or None) if against is not None else None
        scores = evaluate(who, read, precisions, against=before, max_usd=cap, **shared, **local)
    return Quality(rows, scores)


def _gate(row: dict[Any, Any], most: float) -> str:
    verdict = gate(row, most, rule=row["rule"])
    if (row["model"], row["precision"]) == (row["baseline_model"], row["baseline"]) and verdict.answer == "passed":
        return "baseline"
    return f"{verdict.answer}: {verdict.reason}"


def _forecast(who: str | Endpoint, task: Task) -> dict[str, Any]:
    """What a task could tell apart, and what an endpoint could charge at most."""
    count = len(task.items)
    least = {f"detectable_at_{f:g}_flips": minimum_detectable_accuracy(f, count) for f in (0.02, 0.05, 0.1, 0.2)}
    most = who.worst_task_usd(task) if isinstance(who, Endpoint) and who.price else None
    return {"task": task.name, "kind": task.kind, "items": count, **least, "most_usd": most}


def _price(model: str, provider: str | None, given: str | None, as_of: str | None) -> TokenPrice | None:
    if given is None:
        return None if provider is None else list_price(model, provider, as_of)
    parts = given.split(",")
    if len(parts) != 2:
        raise invalid_input("usd_per_mtok", given, "two prices, INPUT,OUTPUT")
    return TokenPrice(*(amount("usd_per_mtok", part) for part in parts))
