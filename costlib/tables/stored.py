"""Every stored or derived table, column by column: the one place where a column is declared.

A name of a metric (`metrics.py`) needs no meaning and no unit of its own.
"""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.metrics import METRICS
from costlib.tables.schema import COMPUTE_DTYPE, STATUSES, Column, Table, count, interval, number, text

_MEASURED = text("kind", "always measured", required=True, allowed=KINDS)
_RUN = (
    text("run_id", "unique id and name of the file", required=True),
    text("started_at", "UTC, ISO 8601", required=True),
)
_ENDING = (
    text("status", "how the run ended", required=True, allowed=STATUSES),
    text("reason", "why the status is not ok"),
    _MEASURED,
)
_PLACE = (
    text("fingerprint", "hash of the environment", required=True),
    text("environment", "JSON of the process", required=True),
)


# --- Speed and memory: raw runs, and one estimated row per configuration ---------------------------------------------

ENGINES = ("eager", "compiled", "batched", "llamacpp")
"""How a model is executed."""
PRECISIONS = (
    "fp32", "bf16", "fp16", "int8", "int8-nosplit", "nf4", "nf4-double", "fp4", "int8wo", "int4wo", "gptq4", "awq4",
    "gguf-q8_0", "gguf-q6_k", "gguf-q5_k_m", "gguf-q5_k_s", "gguf-q5_0", "gguf-q4_k_m", "gguf-q4_k_s", "gguf-q4_0",
    "gguf-q3_k_m", "gguf-q3_k_s", "gguf-q2_k",
)  # fmt: skip
"""How weights can be held; `costlib.models.precision` says what each is."""
_CONFIGURATION = (
    text("model", "model reference, e.g. demo:gemma-3-270m", required=True),
    text("precision", "how the weights are held, e.g. bf16, int8, nf4", required=True),
    text("engine", "how the model is executed", required=True),
    count("batch", "sequences run together (B)", "sequences", required=True, minimum=1),
    count("prompt_tokens", "prompt tokens of each sequence (P)", "tokens", required=True, minimum=1),
    count("output_tokens", "new tokens of each sequence (N), forced", "tokens", required=True, minimum=1),
    text("device", "name of the device that ran it", required=True),
)
_MEMORY = (
    count("weight_bytes", "bytes of every parameter, buffer and quantization state, counted", "bytes"),
    count("weight_bytes_expected", "bytes predicted from the module tree and the precision", "bytes"),
    count("kv_cache_bytes", "bytes of the key-value cache after the last token, counted", "bytes"),
    count("kv_cache_bytes_expected", "bytes of the key-value cache predicted from the shape", "bytes"),
    count("allocator_allocated_peak_bytes", "peak bytes handed out by torch's CUDA allocator", "bytes"),
    count("allocator_reserved_peak_bytes", "peak bytes reserved by torch's CUDA allocator", "bytes"),
    count("process_peak_bytes", "peak of the process: NVML on a GPU, resident set on a CPU", "bytes"),
    count("device_over_idle_peak_bytes", "peak of the whole device above idle, by NVML", "bytes"),
    count(
        "load_peak_bytes",
        "peak while loading: allocator reserved on a GPU, resident set on a CPU (mapped weights once touched)",
        "bytes",
    ),
    text("memory_reasons", "JSON: code of the reason why a memory column is unknown, by column"),
)
_PROOF = (
    count("modules_converted", "linear layers that hold quantized weights", "modules"),
    count("modules_total", "linear layers of the model", "modules"),
    text("bytes_by_dtype", "JSON: bytes of weights by dtype"),
    text("kernel", "class of the converted layers, proof that the precision was applied"),
    text("attention", "attention implementation that ran"),
    COMPUTE_DTYPE,
)
BOUNDS = ("host", "bandwidth", "compute")
_CEILINGS = (
    number("ceiling_bytes_per_s", "bandwidth measured in the same call: best read or copy", "bytes/s"),
    number("ceiling_flops_per_s", "product of the model's own sizes measured in the same call", "FLOP/s"),
    text("ceiling_product", "dtype and sizes of that product, the fastest of those tried"),
    number("spec_bytes_per_s", "bandwidth of the data sheet (data/devices.csv)", "bytes/s"),
    number("spec_flops_per_s", "dense 16-bit product of the data sheet (data/devices.csv)", "FLOP/s"),
    number("decode_bytes", "bytes a decode step must read: weights and cached keys and values", "bytes"),
    number("decode_flops", "floating-point operations of a decode step", "FLOP"),
    number("prefill_bytes", "bytes the prefill must read", "bytes"),
    number("prefill_flops", "floating-point operations of the prefill", "FLOP"),
    text("ceiling_reason", "why there is no ceiling"),
)
_POWER = (
    number("power_limit_w", "power limit of the GPU board", "W"),
    number("power_capped_share", "share of the samples in which that limit held the clocks", "share"),
)

