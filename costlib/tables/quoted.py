"""Tables of what others published: speeds on hardware that is not at hand."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.schema import Column, Table

SPEEDS = Table(
    "speeds",
    "One published configuration: its speed on named hardware, with its source; a row of any kind but measured.",
    (
        Column("model", "text", "model, as its publication names it", required=True),
        Column("architecture", "text", "shape in architectures.csv", required=True),
        Column("device", "text", "device in rates.csv", required=True),
        Column("devices", "integer", "devices that served together", "devices", required=True, minimum=1),
        Column("precision", "text", "how the weights were held", required=True),
        Column("engine", "text", "how the model was executed", required=True),
        Column("batch", "integer", "sequences run together; empty where unknown", "sequences", minimum=1),
        Column("prompt_tokens", "integer", "prompt tokens of a request; empty where unknown", "tokens", minimum=0),
        Column("output_tokens", "integer", "new tokens of a request; empty where unknown", "tokens", minimum=0),
        Column("prefill_tokens_per_s", "number", "prompt tokens per second of prefill", "tokens/s"),
        Column("decode_tokens_per_s", "number", "new tokens per second, of decode unless `metric` says", "tokens/s"),
        Column("peak_bytes", "integer", "peak memory, where published", "bytes", minimum=1),
        Column("joules_per_output_token", "number", "energy per new token, where published", "J/token"),
        Column("metric", "text", "what was published, in its own words", required=True),
        Column("kind", "text", "quoted, or derived from quoted numbers", required=True, allowed=KINDS),
        Column("source", "text", "publication", required=True),
        Column("note", "text", "conditions a reader must know"),
    ),
)
