"""Tables of what the quality room produces: text fidelity of each precision against its baseline."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.metrics import METRICS
from costlib.tables.schema import STATUSES, Column, Table, interval

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
        *interval("ppl_rolling", METRICS["ppl_rolling"].meaning, ""),
        *interval("ppl_ratio", "perplexity over the baseline's, paired by token: exp(mean difference)", "ratio"),
        Column("ppl_p_value", "number", "two-sided p-value of the paired difference being 0", "probability", minimum=0),
        *interval("kl_mean", METRICS["kl_mean"].meaning, "nats/token"),
        Column("kl_p99", "number", "99th percentile of KL per position", "nats", minimum=0),
        Column("kl_max", "number", "largest KL of a position", "nats", minimum=0),
        *interval("top1_agreement", METRICS["top1_agreement"].meaning, "share"),
        Column("bits_per_byte", "number", METRICS["bits_per_byte"].meaning, "bit/byte", minimum=0),
        Column("nll", "numbers", "negative log-likelihood of each scored token, in order", "nats"),
        Column("weights_note", "text", "what a reader must know about the weights"),
        Column("fingerprint", "text", "hash of the environment", required=True),
        Column("environment", "text", "JSON of the process", required=True),
    ),
)