RUNS = Table(
    "runs",
    "One child process that measured one configuration; raw samples, immutable.",
    (
        text("run_id", "unique id of the run and name of its file", required=True),
        text("campaign", "id shared by all processes of one measurement", required=True),
        text("started_at", "UTC, ISO 8601", required=True),
        *_CONFIGURATION,
        text("status", "how the run ended", required=True, allowed=STATUSES),
        text("reason", "why the status is not ok"),
        Column("ttft_s", "numbers", "time to first token of each iteration", "s"),
        Column("decode_s", "numbers", "t_last - t_first of each iteration", "s"),
        Column("flags", "texts", "per iteration: empty, or why it is left out of the estimate"),
        number("load_s", "cold start: time to load (and quantize) the model in a fresh process", "s"),
        number("compile_s", "time of the first steps beyond steady ones: compile and graph capture", "s"),
        number("warmup_s", "time of everything between loading and the first timed iteration", "s"),
        number("wall_s", "whole life of the child process", "s"),
        *_MEMORY,
        *_PROOF,
        *_POWER,
        number("host_share", "share of the decode time the host needed to launch it", "share"),
        *_CEILINGS,
        number("energy_j", "gross energy of the timed iterations", "J"),
        number("energy_integrated_j", "the same by integrated instant power, the second reading", "J"),
        number("energy_idle_w", "power before the run, with the model not yet loaded", "W"),
        number("energy_window_s", "length of the energy window", "s"),
        text("energy_scope", "what the energy covers, e.g. GPU board"),
        text("energy_reason", "why energy is unknown"),
        text("weights_note", "what a reader must know about the weights"),
        text("fingerprint", "hash of device, driver, package versions and threads", required=True),
        text("environment", "JSON: device, driver, clocks, packages, commit, threads, load", required=True),
    ),
)

MEASUREMENTS = Table(
    "measurements",
    "One configuration on one device, estimated over the processes of its newest campaign.",
    (
        *_CONFIGURATION,
        text("status", "ok, or the status of the processes that failed", required=True, allowed=STATUSES),
        text("reason", "why the status is not ok"),
        _MEASURED,
        *interval("ttft_s"),
        *interval("prefill_tokens_per_s"),
        *interval("decode_tokens_per_s"),
        *interval("decode_tokens_per_s_per_user"),
        *interval("end_to_end_tokens_per_s"),
        *interval("tpot_s"),
        text("interval_reason", "why there is no interval, or what widens it"),
        number("relative_half_width", "half-width of the decode interval over its value", "share"),
        text("stopped_by", "what ended it: precision, time budget, process limit or a failed process"),
        count("processes", "child processes in the estimate", "processes"),
        count("samples", "iterations in the estimate", "iterations"),
        count("flagged_samples", "iterations left out, kept raw", "iterations"),
        text("flags", "why samples were flagged"),
        number("load_s", "median time to load the model in a fresh process", "s"),
        number("compile_s", "median time of compile and graph capture", "s"),
        number("warmup_s", "median time between loading and the first timed iteration", "s"),
        *_MEMORY,
        count("largest_batch", minimum=1),
        count("peak_bytes", "peak memory: allocator reserved on a GPU, resident set on a CPU", "bytes"),
        *_PROOF,
        *_CEILINGS,
        text("ceiling_note", "which shares lie above a measured ceiling that only explains"),
        text("bound", METRICS["bound"].meaning, allowed=BOUNDS),
        number("mbu"),
        number("mbu_spec"),
        number("mfu"),
        number("mfu_spec"),
        text("prefill_bound", "what bounds the prefill", allowed=BOUNDS),
        number("prefill_mbu", "mbu of the prefill, against the measured bandwidth", "share"),
        number("prefill_mfu", "mfu of the prefill, against the measured product", "share"),
        number("energy_gross_j"),
        number("energy_idle_j"),
        number("energy_net_j"),
        *interval("energy_j_per_output_token"),
        *interval("energy_j_per_token"),
        text("energy_scope", "what the energy covers"),
        text("energy_reason", "why energy is unknown, or not checked by a second reading"),
        *_POWER,
        text("reasons", "JSON: why a number of this row is unknown or has no interval, by column"),
        text("weights_note", "what a reader must know about the weights"),
        text("campaign", "id of the measurement", required=True),
        text("run_ids", "runs behind the row, separated by spaces", required=True),
        text("measured_at", "UTC, ISO 8601, of the last process", required=True),
        text("fingerprint", "hash of the environment", required=True),
        text("environment", "JSON of the newest process", required=True),
    ),
)


# --- What the quality room produces: text fidelity and tasks, answer by answer and summed up -------------------------

RULES = ("ppl_rolling", "ppl_sliding", "ppl_llamacpp")
"""Window rules of perplexity; `costlib.quality.windows` says what each scores."""

