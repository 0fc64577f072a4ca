"""Model calls of log files of any known export, as Arrow tables of canonical columns; what is left out is counted.

Columns: time (seconds since 1970, UTC), has_zone, day_only, model, provider, tier, workload, id, host (where it was
called), requests (1; more or unknown where a row `adds_up` many), period_s (the time such a row covers, where it says
so), the counts of `tokens.TOKENS`, cost_usd, prompt, file and line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from costlib.errors import InputError, invalid_input
from costlib.read.columns import Mask, matches, moments, numbers, texts
from costlib.read.logs import Block, blocks, known_log
from costlib.read.tokens import ANTHROPIC, TOKENS, Sums, role_of

MOST_TOKENS = 10**9
"""A request of a billion tokens is a broken record."""
_MOST_ADDED = 10**15

FIELDS: dict[str, tuple[str, ...]] = {
    "time": (
        "timestamp", "time", "date", "startTime", "start_time", "start_time_iso", "starting_at", "created_at",
        "createdAt", "request_created_at", "created", "startTimeUnixNano", "usage_date_utc", "bucket_start",
    ),
    "end_time": ("ending_at", "end_time", "bucket_end", "endTime"),
    "model": (
        "model", "gen_ai.response.model", "gen_ai.request.model", "response.model", "body.model", "message.model",
        "request_model", "model_name", "model_version", "llm.model_name", "modelId", "providedModelName",
    ),
    "provider": (
        "provider", "custom_llm_provider", "gen_ai.provider.name", "gen_ai.system", "metadata.ls_provider",
        "llm.provider",
    ),
    "tier": (
        "tier", "service_tier", "usage.service_tier", "gen_ai.openai.response.service_tier",
        "message.usage.service_tier", "openai.response.service_tier", "response.service_tier",
    ),
    "workload": (
        "workload", "metadata.workload", "name", "request_tags", "metadata.tags", "tags", "gen_ai.operation.name",
        "end_user", "project_id", "workspace", "workspace_id",
    ),
    "id": ("message.id", "request_id", "requestId", "id", "gen_ai.response.id", "spanId"),
    "host": ("api_base", "base_url", "server.address", "target_url", "url.full"),
    "cost_usd": (
        "cost_usd", "spend", "calculatedTotalCost", "costDetails.total", "response_cost", "cost", "usage.cost",
        "totalCost",
    ),
    "prompt": ("prompt", "messages", "input", "gen_ai.prompt", "body.messages"),
    "requests": ("requests", "num_model_requests", "api_requests", "num_requests", "request_count"),
    "status": ("status", "level", "status_code", "response_status", "http.response.status_code"),
}  # fmt: skip
"""Where each field stands in the known exports, first found wins; a dot goes into a nested object."""

_BUCKETS = {"num_model_requests", "api_requests", "starting_at", "usage_date_utc", "num_requests", "request_count"}
"""Fields that only rows have which add up many requests."""
_ALIASES = {"timestamp": "time", "date": "time", "request_id": "id"}
_FAILED = r"(?i)error|failure|failed|[4-9]\d\d+"
_STANDARD = "(?i)default|auto|standard"
_CALLS = "(?i)(generation|embedding|)"


@dataclass
class Tally:
    """What happened to the records: `read` = used + the sum of `rejected`; `noted` are used all the same.

    `places` says where the first of each kind stands. `unused` adds up the counts of token fields nobody knows, by
    path. `strict` raises what is wrong with a record as an `InputError` instead of counting it.
    """

    strict: bool = False
    read: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    places: dict[str, str] = field(default_factory=dict)
    unused: Counter[str] = field(default_factory=Counter)
    dialects: Counter[str] = field(default_factory=Counter)
    broken: dict[str, str] = field(default_factory=dict)

    def reject(self, kind: str, place: str, blame: tuple[str, object, str] | None = None, count: int = 1) -> None:
        """Count records under a kind of reason; `blame` is the field, value and what is allowed instead."""
        if self.strict and blame is not None:
            raise invalid_input(*blame, place)
        self.rejected[kind] += count
        self.places.setdefault(kind, place)

    def note(self, kind: str, place: str, count: int = 1) -> None:
        """Count records that are used all the same."""
        self.noted[kind] += count
        self.places.setdefault(kind, place)


def notes_of(tally: Tally) -> tuple[str, ...]:
    """What a reader of the bill must know about the records: those left out, and those used with a doubt."""
    said = [f"{count:,} records left out: {kind}" for kind, count in tally.rejected.items() if count]
    said += [f"{count:,} x {kind}" for kind, count in noted(tally).items() if kind not in _ORDINARY]
    return tuple(said)


def noted(tally: Tally) -> dict[str, int]:
    """Records with a doubt by kind; counts that were not used are named with their sum."""
    found = {kind: count for kind, count in tally.noted.items() if count}
    if not found.get(_NO_ZONE):
        found.pop(_ZONE, None)
    for path, count in tally.unused.items():
        kind = f"{path} {NOT_USED}"
        found[f"{kind} ({count:,} in all)"] = found.pop(kind)
        tally.places[f"{kind} ({count:,} in all)"] = tally.places.pop(kind)
    return found


def without_repeats(table: pa.Table, tally: Tally) -> pa.Table:
    """The records of a table that fits into memory, of each id the largest: streams are logged as snapshots."""
    ids = table["id"].to_pandas()
    if not (again := ids.notna() & ids.duplicated(keep=False)).any():
        return table
    frame = table.select(["input_tokens", "output_tokens", "cached_tokens"]).to_pandas()[again]
    frame = frame.assign(id=ids[again], whole=frame["input_tokens"] + frame["output_tokens"], at=frame.index)
    best = frame.sort_values(["whole", "cached_tokens", "at"]).drop_duplicates("id", keep="last")
    kept = ~again.to_numpy()
    kept[best.index] = True
    tally.rejected[REPEATED] += int((~kept).sum())
    return table.filter(pa.array(kept))


@dataclass(frozen=True)
class _Plan:
    """Where records of one shape hold what."""

    fields: dict[str, tuple[str, ...]]
    roles: dict[str, tuple[str, ...]]
    unknown: tuple[str, ...]
    errors: tuple[str, ...]
    apart: tuple[str, ...]
    dialect: str
    buckets: bool


def calls(
    files: Sequence[str | Path], columns: Mapping[str, str], tally: Tally, *, timed: bool = True
) -> Iterator[pa.Table]:
    """Every usable call of the files, in order, as Arrow tables of the columns above; `tally` counts as they go by.

    `columns` maps a field (of `FIELDS` or `TOKENS`) to the column or nested path that holds it; without `timed` a
    record needs no time. Raises `InputError` for an unknown field, a file of another kind or one that cannot be opened;
    what is wrong inside a file is counted.
    """
    own = {}
    for name, source in columns.items():
        known = _ALIASES.get(name, name)
        if known not in FIELDS and known not in TOKENS:
            raise invalid_input("column", name, {*FIELDS, *TOKENS})
        own[known] = source
    paths = [known_log(Path(file)) for file in files]
    latest = 0.0
    for path in paths:

        def reject(kind: str, line: int, blame: tuple[str, object, str] | None, path: Path = path) -> None:
            tally.read += 1
            tally.reject(kind, _place(path, line), blame)

        try:
            for stretch in blocks(path, reject):
                every = (_calls(block, own, tally, path, timed) for block in stretch)
                found = [table for table in every if table is not None and len(table)]
                if not found:
                    continue
                table = found[0]
                if len(found) > 1:
                    table = pa.concat_tables(found).combine_chunks()
                    table = table.take(np.argsort(table["line"].to_numpy(), kind="stable"))
                times = table["time"].to_numpy()
                before = np.maximum.accumulate(np.concatenate([[latest], np.nan_to_num(times)]))
                tally.noted["out of time order"] += int((times < before[:-1]).sum())
                latest = float(before[-1])
                zones = int((table["has_zone"].to_numpy() & ~np.isnan(times)).sum())
                tally.noted[_ZONE] += zones
                tally.noted[_NO_ZONE] += int((~np.isnan(times)).sum()) - zones
                yield table
        except EOFError as broken:
            if tally.strict:
                raise InputError(f"{path}: {broken}; allowed: a whole file") from None
            tally.broken[str(path)] = str(broken)


def _place(path: Path, line: int) -> str:
    return f"{path}, row {line}" if path.suffix == ".parquet" else f"{path}:{line}"


@lru_cache(maxsize=1024)
def _plan(paths: tuple[str, ...], columns: tuple[tuple[str, str], ...]) -> _Plan:
    """Where to look in records of one shape; logs hold few shapes."""
    own = dict(columns)
    named = {re.sub(r"[\s-]+", "_", path.strip()).lower(): path for path in reversed(paths)}
    named |= {path: path for path in paths}
    fields = {
        name: tuple(dict.fromkeys(named[at] for at in ((own[name],) if name in own else places) if at in named))
        for name, places in FIELDS.items()
    }
    dialect = _dialect(paths)
    taken = {path for path in own.values()}
    roles: dict[str, list[str]] = {}
    unknown = []
    details = any(path.lower().startswith(("usagedetails.", "usage_details.")) for path in paths)
    for path in sorted(paths, key=lambda path: path.count(".")):
        role = role_of(re.sub(r"[\s-]+", "_", path.strip()))
        if role is None or role == "known" or path in taken:
            continue
        if dialect == "Langfuse" and details and not path.lower().startswith(("usagedetails.", "usage_details.")):
            continue  # copies of the details, added up
        if role == "unknown":
            unknown.append(path)
        elif f"{role}_tokens" not in own and role not in own:
            roles.setdefault(role, []).append(path)
    for name in TOKENS:
        if name in own:
            roles[name.removesuffix("_tokens")] = [own[name]] if own[name] in paths else []
    apart: tuple[str, ...] = ("reasoning",) if "thoughts" in roles else ()
    if dialect == "Langfuse":
        apart = ("cached", "written", "reasoning", "heard", "said")
    elif _beside(roles):
        apart = ("cached", "written", *apart)
    return _Plan(
        fields=fields,
        roles={role: tuple(where) for role, where in roles.items() if where},
        unknown=tuple(unknown),
        errors=tuple(path for path in paths if path.partition(".")[0] == "error"),
        apart=apart,
        dialect=dialect,
        buckets=any(path in _BUCKETS for path in paths),
    )


def _beside(roles: Mapping[str, Sequence[str]]) -> bool:
    """Whether cached tokens lie beside the input: as Anthropic names them, unless the input is called a prompt."""
    inputs = roles.get("input", ())
    cached = [path for role in ("cached", "written", "cache_write", "cache_write_1h") for path in roles.get(role, ())]
    return (
        any(ANTHROPIC.search(path) for path in cached)
        and not any("prompt" in path.lower() for path in inputs)
        and not any("gen_ai." in path for path in (*inputs, *cached))
    )


def _dialect(paths: Sequence[str]) -> str:
    """The name of the export records of a shape come from, for the report."""
    if any("gen_ai." in path for path in paths):
        return "OpenTelemetry GenAI"
    if any(path.startswith(("usageDetails.", "usage_details.", "promptTokens")) or path == "usage.input"
           for path in paths):  # fmt: skip
        return "Langfuse"
    if ("spend" in paths and ({"startTime", "api_requests"} & set(paths))) or "custom_llm_provider" in paths:
        return "LiteLLM"
    if any(ANTHROPIC.search(path) for path in paths) and not any("prompt" in path for path in paths):
        return "Anthropic"
    if "usage.cached_input_tokens" in paths or "reasoning_output_tokens" in paths:
        return "Codex"
    if "num_model_requests" in paths or any(path.startswith("usage.") for path in paths):
        return "OpenAI"
    return "table"


def _calls(block: Block, own: Mapping[str, str], tally: Tally, path: Path, timed: bool) -> pa.Table | None:
    """The usable calls of one block."""
    size = len(block.lines)
    tally.read += size
    lines = np.asarray(block.lines)
    plan = _plan(tuple(block.columns), tuple(own.items()))
    good = np.ones(size, dtype=bool)

    def place(at: int) -> str:
        return _place(path, int(lines[at]))

    def reject(wrong: Mask, kind: str, name: str = "", allowed: str = "", values: Any = None) -> None:
        wrong = wrong & good
        if wrong.any():
            at = int(wrong.argmax())
            value = values() if callable(values) else values
            value = None if value is None else value.iloc[at] if hasattr(value, "iloc") else value[at]
            value = value.as_py() if isinstance(value, pa.Scalar) else value
            value = value.item() if isinstance(value, np.generic) else value
            tally.reject(kind, place(at), (name, value, allowed) if name else None, int(wrong.sum()))
            good[wrong] = False

    def note(those: Mask, kind: str) -> None:
        those = those & good
        if those.any():
            tally.note(kind, place(int(those.argmax())), int(those.sum()))

    def text(name: str) -> pa.StringArray:
        found = texts([block.columns[at] for at in plan.fields[name]], size)
        halves = _true(pc.match_substring(found, "\ufffd"))
        note(halves, f"{name} with half a character or in another encoding, shown as \ufffd")
        return found

    if "type" in block.columns and plan.dialect == "Langfuse":
        kinds = pc.fill_null(texts([block.columns["type"]], size), "")
        reject(~matches(kinds, _CALLS), "not a model call")
    status = text("status")
    failed = matches(status, _FAILED)
    odd = _true(pc.utf8_is_digit(status)) & ~matches(status, "[0-9]+")
    reject(odd, "a status that cannot be read", "status", "a number in plain digits, or a word", status)
    for at in plan.errors:
        failed |= np.array([bool(value) and value == value for value in block.columns[at]], dtype=bool)
    reject(failed, "failed request")
    model = text("model")
    tables = path.suffix in (".csv", ".tsv", ".parquet")
    if tally.strict and tables:
        for name, there in (("model", plan.fields["model"]), ("input_tokens", plan.roles.get("input") or
                            plan.roles.get("uncached")), ("output_tokens", plan.roles.get("output"))):  # fmt: skip
            if not there:
                raise invalid_input("missing column", name, "model, input_tokens and output_tokens", str(path))

    requests, bad_requests = numbers([block.columns[at] for at in plan.fields["requests"]], size)
    adds_up = (requests > 1) | plan.buckets
    found: dict[str, npt.NDArray[np.float64]] = {}
    for role, where in plan.roles.items():
        values = []
        for at in where:
            value, wrong = numbers([block.columns[at]], size)
            for kind, (mask, allowed) in wrong.items():
                reject(mask, kind, at, allowed, block.columns[at])
            values.append(value)
        if len(values) > 1:
            most = np.fmax.reduce(values)
            differ = np.logical_or.reduce([(value > 0) & (value != most) for value in values])
            note(differ, f"{' and '.join(where)} differ, the largest counts")
        found[role] = np.fmax.reduce(values)
    for kind, (mask, allowed) in bad_requests.items():
        reject(mask, kind, "requests", allowed, block.columns[plan.fields["requests"][0]])
    reject(_true(pc.is_null(model)), "no model", "model", "a model name", model)
    if not found:
        reject(good, "no token counts", *(("input_tokens", "a number of tokens") if tally.strict else ()))
        return None
    sums = Sums(found, apart=plan.apart)
    counts = sums.counts
    reject(
        sums.no_input & sums.no_output, "no token counts", "input_tokens", "a number of tokens", counts["input_tokens"]
    )
    reject(sums.no_input, "no input token count", "input_tokens", "a number of tokens", found.get("input"))
    for kind, over in sums.beyond() if not tally.strict else ():  # strictly, pricing says it with its own numbers
        reject(over, kind)
    for name in ("input_tokens", "output_tokens"):
        most = counts[name]
        reject((most >= MOST_TOKENS) & ~adds_up | (most >= _MOST_ADDED), _NOT_WHOLE, name,
               f"a whole number from 0 to {MOST_TOKENS - 1}, without thousands separators", _whole(most))  # fmt: skip
    reject((requests == 0) & good, "no request in the row")
    time, has_zone, day_only, unread = moments([block.columns[at] for at in plan.fields["time"]], size)

    def said_times() -> pa.StringArray:
        return texts([block.columns[at] for at in plan.fields["time"]], size)

    reject(unread, "a time that cannot be read", (plan.fields["time"] or ("time",))[0],
           "a date or moment in ISO 8601, or seconds since 1970", said_times)  # fmt: skip
    reject(~np.isnan(time) & ~((time >= _EARLIEST) & (time <= _LATEST)), "a time before 2008 or after 2099", "time",
           "a time from 2008 to 2099", said_times)  # fmt: skip
    if timed:
        reject(np.isnan(time), "no time", "time", "a date or moment", said_times)
    note(sums.contradicts, "counts do not add up to the total of the record")
    note(sums.no_output, "no output token count, read as 0, as an embedding has")
    unknown_requests = np.isnan(requests) & adds_up
    note(unknown_requests, "adds up an unknown number of requests: billed, not counted as volume")
    for at in plan.unknown:
        value, _ = numbers([block.columns[at]], size)
        those = (value > 0) & good
        if those.any():
            tally.unused[at] += int(value[those].sum())
            note(those, f"{at} {NOT_USED}")
    if good.any():
        tally.dialects[plan.dialect] += int(good.sum())

    cost, _ = numbers([block.columns[at] for at in plan.fields["cost_usd"]], size, whole=False)
    reject(np.isinf(cost), "a cost that is not finite", "cost_usd", "an amount in US dollars")
    period = np.where(day_only, 86400.0, np.nan)
    if plan.fields["end_time"] and adds_up.any():
        end, *_ = moments([block.columns[at] for at in plan.fields["end_time"]], size)
        period = np.where((end > time) & adds_up, end - time, period)
    tier, name = text("tier"), text("id")
    table = pa.table(
        {
            "time": time,
            "has_zone": has_zone,
            "day_only": day_only,
            "model": model,
            "provider": text("provider"),
            "tier": pc.if_else(matches(tier, _STANDARD), None, tier),
            "workload": text("workload"),
            "id": pc.if_else(adds_up, None, name) if adds_up.any() else name,
            "host": text("host"),
            "adds_up": adds_up,
            "requests": pa.array(np.where(np.isnan(requests) & ~adds_up, 1.0, requests), from_pandas=True),
            "period_s": pa.array(period, from_pandas=True),
            **{name: _whole(counts[name]) for name in TOKENS},
            "cost_usd": pa.array(cost, from_pandas=True),
            "prompt": _prompts(block, plan, size),
            "file": pa.array([str(path)] * size, pa.string()),
            "line": lines,
        }
    )
    return table if good.all() else table.filter(pa.array(good))


def _true(found: Any) -> Mask:
    return np.asarray(pc.fill_null(found, False).to_numpy(zero_copy_only=False))


REPEATED = "repeat of an id, whose largest record counts"
_NO_ZONE, _ZONE = "time without a zone, read as UTC", "time with a zone"
_ORDINARY = ("out of time order", _ZONE)
NOT_USED = "is a count that was not used"
_NOT_WHOLE = "a token count that is not whole or a billion and more"
_EARLIEST, _LATEST = 1.2e9, 4.1e9


def _whole(values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    return np.clip(np.nan_to_num(values), 0, 9e15).astype(np.int64)


def _prompts(block: Block, plan: _Plan, size: int) -> pa.StringArray:
    for at in plan.fields["prompt"]:
        column = block.columns[at]
        return pa.array([None if value is None or value != value else str(value) for value in column], pa.string())
    return pa.nulls(size, pa.string())
