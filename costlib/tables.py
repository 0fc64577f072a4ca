"""Every table costlib reads or writes: columns, units, checks and one-line meanings, in one place.

A column's unit is part of its name (`_s`, `_bytes`, `_tokens_per_s`, `_usd_per_mtok`) and repeated here for readers.
`Table.validate` refuses a frame that does not fit, naming the table, the column, the row and the value. The data
dictionary in data/README.md is generated from this file (`python -m costlib.tables`), and a test proves it current.

Metric ids and their exact meaning follow the public definitions of prefill, decode, time to first token (TTFT) and
time per output token (TPOT); B is the batch, P the prompt tokens and N the new tokens of a measurement.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from costlib.errors import bad
from costlib.figure import KINDS

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
"""Version of the stored tables. 1 (2026-11): first version."""

STATUSES = ("ok", "oom", "unsupported", "invalid", "error")
"""ok: measured; oom: did not fit; unsupported: this device or model cannot; invalid: ran, but not what was asked;
error: crashed or timed out. Everything but ok carries a reason."""

ENGINES = ("eager",)

Type = Literal["text", "integer", "number", "flag", "numbers", "flags", "texts"]
_ARROW = {
    "text": "string",
    "integer": "int64",
    "number": "float64",
    "flag": "bool",
    "numbers": "list<double>",
    "flags": "list<bool>",
    "texts": "list<string>",
}


@dataclass(frozen=True)
class Metric:
    """A measured quantity: what its id means, exactly."""

    id: str
    unit: str
    meaning: str


METRICS: dict[str, Metric] = {
    metric.id: metric
    for metric in (
        Metric("ttft_s", "s", "from the call to the first new token's logits on the host; tokenization excluded"),
        Metric("prefill_tokens_per_s", "tokens/s", "B*P / ttft_s"),
        Metric("decode_tokens_per_s", "tokens/s", "B*(N-1) / (t_last - t_first); prefill and first token excluded"),
        Metric("decode_tokens_per_s_per_user", "tokens/s", "(N-1) / (t_last - t_first) of one sequence"),
        Metric("end_to_end_tokens_per_s", "tokens/s", "B*N / (t_last - t_start)"),
        Metric("tpot_s", "s", "(t_last - t_first) / (N-1) of one sequence; unknown when N = 1"),
        Metric("energy_j_per_output_token", "J/token", "net energy of prefill and decode over B*N new tokens"),
        Metric("ppl_rolling", "perplexity", "exp(mean negative log-likelihood), every token scored once"),
        Metric("kl_mean", "nats/token", "mean KL(baseline || variant) per position over the full vocabulary"),
        Metric("top1_agreement", "share", "positions where baseline and variant rank the same token first"),
        Metric("bits_per_byte", "bit/byte", "total negative log-likelihood in bits over UTF-8 bytes of the text"),
    )
}


@dataclass(frozen=True)
class Column:
    """One column: its type, unit, meaning and what it allows."""

    name: str
    type: Type
    meaning: str
    unit: str = ""
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None


@dataclass(frozen=True)
class Table:
    """A named table; `validate` checks a frame against it."""

    name: str
    meaning: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """Column names, in order."""
        return [column.name for column in self.columns]

    def validate(self, frame: pd.DataFrame, where: str | None = None) -> pd.DataFrame:
        """Return `frame` with exactly this table's columns, in order; missing optional columns become null.

        Raises `InputError` naming the table, column, row and value for an unknown or missing column, a null in a
        required one, a value outside what is allowed, or a number that is not finite.
        """
        import pandas as pd

        place = where or f"table {self.name}"
        unknown = [str(name) for name in frame.columns if name not in self.names]
        if unknown:
            raise bad("column", unknown[0], self.names, place)
        data: dict[str, Any] = {}
        for column in self.columns:
            if column.name in frame.columns:
                values = list(frame[column.name])
            elif column.required:
                raise bad("missing column", column.name, "every required column must be present", place)
            else:
                values = [None] * len(frame)
            data[column.name] = [_checked(column, value, f"{place}, row {row}") for row, value in enumerate(values)]
        return pd.DataFrame({c.name: pd.Series(data[c.name], dtype=_pandas_type(c)) for c in self.columns})

    def arrow_schema(self) -> Any:
        """The `pyarrow.Schema` this table is stored with."""
        import pyarrow as pa

        kinds = {
            "string": pa.string(),
            "int64": pa.int64(),
            "float64": pa.float64(),
            "bool": pa.bool_(),
            "list<double>": pa.list_(pa.float64()),
            "list<bool>": pa.list_(pa.bool_()),
            "list<string>": pa.list_(pa.string()),
        }
        return pa.schema([(column.name, kinds[_ARROW[column.type]]) for column in self.columns])


def _pandas_type(column: Column) -> Any:
    return {"text": "str", "integer": "Int64", "number": "float64", "flag": "boolean"}.get(column.type, "object")


def _is_null(value: object) -> bool:
    if value is None:
        return True
    if isinstance(value, float):
        return math.isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def _checked(column: Column, value: Any, place: str) -> Any:
    if isinstance(value, (list, tuple)) or type(value).__name__ == "ndarray":
        return list(value)
    if _is_null(value):
        if column.required:
            raise bad(column.name, None, "a value (this column is required)", place)
        return None
    if column.type in ("integer", "number"):
        if isinstance(value, (bool, str)) or not math.isfinite(value):
            raise bad(column.name, value, "a finite number", place)
        if column.minimum is not None and value < column.minimum:
            raise bad(column.name, value, f"a number >= {column.minimum:g}", place)
    if column.allowed and value not in column.allowed:
        raise bad(column.name, value, column.allowed, place)
    return value


def _interval(name: str, meaning: str, unit: str) -> tuple[Column, ...]:
    """A number and the two ends of its 95 % interval."""
    return (
        Column(name, "number", meaning, unit, minimum=0),
        Column(f"{name}_low", "number", f"lower end of the 95 % interval of {name}", unit, minimum=0),
        Column(f"{name}_high", "number", f"upper end of the 95 % interval of {name}", unit, minimum=0),
    )


_CONFIGURATION = (
    Column("model", "text", "model reference, e.g. demo:gemma-3-270m", required=True),
    Column("precision", "text", "how the weights are held, e.g. bf16, int8, nf4", required=True),
    Column("engine", "text", "how the model is executed", required=True),
    Column("batch", "integer", "sequences run together (B)", "sequences", required=True, minimum=1),
    Column("prompt_tokens", "integer", "prompt tokens of each sequence (P)", "tokens", required=True, minimum=1),
    Column("output_tokens", "integer", "new tokens of each sequence (N), forced", "tokens", required=True, minimum=1),
    Column("device", "text", "name of the device that ran it", required=True),
)
_MEMORY = (
    Column("weight_bytes", "integer", "bytes of every parameter, buffer and quantization state, counted", "bytes"),
    Column("weight_bytes_expected", "integer", "bytes predicted from the module tree and the precision", "bytes"),
    Column("kv_cache_bytes", "integer", "bytes of the key-value cache after the last token, counted", "bytes"),
    Column("kv_cache_bytes_expected", "integer", "bytes of the key-value cache predicted from the shape", "bytes"),
    Column("allocator_allocated_peak_bytes", "integer", "peak bytes handed out by torch's CUDA allocator", "bytes"),
    Column("allocator_reserved_peak_bytes", "integer", "peak bytes reserved by torch's CUDA allocator", "bytes"),
    Column("process_peak_bytes", "integer", "peak of the process: NVML on a GPU, resident set on a CPU", "bytes"),
    Column(
        "load_peak_bytes",
        "integer",
        "peak of the process while loading; mapped weights count once touched",
        "bytes",
    ),
    Column("memory_reason", "text", "why a memory column is unknown"),
)
_PROOF = (
    Column("modules_converted", "integer", "linear layers that hold quantized weights", "modules"),
    Column("modules_total", "integer", "linear layers of the model", "modules"),
    Column("bytes_by_dtype", "text", "JSON: bytes of weights by dtype"),
    Column("kernel", "text", "class of the converted layers, proof that the precision was applied"),
    Column("attention", "text", "attention implementation that ran"),
)

RUNS = Table(
    "runs",
    "One child process that measured one configuration; raw samples, immutable.",
    (
        Column("run_id", "text", "unique id of the run and name of its file", required=True),
        Column("campaign", "text", "id shared by all processes of one measurement", required=True),
        Column("started_at", "text", "UTC, ISO 8601", required=True),
        *_CONFIGURATION,
        Column("status", "text", "how the run ended", required=True, allowed=STATUSES),
        Column("reason", "text", "why the status is not ok"),
        Column("ttft_s", "numbers", "time to first token of each iteration", "s"),
        Column("decode_s", "numbers", "t_last - t_first of each iteration", "s"),
        Column("flags", "texts", "per iteration: empty, or why it is left out of the estimate"),
        Column("load_s", "number", "time to load (and quantize) the model", "s"),
        Column("warmup_s", "number", "time of the warm-up iterations", "s"),
        Column("wall_s", "number", "whole life of the child process", "s"),
        *_MEMORY,
        *_PROOF,
        Column("energy_j", "number", "gross energy of the timed iterations", "J"),
        Column("energy_idle_w", "number", "power before the run, with the model not yet loaded", "W"),
        Column("energy_window_s", "number", "length of the energy window", "s"),
        Column("energy_scope", "text", "what the energy covers, e.g. GPU board"),
        Column("energy_reason", "text", "why energy is unknown"),
        Column("weights_note", "text", "what a reader must know about the weights"),
        Column("fingerprint", "text", "hash of device, driver, package versions and threads", required=True),
        Column("environment", "text", "JSON: device, driver, clocks, packages, commit, threads, load", required=True),
    ),
)

MEASUREMENTS = Table(
    "measurements",
    "One configuration on one device, estimated over the processes of its newest campaign.",
    (
        *_CONFIGURATION,
        Column("status", "text", "ok, or the status of the processes that failed", required=True, allowed=STATUSES),
        Column("reason", "text", "why the status is not ok"),
        Column("kind", "text", "always measured", required=True, allowed=KINDS),
        *_interval("ttft_s", METRICS["ttft_s"].meaning, "s"),
        *_interval("prefill_tokens_per_s", METRICS["prefill_tokens_per_s"].meaning, "tokens/s"),
        *_interval("decode_tokens_per_s", METRICS["decode_tokens_per_s"].meaning, "tokens/s"),
        *_interval("end_to_end_tokens_per_s", METRICS["end_to_end_tokens_per_s"].meaning, "tokens/s"),
        *_interval("tpot_s", METRICS["tpot_s"].meaning, "s"),
        Column("interval_reason", "text", "why there is no interval, or what widens it"),
        Column("relative_half_width", "number", "half-width of the decode interval over its value", "share"),
        Column("stopped_by", "text", "precision reached, or time budget"),
        Column("processes", "integer", "child processes in the estimate", "processes"),
        Column("samples", "integer", "iterations in the estimate", "iterations"),
        Column("flagged_samples", "integer", "iterations left out, kept raw", "iterations"),
        Column("flags", "text", "why samples were flagged"),
        Column("load_s", "number", "median time to load the model", "s"),
        *_MEMORY,
        Column("peak_bytes", "integer", "peak memory: allocator reserved on a GPU, resident set on a CPU", "bytes"),
        *_PROOF,
        Column("energy_j_per_output_token", "number", METRICS["energy_j_per_output_token"].meaning, "J/token"),
        Column("energy_j_per_token", "number", "net energy over prompt and new tokens", "J/token"),
        Column("energy_scope", "text", "what the energy covers"),
        Column("energy_reason", "text", "why energy is unknown"),
        Column("weights_note", "text", "what a reader must know about the weights"),
        Column("campaign", "text", "id of the measurement", required=True),
        Column("run_ids", "text", "runs behind the row, separated by spaces", required=True),
        Column("measured_at", "text", "UTC, ISO 8601, of the last process", required=True),
        Column("fingerprint", "text", "hash of the environment", required=True),
        Column("environment", "text", "JSON of the newest process", required=True),
    ),
)

QUALITY = Table(
    "quality",
    "Text fidelity of one model at one precision against its baseline precision on one text.",
    (
        Column("run_id", "text", "unique id and name of the file", required=True),
        Column("started_at", "text", "UTC, ISO 8601", required=True),
        Column("model", "text", "model reference", required=True),
        Column("precision", "text", "precision scored", required=True),
        Column("baseline", "text", "precision it is compared with", required=True),
        Column("device", "text", "device that ran it", required=True),
        Column("text", "text", "name of the text", required=True),
        Column("text_sha256", "text", "hash of the token ids scored; unknown when nothing was"),
        Column("window", "integer", "tokens per disjoint window", "tokens", required=True, minimum=2),
        Column(
            "tokens", "integer", "tokens scored, or asked for if the run failed", "tokens", required=True, minimum=0
        ),
        Column("status", "text", "how the run ended", required=True, allowed=STATUSES),
        Column("reason", "text", "why the status is not ok"),
        Column("kind", "text", "always measured", required=True, allowed=KINDS),
        *_interval("ppl_rolling", METRICS["ppl_rolling"].meaning, ""),
        *_interval("ppl_ratio", "perplexity over the baseline's, paired by token: exp(mean difference)", "ratio"),
        Column("ppl_p_value", "number", "two-sided p-value of the paired difference being 0", "probability", minimum=0),
        *_interval("kl_mean", METRICS["kl_mean"].meaning, "nats/token"),
        Column("kl_p99", "number", "99th percentile of KL per position", "nats", minimum=0),
        Column("kl_max", "number", "largest KL of a position", "nats", minimum=0),
        *_interval("top1_agreement", METRICS["top1_agreement"].meaning, "share"),
        Column("bits_per_byte", "number", METRICS["bits_per_byte"].meaning, "bit/byte", minimum=0),
        Column("nll", "numbers", "negative log-likelihood of each scored token, in order", "nats"),
        Column("weights_note", "text", "what a reader must know about the weights"),
        Column("fingerprint", "text", "hash of the environment", required=True),
        Column("environment", "text", "JSON of the process", required=True),
    ),
)

TABLES: dict[str, Table] = {table.name: table for table in (RUNS, MEASUREMENTS, QUALITY)}


def data_dictionary() -> str:
    """The data dictionary as Markdown, generated from the tables above."""
    lines = ["# Data dictionary", "", "Generated by `python -m costlib.tables`; do not edit by hand.", ""]
    lines += ["## Metrics", "", "| id | unit | meaning |", "|---|---|---|"]
    lines += [f"| `{m.id}` | {m.unit} | {_cell(m.meaning)} |" for m in METRICS.values()]
    for table in TABLES.values():
        lines += ["", f"## {table.name}", "", table.meaning, ""]
        lines += ["| column | type | unit | meaning |", "|---|---|---|---|"]
        lines += [
            f"| `{c.name}` | {c.type}{' (required)' if c.required else ''} | {c.unit} | {_cell(c.meaning)} |"
            for c in table.columns
        ]
    return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    from costlib.paths import data_dir

    (data_dir() / "README.md").write_text(data_dictionary(), encoding="utf-8")