QUALITY = Table(
    "quality",
    "Text fidelity of one model at one precision against its baseline precision on one text.",
    (
        *_RUN,
        text("model", "model reference", required=True),
        text("precision", "precision scored", required=True),
        COMPUTE_DTYPE,
        text("baseline", "precision it is compared with", required=True),
        text("baseline_model", "model it is compared with; unknown in rows before 2026-11-25: the same"),
        text("device", "device that ran it", required=True),
        text("text", "name of the text", required=True),
        Column("text_files", "texts", "files of a folder, in the order they were joined"),
        text("text_sha256", "hash of the token ids read; unknown when nothing was"),
        text(
            "rule",
            "window rule and column of the perplexity; unknown in rows before 2026-11-25: ppl_rolling",
            allowed=RULES,
        ),
        count("window", "tokens per window", "tokens", required=True, minimum=2),
        count("stride", "tokens from one window to the next", "tokens", minimum=1),
        count("tokens", "first tokens of the text that the rule lays windows on", "tokens", required=True, minimum=0),
        *_ENDING,
        *(column for rule in RULES for column in interval(rule, METRICS[rule].meaning, "")),
        *interval("ppl_ratio", "perplexity over the baseline's, paired by token: exp(mean difference)", "ratio"),
        number("ppl_p_value", "two-sided p-value of the paired difference being 0", "probability", minimum=0),
        *interval("kl_mean"),
        number("kl_mean_se", "block-bootstrap standard error of kl_mean", "nats/token", minimum=0),
        number("kl_median", "median KL per position", "nats", minimum=0),
        number("kl_p99", "99th percentile of KL per position", "nats", minimum=0),
        number("kl_max", "largest KL of a position", "nats", minimum=0),
        *interval("top1_agreement"),
        number("bits_per_byte", minimum=0),
        Column("nll", "numbers", "negative log-likelihood of each scored token, in order", "nats"),
        Column("kl", "numbers", "KL(baseline || variant) at each scored token", "nats"),
        Column("top1", "flags", "whether baseline and variant rank the same token first there"),
        text("weights_note", "what a reader must know about the weights"),
        *_PLACE,
    ),
)
TASK_KINDS = ("classification", "extraction", "exact", "numeric", "regex", "retrieval", "preference")
"""How an answer is scored; `costlib.quality.tasks.metrics` says what each is."""

ANSWERS = Table(
    "answers",
    "One answer of one model at one precision to one item of a task; a run writes its new answers as one file.",
    (
        text("run_id", "unique id and name of the file", required=True),
        text("started_at", "UTC, ISO 8601, of the run", required=True),
        text("task", "name of the task", required=True),
        text("task_kind", "how an answer is scored", required=True, allowed=TASK_KINDS),
        text("item", "id of the item, unique in its task", required=True),
        text("question_sha256", "hash of everything the model was given", required=True),
        text("label_sha256", "hash of input, choices and what is expected", required=True),
        text("model", "model reference, or NAME@HOST of an endpoint", required=True),
        text("precision", "how the weights are held; unknown behind an endpoint"),
        text("engine", "eager, or server for an endpoint", required=True),
        text("device", "device that ran it; server for an endpoint", required=True),
        COMPUTE_DTYPE,
        text("status", "ok, or failed: no answer came back", required=True, allowed=("ok", "failed")),
        text("reason", "why there is no answer"),
        _MEASURED,
        text("answer", "what the model answered"),
        number("score", "score of the answer, from 0 to 1; unknown when none came back", "share", minimum=0),
        text("detail", "JSON of what the score is made of: fields, ranks, whether JSON was valid"),
        text("cluster", "group of items that belong together, resampled as one"),
        number("weight", "weight of the item in the mean", "ratio", required=True, minimum=0),
        number("cost_of_miss", "what a wrong answer to it costs; unknown where not given", "USD", minimum=0),
        count("input_tokens", "tokens read; unknown where the server does not say", "tokens", minimum=0),
        count("output_tokens", "tokens written; unknown where the server does not say", "tokens", minimum=0),
        number("usd", "price paid for it; unknown for a local model", "USD", minimum=0),
        number("seconds", "from sending the item to its whole answer", "s", minimum=0),
        text("weights_note", "what a reader must know about the weights"),
        *_PLACE,
    ),
)

