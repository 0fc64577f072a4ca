"""Tables of what the quality room produces: text fidelity and tasks, answer by answer and summed up."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.metrics import METRICS
from costlib.tables.schema import COMPUTE_DTYPE, STATUSES, Column, Table, interval

RULES = ("ppl_rolling", "ppl_sliding", "ppl_llamacpp")
"""Window rules of perplexity; `costlib.quality.windows` says what each scores."""

QUALITY = Table(
    "quality",
    "Text fidelity of one model at one precision against its baseline precision on one text.",
    (
        Column("run_id", "text", "unique id and name of the file", required=True),
        Column("started_at", "text", "UTC, ISO 8601", required=True),
        Column("model", "text", "model reference", required=True),
        Column("precision", "text", "precision scored", required=True),
        COMPUTE_DTYPE,
        Column("baseline", "text", "precision it is compared with", required=True),
        Column("baseline_model", "text", "model it is compared with; unknown in rows before 2026-11-25: the same"),
        Column("device", "text", "device that ran it", required=True),
        Column("text", "text", "name of the text", required=True),
        Column("text_files", "texts", "files of a folder, in the order they were joined"),
        Column("text_sha256", "text", "hash of the token ids read; unknown when nothing was"),
        Column(
            "rule",
            "text",
            "window rule and column of the perplexity; unknown in rows before 2026-11-25: ppl_rolling",
            allowed=RULES,
        ),
        Column("window", "integer", "tokens per window", "tokens", required=True, minimum=2),
        Column("stride", "integer", "tokens from one window to the next", "tokens", minimum=1),
        Column(
            "tokens",
            "integer",
            "first tokens of the text that the rule lays windows on",
            "tokens",
            required=True,
            minimum=0,
        ),
        Column("status", "text", "how the run ended", required=True, allowed=STATUSES),
        Column("reason", "text", "why the status is not ok"),
        Column("kind", "text", "always measured", required=True, allowed=KINDS),
        *(column for rule in RULES for column in interval(rule, METRICS[rule].meaning, "")),
        *interval("ppl_ratio", "perplexity over the baseline's, paired by token: exp(mean difference)", "ratio"),
        Column("ppl_p_value", "number", "two-sided p-value of the paired difference being 0", "probability", minimum=0),
        *interval("kl_mean", METRICS["kl_mean"].meaning, "nats/token"),
        Column("kl_mean_se", "number", "block-bootstrap standard error of kl_mean", "nats/token", minimum=0),
        Column("kl_median", "number", "median KL per position", "nats", minimum=0),
        Column("kl_p99", "number", "99th percentile of KL per position", "nats", minimum=0),
        Column("kl_max", "number", "largest KL of a position", "nats", minimum=0),
        *interval("top1_agreement", METRICS["top1_agreement"].meaning, "share"),
        Column("bits_per_byte", "number", METRICS["bits_per_byte"].meaning, "bit/byte", minimum=0),
        Column("nll", "numbers", "negative log-likelihood of each scored token, in order", "nats"),
        Column("kl", "numbers", "KL(baseline || variant) at each scored token", "nats"),
        Column("top1", "flags", "whether baseline and variant rank the same token first there"),
        Column("weights_note", "text", "what a reader must know about the weights"),
        Column("fingerprint", "text", "hash of the environment", required=True),
        Column("environment", "text", "JSON of the process", required=True),
    ),
)

TASK_KINDS = ("classification", "extraction", "exact", "numeric", "regex", "retrieval", "preference")
"""How an answer is scored; `costlib.quality.tasks.metrics` says what each is."""

ANSWERS = Table(
    "answers",
    "One answer of one model at one precision to one item of a task; a run writes its new answers as one file.",
    (
        Column("run_id", "text", "unique id and name of the file", required=True),
        Column("started_at", "text", "UTC, ISO 8601, of the run", required=True),
        Column("task", "text", "name of the task", required=True),
        Column("task_kind", "text", "how an answer is scored", required=True, allowed=TASK_KINDS),
        Column("item", "text", "id of the item, unique in its task", required=True),
        Column("question_sha256", "text", "hash of everything the model was given", required=True),
        Column("label_sha256", "text", "hash of input, choices and what is expected", required=True),
        Column("model", "text", "model reference, or NAME@HOST of an endpoint", required=True),
        Column("precision", "text", "how the weights are held; unknown behind an endpoint"),
        Column("engine", "text", "eager, or server for an endpoint", required=True),
        Column("device", "text", "device that ran it; server for an endpoint", required=True),
        COMPUTE_DTYPE,
        Column("status", "text", "ok, or failed: no answer came back", required=True, allowed=("ok", "failed")),
        Column("reason", "text", "why there is no answer"),
        Column("kind", "text", "always measured", required=True, allowed=KINDS),
        Column("answer", "text", "what the model answered"),
        Column("score", "number", "score of the answer, from 0 to 1; unknown when none came back", "share", minimum=0),
        Column("detail", "text", "JSON of what the score is made of: fields, ranks, whether JSON was valid"),
        Column("cluster", "text", "group of items that belong together, resampled as one"),
        Column("weight", "number", "weight of the item in the mean", "ratio", required=True, minimum=0),
        Column("cost_of_miss", "number", "what a wrong answer to it costs; unknown where not given", "USD", minimum=0),
        Column("input_tokens", "integer", "tokens read; unknown where the server does not say", "tokens", minimum=0),
        Column(
            "output_tokens", "integer", "tokens written; unknown where the server does not say", "tokens", minimum=0
        ),
        Column("usd", "number", "price paid for it; unknown for a local model", "USD", minimum=0),
        Column("seconds", "number", "from sending the item to its whole answer", "s", minimum=0),
        Column("weights_note", "text", "what a reader must know about the weights"),
        Column("fingerprint", "text", "hash of the environment", required=True),
        Column("environment", "text", "JSON of the process", required=True),
    ),
)


TASK_SCORES = Table(
    "task_scores",
    "Score of one model at one precision on one task, paired with its baseline; derived from answers, never stored.",
    (
        Column("task", "text", "name of the task", required=True),
        Column("task_kind", "text", "how an answer is scored", required=True, allowed=TASK_KINDS),
        Column("model", "text", "model reference, or NAME@HOST of an endpoint", required=True),
        Column("precision", "text", "how the weights are held; unknown behind an endpoint"),
        Column("engine", "text", "eager, or server for an endpoint", required=True),
        Column("baseline", "text", "model and precision it is compared with; unknown without one"),
        Column("date", "text", "day of the newest answer", required=True),
        Column("n", "integer", "items asked", "items", required=True, minimum=0),
        Column("failed", "integer", "items without an answer", "items", required=True, minimum=0),
        Column("status", "text", "ok, or invalid where too many items have no answer", required=True, allowed=STATUSES),
        Column("reason", "text", "why the status is not ok, or why there is no interval or comparison"),
        Column("kind", "text", "always measured", required=True, allowed=KINDS),
        *interval("score", "weighted mean score; the interval also spans no answer counting 0 and 1", "share"),
        *interval("success", "share of answers wholly right (score 1), every item counting alike", "share"),
        Column("cost_of_misses", "number", "mean cost of not wholly right answers per item", "USD", minimum=0),
        *interval("difference", "score minus the baseline's on the same items", "share", signed=True),
        Column("p_value", "number", "two-sided p-value of the paired difference being 0", "probability", minimum=0),
        Column("p_holm", "number", "the same, adjusted for all comparisons of the table", "probability", minimum=0),
        Column("test", "text", "paired test behind the p-value"),
        Column("gained", "integer", "items wrong at the baseline and right here", "items", minimum=0),
        Column("lost", "integer", "items right at the baseline and wrong here", "items", minimum=0),
        Column("flip_share", "number", "gained and lost over the items compared", "share", minimum=0),
        Column("detectable", "number", "smallest difference found with 80 % power at this n", "share", minimum=0),
        Column("margin", "number", "largest loss the gate allows", "share", minimum=0),
        Column(
            "gate",
            "text",
            "passed, refused or too few; unknown without a baseline",
            allowed=("passed", "refused", "too few"),
        ),
        Column("gate_reason", "text", "why the gate says so"),
        Column("valid_json", "number", "share of answers that are valid JSON (extraction)", "share", minimum=0),
        Column("recall_at_k", "number", "mean share of the relevant documents in the first k", "share", minimum=0),
        Column("input_tokens", "number", "mean tokens read per item", "tokens", minimum=0),
        Column("output_tokens", "number", "mean tokens written per item", "tokens", minimum=0),
        Column("usd_per_answer", "number", "mean price paid per answer; unknown for a local model", "USD", minimum=0),
        Column("spent_usd", "number", "price paid for all answers", "USD", minimum=0),
        Column("weights_note", "text", "what a reader must know about the weights"),
    ),
)
