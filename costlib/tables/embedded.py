"""Tables of embedding models and of distilled students."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.metrics import METRICS
from costlib.tables.schema import COMPUTE_DTYPE, STATUSES, Column, Table, interval

STUDENTS = ("static", "layers", "soft", "language")
"""How a student is made; `costlib.quality.distill` says what each is."""

_RUN = (
    Column("run_id", "text", "unique id and name of the file", required=True),
    Column("started_at", "text", "UTC, ISO 8601", required=True),
)
_ENDING = (
    Column("status", "text", "how the run ended", required=True, allowed=STATUSES),
    Column("reason", "text", "why the status is not ok"),
    Column("kind", "text", "always measured", required=True, allowed=KINDS),
)
_PLACE = (
    Column("fingerprint", "text", "hash of the environment", required=True),
    Column("environment", "text", "JSON of the process", required=True),
)


_EMBEDDED = (
    Column("model", "text", "model reference", required=True),
    Column("precision", "text", "how the weights are held", required=True),
    Column("baseline", "text", "precision its vectors are compared with", required=True),
    Column("device", "text", "name of the device that ran it", required=True),
    Column("text", "text", "name of the documents", required=True),
    Column("documents", "integer", "documents encoded in a pass", "documents", required=True, minimum=1),
    Column("duplicates", "integer", "repeated documents left out", "documents", required=True, minimum=0),
    Column("batch", "integer", "documents run together", "documents", required=True, minimum=1),
    Column("task", "text", "labelled file of the downstream accuracy"),
    Column("material_sha256", "text", "hash of the documents, the task and a local model's files"),
    *_ENDING,
    Column("tokens", "integer", "tokens read in a pass", "tokens", minimum=1),
    Column("width", "integer", "numbers in a vector", "numbers", minimum=1),
    Column("weight_bytes", "integer", "bytes of every parameter and quantization state, counted", "bytes"),
    Column("peak_bytes", "integer", "peak memory: allocator reserved on a GPU, resident set on a CPU", "bytes"),
    Column("kernel", "text", "class of the linear layers, proof that the precision was applied"),
    COMPUTE_DTYPE,
    Column("weights_note", "text", "what a reader must know about the weights"),
    Column("energy_scope", "text", "what the energy covers, e.g. GPU board"),
    Column("energy_reason", "text", "why energy is unknown, or not checked by a second reading"),
    Column("ceiling_reason", "text", "why there is no ceiling, and so no bound"),
    Column("ceiling_product", "text", "dtype and sizes of the product that is the ceiling, the fastest of those tried"),
    *interval("cosine", "mean cosine of a document's vector to its baseline vector", "cosine", signed=True),
    Column("cosine_min", "number", "smallest cosine of a document", "cosine"),
    Column("cosine_p1", "number", "1st percentile of the cosine", "cosine"),
    *interval(
        "overlap", "share of a document's nearest neighbours that stay, mean over documents", "share", signed=True
    ),
    Column("neighbours", "integer", "nearest neighbours compared, at most 10", "documents", minimum=0),
    Column("undefined", "integer", "documents left out because a vector is zero", "documents", minimum=0),
    Column("fidelity_reason", "text", "why a fidelity column is unknown"),
    Column("task_items", "integer", "documents classified", "documents", minimum=1),
    *interval("accuracy", "documents of the task a linear head on the vectors classifies correctly", "share"),
    *interval(
        "accuracy_difference", "accuracy minus the baseline precision's, paired by document", "share", signed=True
    ),
    Column("task_reason", "text", "why the accuracy is unknown"),
    *_PLACE,
)

EMBEDDING_RUNS = Table(
    "embedding_runs",
    "One child process that encoded documents at one precision; raw samples, immutable. The first compares vectors.",
    (
        *_RUN,
        Column("campaign", "text", "id shared by all processes of one measurement", required=True),
        Column("wall_s", "number", "whole life of the child process", "s", required=True),
        Column("pass_s", "numbers", "seconds of each pass over the documents", "s"),
        Column("flags", "texts", "per pass: empty, or why it is left out of the estimate"),
        Column("load_s", "number", "time to load the model", "s"),
        Column("energy_j", "number", "gross energy of the timed passes", "J"),
        Column("energy_idle_w", "number", "power before the run, with the model not yet loaded", "W"),
        Column("energy_window_s", "number", "length of the energy window", "s"),
        Column("ceiling_bytes_per_s", "number", "bandwidth measured in the same call: best read or copy", "bytes/s"),
        Column("ceiling_flops_per_s", "number", "product of the model's own sizes measured in the same call", "FLOP/s"),
        Column("pass_bytes", "number", "bytes a pass must read: the weights, once for each batch", "bytes"),
        Column("pass_flops", "number", "floating-point operations of a pass, padding left out", "FLOP"),
        *_EMBEDDED,
    ),
)

EMBEDDINGS = Table(
    "embeddings",
    "One embedding model at one precision: speed over the processes of its newest campaign, bytes, and fidelity.",
    (
        Column("run_id", "text", "id of its newest process (table embedding_runs)", required=True),
        Column("started_at", "text", "UTC, ISO 8601, of its first process", required=True),
        *interval("tokens_per_s", METRICS["tokens_per_s"].meaning, "tokens/s"),
        *interval("documents_per_s", METRICS["documents_per_s"].meaning, "documents/s"),
        Column("interval_reason", "text", "why there is no interval, or what widens it"),
        Column("pass_s", "numbers", "median seconds of a pass, of each process", "s"),
        Column("processes", "integer", "child processes in the estimate", "processes", minimum=1),
        Column("flags", "text", "why passes were flagged"),
        Column("load_s", "number", "median time to load the model", "s"),
        Column("energy_gross_j", "number", METRICS["energy_gross_j"].meaning, "J"),
        Column("energy_idle_j", "number", METRICS["energy_idle_j"].meaning, "J"),
        Column("energy_net_j", "number", METRICS["energy_net_j"].meaning, "J"),
        *interval("energy_j_per_token", "net energy over the tokens read", "J/token"),
        Column("bound", "text", "what limits a pass: host, bandwidth or compute"),
        Column("mbu", "number", "bytes read per pass / its time / bandwidth measured in the same call", "share"),
        Column("mfu", "number", "FLOPs per pass / its time / product measured in the same call", "share"),
        Column("ceiling_note", "text", "which share lies above a measured ceiling that only explains"),
        *_EMBEDDED,
    ),
)

DISTILLATIONS = Table(
    "distillations",
    "One student distilled from a teacher: what it keeps, how much faster it is, and what making it took.",
    (
        *_RUN,
        Column("teacher", "text", "model reference", required=True),
        Column("student", "text", "how the student was made", required=True, allowed=STUDENTS),
        Column("recipe", "text", "JSON: settings the student was made with", required=True),
        Column("task", "text", "name of the labelled file that is scored, or of the text", required=True),
        Column("device", "text", "device that trained and ran both", required=True),
        *_ENDING,
        Column("metric", "text", "what the scores are"),
        Column("items", "integer", "held-out items scored", "items", minimum=1),
        Column("training_items", "integer", "items the student learned from", "items", minimum=1),
        Column("leaked_items", "integer", "training items left out because they are also scored", "items", minimum=0),
        *interval("teacher_score", "score of the teacher on the held-out items", "share"),
        *interval("student_score", "score of the student on the same items", "share"),
        *interval("retention", METRICS["retention"].meaning, "ratio"),
        *interval("speedup", METRICS["speedup"].meaning, "ratio"),
        *interval("teacher_items_per_s", "items per second of the teacher, median of its passes", "items/s"),
        *interval("student_items_per_s", "items per second of the student, median of its passes", "items/s"),
        Column("tokens_per_item", "number", "mean tokens the teacher reads of an item", "tokens", minimum=0),
        Column("speed_basis", "text", "what one timed pass does"),
        Column("speed_reason", "text", "what disturbed the timing"),
        Column("teacher_bytes", "integer", "bytes of the teacher's weights", "bytes"),
        Column("student_bytes", "integer", "bytes of the student's weights", "bytes"),
        Column("teacher_tokens", "integer", "tokens the teacher read to make the student", "tokens", minimum=0),
        Column("training_s", "number", "seconds of the teacher's reading and the student's training", "s", minimum=0),
        Column("steps", "integer", "optimizer steps of the student; 0 where none are taken", "steps", minimum=0),
        Column("steps_note", "text", "what a reader must know about the training"),
        Column("folder", "text", "folder of the student in the store"),
        Column("material_sha256", "text", "hash of the texts, a local teacher's files and the packages that made it"),
        *_PLACE,
    ),
)