TASK_SCORES = Table(
    "task_scores",
    "Score of one model at one precision on one task, paired with its baseline; derived from answers, never stored.",
    (
        text("task", "name of the task", required=True),
        text("task_kind", "how an answer is scored", required=True, allowed=TASK_KINDS),
        text("model", "model reference, or NAME@HOST of an endpoint", required=True),
        text("precision", "how the weights are held; unknown behind an endpoint"),
        text("engine", "eager, or server for an endpoint", required=True),
        text("baseline", "model and precision it is compared with; unknown without one"),
        text("date", "day of the newest answer", required=True),
        count("n", "items asked", "items", required=True, minimum=0),
        count("failed", "items without an answer", "items", required=True, minimum=0),
        text("status", "ok, or invalid where too many items have no answer", required=True, allowed=STATUSES),
        text("reason", "why the status is not ok, or why there is no interval or comparison"),
        _MEASURED,
        *interval("score", "weighted mean score; the interval also spans no answer counting 0 and 1", "share"),
        *interval("success", "share of answers wholly right (score 1), every item counting alike", "share"),
        number("cost_of_misses", "mean cost of not wholly right answers per item", "USD", minimum=0),
        *interval("difference", "score minus the baseline's on the same items", "share", signed=True),
        number("p_value", "two-sided p-value of the paired difference being 0", "probability", minimum=0),
        number("p_holm", "the same, adjusted for all comparisons of the table", "probability", minimum=0),
        text("test", "paired test behind the p-value"),
        count("gained", "items wrong at the baseline and right here", "items", minimum=0),
        count("lost", "items right at the baseline and wrong here", "items", minimum=0),
        number("flip_share", "gained and lost over the items compared", "share", minimum=0),
        number("detectable", "smallest difference found with 80 % power at this n", "share", minimum=0),
        number("margin", "largest loss the gate allows", "share", minimum=0),
        text(
            "gate", "passed, refused or too few; unknown without a baseline", allowed=("passed", "refused", "too few")
        ),
        text("gate_reason", "why the gate says so"),
        number("valid_json", "share of answers that are valid JSON (extraction)", "share", minimum=0),
        number("recall_at_k", "mean share of the relevant documents in the first k", "share", minimum=0),
        number("input_tokens", "mean tokens read per item", "tokens", minimum=0),
        number("output_tokens", "mean tokens written per item", "tokens", minimum=0),
        number("usd_per_answer", "mean price paid per answer; unknown for a local model", "USD", minimum=0),
        number("spent_usd", "price paid for all answers", "USD", minimum=0),
        text("weights_note", "what a reader must know about the weights"),
    ),
)


# --- Embedding models and distilled students -------------------------------------------------------------------------

STUDENTS = ("static", "layers", "soft", "language")
"""How a student is made; `costlib.quality.distill` says what each is."""
_EMBEDDED = (
    text("model", "model reference", required=True),
    text("precision", "how the weights are held", required=True),
    text("baseline", "precision its vectors are compared with", required=True),
    text("device", "name of the device that ran it", required=True),
    text("text", "name of the documents", required=True),
    count("documents", "documents encoded in a pass", "documents", required=True, minimum=1),
    count("duplicates", "repeated documents left out", "documents", required=True, minimum=0),
    count("batch", "documents run together", "documents", required=True, minimum=1),
    text("task", "labelled file of the downstream accuracy"),
    text("material_sha256", "hash of the documents, the task and a local model's files"),
    *_ENDING,
    count("tokens", "tokens read in a pass", "tokens", minimum=1),
    count("width", "numbers in a vector", "numbers", minimum=1),
    count("weight_bytes", "bytes of every parameter and quantization state, counted", "bytes"),
    count("peak_bytes", "peak memory: allocator reserved on a GPU, resident set on a CPU", "bytes"),
    text("kernel", "class of the linear layers, proof that the precision was applied"),
    COMPUTE_DTYPE,
    text("weights_note", "what a reader must know about the weights"),
    text("energy_scope", "what the energy covers, e.g. GPU board"),
    text("energy_reason", "why energy is unknown, or not checked by a second reading"),
    text("ceiling_reason", "why there is no ceiling, and so no bound"),
    text("ceiling_product", "dtype and sizes of the product that is the ceiling, the fastest of those tried"),
    *interval("cosine", "mean cosine of a document's vector to its baseline vector", "cosine", signed=True),
    number("cosine_min", "smallest cosine of a document", "cosine"),
    number("cosine_p1", "1st percentile of the cosine", "cosine"),
    *interval(
        "overlap", "share of a document's nearest neighbours that stay, mean over documents", "share", signed=True
    ),
    count("neighbours", "nearest neighbours compared, at most 10", "documents", minimum=0),
    count("undefined", "documents left out because a vector is zero", "documents", minimum=0),
    text("fidelity_reason", "why a fidelity column is unknown"),
    count("task_items", "documents classified", "documents", minimum=1),
    *interval("accuracy", "documents of the task a linear head on the vectors classifies correctly", "share"),
    *interval(
        "accuracy_difference", "accuracy minus the baseline precision's, paired by document", "share", signed=True
    ),
    text("task_reason", "why the accuracy is unknown"),
    *_PLACE,
)

EMBEDDING_RUNS = Table(
    "embedding_runs",
    "One child process that encoded documents at one precision; raw samples, immutable. The first compares vectors.",
    (
        *_RUN,
        text("campaign", "id shared by all processes of one measurement", required=True),
        number("wall_s", "whole life of the child process", "s", required=True),
        Column("pass_s", "numbers", "seconds of each pass over the documents", "s"),
        Column("flags", "texts", "per pass: empty, or why it is left out of the estimate"),
        number("load_s", "time to load the model", "s"),
        number("energy_j", "gross energy of the timed passes", "J"),
        number("energy_idle_w", "power before the run, with the model not yet loaded", "W"),
        number("energy_window_s", "length of the energy window", "s"),
        number("ceiling_bytes_per_s", "bandwidth measured in the same call: best read or copy", "bytes/s"),
        number("ceiling_flops_per_s", "product of the model's own sizes measured in the same call", "FLOP/s"),
        number("pass_bytes", "bytes a pass must read: the weights, once for each batch", "bytes"),
        number("pass_flops", "floating-point operations of a pass, padding left out", "FLOP"),
        *_EMBEDDED,
    ),
)

EMBEDDINGS = Table(
    "embeddings",
    "One embedding model at one precision: speed over the processes of its newest campaign, bytes, and fidelity.",
    (
        text("run_id", "id of its newest process (table embedding_runs)", required=True),
        text("started_at", "UTC, ISO 8601, of its first process", required=True),
        *interval("tokens_per_s"),
        *interval("documents_per_s"),
        text("interval_reason", "why there is no interval, or what widens it"),
        Column("pass_s", "numbers", "median seconds of a pass, of each process", "s"),
        count("processes", "child processes in the estimate", "processes", minimum=1),
        text("flags", "why passes were flagged"),
        number("load_s", "median time to load the model", "s"),
        number("energy_gross_j"),
        number("energy_idle_j"),
        number("energy_net_j"),
        *interval("energy_j_per_token", "net energy over the tokens read", "J/token"),
        text("bound", "what limits a pass: host, bandwidth or compute"),
        number("mbu", "bytes read per pass / its time / bandwidth measured in the same call", "share"),
        number("mfu", "FLOPs per pass / its time / product measured in the same call", "share"),
        text("ceiling_note", "which share lies above a measured ceiling that only explains"),
        *_EMBEDDED,
    ),
)

DISTILLATIONS = Table(
    "distillations",
    "One student distilled from a teacher: what it keeps, how much faster it is, and what making it took.",
    (
        *_RUN,
        text("teacher", "model reference", required=True),
        text("student", "how the student was made", required=True, allowed=STUDENTS),
        text("recipe", "JSON: settings the student was made with", required=True),
        text("task", "name of the labelled file that is scored, or of the text", required=True),
        text("device", "device that trained and ran both", required=True),
        *_ENDING,
        text("metric", "what the scores are"),
        count("items", "held-out items scored", "items", minimum=1),
        count("training_items", "items the student learned from", "items", minimum=1),
        count("leaked_items", "training items left out because they are also scored", "items", minimum=0),
        *interval("teacher_score", "score of the teacher on the held-out items", "share"),
        *interval("student_score", "score of the student on the same items", "share"),
        *interval("retention"),
        *interval("speedup"),
        *interval("teacher_items_per_s", "items per second of the teacher, median of its passes", "items/s"),
        *interval("student_items_per_s", "items per second of the student, median of its passes", "items/s"),
        number("tokens_per_item", "mean tokens the teacher reads of an item", "tokens", minimum=0),
        text("speed_basis", "what one timed pass does"),
        text("speed_reason", "what disturbed the timing"),
        count("teacher_bytes", "bytes of the teacher's weights", "bytes"),
        count("student_bytes", "bytes of the student's weights", "bytes"),
        count("teacher_tokens", "tokens the teacher read to make the student", "tokens", minimum=0),
        number("training_s", "seconds of the teacher's reading and the student's training", "s", minimum=0),
        count("steps", "optimizer steps of the student; 0 where none are taken", "steps", minimum=0),
        text("steps_note", "what a reader must know about the training"),
        text("folder", "folder of the student in the store"),
        text("material_sha256", "hash of the texts, a local teacher's files and the packages that made it"),
        *_PLACE,
    ),
)


# --- Speculative decoding and prefix caching -------------------------------------------------------------------------

VERDICTS = ("use", "do not use")
_JUDGEMENT = (
    text("verdict", "use where the gain is above its interval, else do not use", allowed=VERDICTS),
    text("verdict_reason", "why this verdict, or why none"),
    text("interval_reason", "why there is no interval, or what widens it"),
    count("processes", "child processes in the estimate", "processes", minimum=1),
    count("flagged_samples", "inputs whose timing is left out, kept raw", "inputs", minimum=0),
    text("flags", "why they were flagged"),
)
_MATERIAL = (
    text("weights_note", "what a reader must know about the weights"),
    text("material_sha256", "hash of the settings, the text and local models' files", required=True),
    text("fingerprint", "hash of the environment", required=True),
    text("environment", "JSON of the newest process", required=True),
)

SPECULATIONS = Table(
    "speculations",
    "One draft at one draft length against plain greedy decoding of the same prompts, run in turn.",
    (
        *_RUN,
        text("model", "reference of the target", required=True),
        text("precision", "how the target's weights are held", required=True),
        COMPUTE_DTYPE,
        text("draft", "reference of the draft, or prompt-lookup", required=True),
        text("draft_precision", "how the draft's weights are held; unknown for prompt-lookup"),
        count("draft_tokens", "proposals of a check, at most (g)", "tokens", required=True, minimum=1),
        count("prompt_tokens", "tokens of a prompt", "tokens", required=True, minimum=1),
        count("output_tokens", "new tokens, forced", "tokens", required=True, minimum=2),
        text("text", "name of the text that prompts are cut from; unknown for random weights"),
        text("device", "name of the device that ran it", required=True),
        *_ENDING,
        *interval("acceptance"),
        text("acceptance_reason", "why the acceptance is unknown"),
        count("accepted", "proposals the target kept", "tokens", minimum=0),
        count("rejections", "checks that ended in a rejection", "checks", minimum=0),
        count("proposed", "proposals, those behind a rejection too", "tokens", minimum=0),
        count("checks", "passes of the target", "checks", minimum=1),
        number("tokens_per_check", "new tokens over passes of the target, counted", "tokens", minimum=0),
        number("tokens_per_check_expected", METRICS["tokens_per_check"].meaning, "tokens", minimum=0),
        *interval("draft_cost"),
        *interval("check_cost"),
        number("break_even_acceptance", "acceptance from which a check gives more than it costs", "share"),
        text("break_even_reason", "why there is none"),
        *interval("predicted_speedup"),
        *interval("decode_speedup", "speed-up behind the first chunk, which the prediction is about", "ratio"),
        *interval("speedup", "seconds of plain over assisted generation, prefill included, run in turn", "ratio"),
        Column("speedups", "numbers", "speedup of each process", "ratio"),
        *interval("plain_tokens_per_s", "new tokens per second of plain decoding, prefill excluded", "tokens/s"),
        *interval("assisted_tokens_per_s", "new tokens per second with the draft, prefill excluded", "tokens/s"),
        *_JUDGEMENT,
        count("prompts", "prompts, each with and without the draft", "prompts", minimum=1),
        count("target_bytes", "bytes of the target's weights, counted", "bytes"),
        count("draft_bytes", "bytes of the draft's weights, counted", "bytes"),
        count("target_kv_cache_bytes", "key-value cache of the target after the last token", "bytes"),
        count("draft_kv_cache_bytes", "key-value cache of the draft after the last token", "bytes"),
        count("peak_bytes", "peak of both: allocator reserved on a GPU, resident set on a CPU", "bytes"),
        *_MATERIAL,
    ),
)

PREFIXES = Table(
    "prefixes",
    "One shared prefix: requests that read it anew against requests that reuse its keys and values, run in turn.",
    (
        *_RUN,
        text("model", "model reference", required=True),
        text("precision", "how the weights are held", required=True),
        COMPUTE_DTYPE,
        count("shared_tokens", "prompt tokens that every request shares", "tokens", required=True),
        count("prompt_tokens", "tokens of each prompt", "tokens", required=True, minimum=2),
        count("output_tokens", "new tokens of each request, compared", "tokens", required=True, minimum=1),
        count("block", "tokens of a cache block; only whole ones are reused", "tokens", required=True),
        count("requests", "requests of a stream; the first fills the cache", "requests", required=True),
        text("text", "name of the text that prompts are cut from; unknown for random weights"),
        text("device", "name of the device that ran it", required=True),
        *_ENDING,
        count("usable_tokens", required=True, minimum=1),
        number("token_hit_rate", minimum=0),
        *interval("ttft_s", "time to first token of a request that reads its whole prompt", "s"),
        *interval("ttft_reused_s", "time to first token of a request that finds the prefix", "s"),
        *interval("ttft_first_s", "time to first token of the request that fills the cache", "s"),
        *interval("ttft_saved_s", signed=True),
        *interval("saving", signed=True),
        Column("savings", "numbers", "saving of each process", "share"),
        *_JUDGEMENT,
        count("compared", "requests answered both ways", "requests", minimum=1),
        count("kept_bytes", "bytes of the kept prefix, counted", "bytes"),
        count("kept_bytes_expected", "bytes of the kept prefix predicted from the shape", "bytes"),
        count("weight_bytes", "bytes of the weights, counted", "bytes"),
        count("peak_bytes", "peak memory: allocator reserved on a GPU, resident set on a CPU", "bytes"),
        *_MATERIAL,
    ),
)


# --- Load tests: the raw trace, a row per test, percentiles and public dialects derived from a trace -----------------

ARRIVALS = ("poisson", "gamma", "closed", "trace")
"""When requests are sent; `costlib.measure.load.arrivals` says what each is."""
OUTCOMES = ("ok", "empty", "failed", "cut")
"""ok: a whole answer with text; empty: a whole one without, because the model ended at once; failed: none came; cut: it
ended before its end."""
TOKENS_FROM = ("usage", "chunks")
_MEDIANS = ("ttft_scheduled_s", "ttft_sent_s", "e2e_scheduled_s", "e2e_sent_s", "stream_tpot_s")

LOAD_REQUESTS = Table(
    "load_requests",
    "One request of a load test, as it was sent and answered; raw and immutable. Times count from the test's start.",
    (
        text("run_id", "id of the test and name of the file", required=True),
        count("number", "place in the order of sending, from 0", "requests", required=True, minimum=0),
        text("outcome", "how it ended", required=True, allowed=OUTCOMES),
        text("reason", "why it is not ok, beginning with the kind of failure"),
        number("scheduled_s", "when it was due", "s", required=True, minimum=0),
        number("sent_s", "when it was sent; unknown where it never was", "s", minimum=0),
        number("first_s", "when the first chunk with text came", "s", minimum=0),
        number("last_s", "when the last chunk with text came", "s", minimum=0),
        number("end_s", "when the stream ended or was given up", "s", minimum=0),
        Column("chunk_s", "numbers", "when each chunk with text came", "s"),
        count("prompt_words", "words of the prompt", "words", minimum=0),
        count("prompt_tokens", "prompt tokens, as the server counted them", "tokens", minimum=0),
        count("cached_tokens", "of them read from a cache, as the server says", "tokens", minimum=0),
        count("output_tokens_asked", "bound on the answer", "tokens", minimum=1),
        count("output_tokens", "tokens of the answer", "tokens", minimum=0),
        text("tokens_from", "who counted them: the server's usage, else a chunk a token", allowed=TOKENS_FROM),
        text("finish_reason", "why the server ended the answer"),
    ),
)

LOADS = Table(
    "loads",
    "One load test of one server at one load: what was asked, what came back, and whether the client kept up.",
    (
        *_RUN,
        text("url", "address of the server, without key or query", required=True),
        text("model", "name the server knows the model by", required=True),
        text("engine", "always server", required=True),
        text("server_device", "what the server runs on, as it was told to costlib"),
        text("arrivals", "when requests were sent", required=True, allowed=ARRIVALS),
        number("rate_per_s", "rate that was asked for", "requests/s", minimum=0),
        number("arrival_scv", "squared coefficient of variation of the gaps that was asked for", "ratio"),
        count("concurrency", "clients of a closed loop", "clients", minimum=1),
        count("most_at_once", "requests under way at most", "requests", required=True, minimum=1),
        count("requests", "requests that were to be sent", "requests", required=True, minimum=1),
        text("prompt_tokens_asked", "tokens a prompt was to have", required=True),
        text("output_tokens_asked", "tokens an answer was to have at most", required=True),
        count("shared_prefix_tokens", "tokens with which every prompt began", "tokens", minimum=0),
        text("settings", "JSON: chat or completion, extra fields, warm-up, seed, limits", required=True),
        number("slo_ttft_s", "promised time to first token", "s", minimum=0),
        number("slo_tpot_s", "promised time per token after it", "s", minimum=0),
        number("slo_e2e_s", "promised time of the whole answer", "s", minimum=0),
        number("slo_share", "share of requests that must keep the promise", "share", minimum=0),
        text("status", "ok where at least one answer is whole", required=True, allowed=STATUSES),
        text("reason", "why the status is not ok, or what cut the test short"),
        _MEASURED,
        count("offered", "requests that fell due", "requests", minimum=0),
        count("ok", "whole answers", "requests", minimum=0),
        count("shorter", "of them with fewer tokens than were asked for", "requests", minimum=0),
        count("empty", "whole answers without text, which have no latency", "requests", minimum=0),
        count("failed", "requests without an answer", "requests", minimum=0),
        count("cut", "answers that ended before their end", "requests", minimum=0),
        text("failures", "JSON: how many requests ended with which kind of failure"),
        number("offered_per_s", "requests due per second, from the first to the last", "requests/s", minimum=0),
        number("duration_s", "from the first schedule to the last end", "s", minimum=0),
        count("prompt_tokens", "prompt tokens of whole answers", "tokens", minimum=0),
        count("cached_tokens", "of them read from a cache, as the server says", "tokens", minimum=0),
        count("output_tokens", "output tokens of whole answers", "tokens", minimum=0),
        text("tokens_from", "who counted the output tokens", allowed=(*TOKENS_FROM, "both")),
        number("tokens_per_chunk", "output tokens over chunks with text", "tokens/chunk", minimum=0),
        number("window_start_s", "begin of the steady-state window", "s", minimum=0),
        number("window_end_s", "its end", "s", minimum=0),
        *interval("requests_per_s", "whole answers per second of the steady-state window", "requests/s"),
        *interval("output_tokens_per_s", "output tokens per second of the window, by chunk", "tokens/s"),
        *interval("input_tokens_per_s", "prompt tokens per second of the window, at their first token", "tokens/s"),
        text("window_reason", "why there is no window or no interval"),
        number("in_flight", "mean requests due and not ended, in the window", "requests", minimum=0),
        count("in_flight_peak", "most requests under way at a moment", "requests", minimum=0),
        Column("stationary", "flag", "whether as many were answered as came; unknown without a window"),
        text("stationary_reason", "why it is not"),
        *(column for name in _MEDIANS for column in interval(name, f"median: {METRICS[name].meaning}", "s")),
        number("itl_s", f"median: {METRICS['itl_s'].meaning}", "s", minimum=0),
        count("good_requests", "requests that kept the SLO", "requests", minimum=0),
        *interval("good_share", "their share of all that fell due, but for empty answers", "share"),
        number("goodput_requests_per_s", minimum=0),
        number("goodput_tokens_per_s", minimum=0),
        Column("client_bound", "flag", "whether the client was the bottleneck; unknown where it cannot be told"),
        text("client_reason", "how that is known"),
        number("client_cpu_share", "processor time of the client over time", "cores", minimum=0),
        number("client_lag_p95_s", "95th percentile of how late its event loop was", "s", minimum=0),
        number("selftest_delay_p95_s", "95th percentile of how late it stamped a mock's chunks", "s", minimum=0),
        number("selftest_added_s", "median it added to a mock's first token", "s"),
        count("selftest_streams", "streams at once in the self-test", "streams", minimum=1),
        text("fingerprint", "hash of the client's environment", required=True),
        text("environment", "JSON of the client's process", required=True),
    ),
)

LOAD_LATENCIES = Table(
    "load_latencies",
    "A percentile of a latency over the whole answers of a load test; derived from load_requests, never stored.",
    (
        text("run_id", "id of the test", required=True),
        text("metric", "id of the latency", required=True, allowed=(*_MEDIANS, "itl_s")),
        number("percentile", "which", "%", required=True, minimum=0),
        number("value_s", "the percentile; unknown with too few answers", "s", minimum=0),
        number("low_s", "lower end of its 95 % interval, an order statistic", "s", minimum=0),
        number("high_s", "upper end of its 95 % interval, an order statistic", "s", minimum=0),
        count("samples", "answers, or gaps, it is taken from", "samples", required=True, minimum=0),
        text("reason", "why the percentile or its interval is unknown"),
    ),
)


# --- What others published: speeds on hardware that is not at hand ---------------------------------------------------


SPEEDS = Table(
    "speeds",
    "One published configuration: its speed on named hardware, with its source; a row of any kind but measured.",
    (
        text("model", "model, as its publication names it", required=True),
        text("architecture", "shape in architectures.csv", required=True),
        text("device", "device in rates.csv", required=True),
        count("devices", "devices that served together", "devices", required=True, minimum=1),
        text("precision", "how the weights were held", required=True),
        text("engine", "how the model was executed", required=True),
        count("batch", "sequences run together; empty where unknown", "sequences", minimum=1),
        count("prompt_tokens", "prompt tokens of a request; empty where unknown", "tokens", minimum=0),
        count("output_tokens", "new tokens of a request; empty where unknown", "tokens", minimum=0),
        number("prefill_tokens_per_s", "prompt tokens per second of prefill", "tokens/s"),
        number("decode_tokens_per_s", "new tokens per second, of decode unless `metric` says", "tokens/s"),
        count("peak_bytes", "peak memory, where published", "bytes", minimum=1),
        number("joules_per_output_token", "energy per new token, where published", "J/token"),
        text("metric", "what was published, in its own words", required=True),
        text("kind", "quoted, or derived from quoted numbers", required=True, allowed=KINDS),
        text("source", "publication", required=True),
        text("note", "conditions a reader must know"),
    ),
)


# --- What watching a study's decisions found, look by look -----------------------------------------------------------


MONITORING = Table(
    "monitoring",
    "One look at one decision of a study: its stream of answers, if it has one, and whether it still holds.",
    (
        text("run_id", "unique id of the look and name of the file", required=True),
        text("started_at", "UTC, ISO 8601, of the look", required=True),
        text("study", "name of the study", required=True),
        text("as_of", "date of the prices the plan was made with, YYYY-MM-DD"),
        text("subject", "what was decided", required=True, allowed=("workload", "routing policy")),
        text("workload", "workload the decision is about; unknown for a routing policy"),
        text("decision", "option or policy in force; unknown where none meets the requirements"),
        text("task", "task whose answers are watched, or the file of a policy's rows; unknown without one"),
        text("model", "model that answered them"),
        text("precision", "how its weights were held"),
        text("since", "UTC, ISO 8601: only answers after it count; unknown: all count"),
        count("skipped", "items left out, because they came before", "items", minimum=0),
        text("rows_sha256", "hash of a policy's requests up to this look, by which they are known again"),
        count("n", "items watched", "items", minimum=0),
        count("new_n", "of them not seen at the look before", "items", minimum=0),
        number("score", "share of them answered wholly right, or mean score of a policy", "share", minimum=0),
        number("score_low", "lower end of its confidence sequence at level 1 - alpha", "share", minimum=0),
        number("score_high", "upper end of its confidence sequence at level 1 - alpha", "share", minimum=0),
        number("floor", "score below which the decision does not hold", "share", minimum=0),
        text("floor_basis", "where the floor comes from, or why there is none"),
        number("alpha", "false-alarm rate of this stream, over its whole life", "probability", minimum=0),
        number("e_value", "evidence of a score below the floor: 1 is none, 1/alpha alarms", "ratio", minimum=0),
        Column("alarm", "flag", "whether it ever alarmed since the watch began; unknown without a floor"),
        text("instead", "what the plan would choose now, where that is something else"),
        *interval(
            "saving_usd", "what that would save a month; of a policy, what it saves per request", "USD", signed=True
        ),
        Column("holds", "flag", "whether the decision still holds; unknown where it cannot be judged"),
        text("reason", "why it holds, does not, or cannot be judged", required=True),
        text("kind", "always derived", required=True, allowed=KINDS),
    ),
)
