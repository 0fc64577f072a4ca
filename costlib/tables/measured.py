"""Tables of what the measure room produces: raw runs, and one estimated row per configuration."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.metrics import METRICS
from costlib.tables.schema import COMPUTE_DTYPE, STATUSES, Column, Table, interval

ENGINES = ("eager", "compiled", "batched", "llamacpp")
"""How a model is executed."""
PRECISIONS = (
    "fp32", "bf16", "fp16", "int8", "int8-nosplit", "nf4", "nf4-double", "fp4", "int8wo", "int4wo", "gptq4", "awq4",
    "gguf-q8_0", "gguf-q6_k", "gguf-q5_k_m", "gguf-q5_k_s", "gguf-q5_0", "gguf-q4_k_m", "gguf-q4_k_s", "gguf-q4_0",
    "gguf-q3_k_m", "gguf-q3_k_s", "gguf-q2_k",
)  # fmt: skip
"""How weights can be held; `costlib.models.precision` says what each is."""

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
    Column("device_over_idle_peak_bytes", "integer", "peak of the whole device above idle, by NVML", "bytes"),
    Column(
        "load_peak_bytes",
        "integer",
        "peak while loading: allocator reserved on a GPU, resident set on a CPU (mapped weights once touched)",
        "bytes",
    ),
    Column("memory_reasons", "text", "JSON: code of the reason why a memory column is unknown, by column"),
)
_PROOF = (
    Column("modules_converted", "integer", "linear layers that hold quantized weights", "modules"),
    Column("modules_total", "integer", "linear layers of the model", "modules"),
    Column("bytes_by_dtype", "text", "JSON: bytes of weights by dtype"),
    Column("kernel", "text", "class of the converted layers, proof that the precision was applied"),
    Column("attention", "text", "attention implementation that ran"),
    COMPUTE_DTYPE,
)

BOUNDS = ("host", "bandwidth", "compute")
_CEILINGS = (
    Column("ceiling_bytes_per_s", "number", "bandwidth measured in the same call: best read or copy", "bytes/s"),
    Column("ceiling_flops_per_s", "number", "product of the model's own sizes measured in the same call", "FLOP/s"),
    Column("ceiling_product", "text", "dtype and sizes of that product, the fastest of those tried"),
    Column("spec_bytes_per_s", "number", "bandwidth of the data sheet (data/devices.csv)", "bytes/s"),
    Column("spec_flops_per_s", "number", "dense 16-bit product of the data sheet (data/devices.csv)", "FLOP/s"),
    Column("decode_bytes", "number", "bytes a decode step must read: weights and cached keys and values", "bytes"),
    Column("decode_flops", "number", "floating-point operations of a decode step", "FLOP"),
    Column("prefill_bytes", "number", "bytes the prefill must read", "bytes"),
    Column("prefill_flops", "number", "floating-point operations of the prefill", "FLOP"),
    Column("ceiling_reason", "text", "why there is no ceiling"),
)

_POWER = (
    Column("power_limit_w", "number", "power limit of the GPU board", "W"),
    Column("power_capped_share", "number", "share of the samples in which that limit held the clocks", "share"),
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
        Column("load_s", "number", "cold start: time to load (and quantize) the model in a fresh process", "s"),
        Column("compile_s", "number", "time of the first steps beyond steady ones: compile and graph capture", "s"),
        Column("warmup_s", "number", "time of everything between loading and the first timed iteration", "s"),
        Column("wall_s", "number", "whole life of the child process", "s"),
        *_MEMORY,
        *_PROOF,
        *_POWER,
        Column("host_share", "number", "share of the decode time the host needed to launch it", "share"),
        *_CEILINGS,
        Column("energy_j", "number", "gross energy of the timed iterations", "J"),
        Column("energy_integrated_j", "number", "the same by integrated instant power, the second reading", "J"),
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
        *interval("ttft_s", METRICS["ttft_s"].meaning, "s"),
        *interval("prefill_tokens_per_s", METRICS["prefill_tokens_per_s"].meaning, "tokens/s"),
        *interval("decode_tokens_per_s", METRICS["decode_tokens_per_s"].meaning, "tokens/s"),
        *interval("decode_tokens_per_s_per_user", METRICS["decode_tokens_per_s_per_user"].meaning, "tokens/s"),
        *interval("end_to_end_tokens_per_s", METRICS["end_to_end_tokens_per_s"].meaning, "tokens/s"),
        *interval("tpot_s", METRICS["tpot_s"].meaning, "s"),
        Column("interval_reason", "text", "why there is no interval, or what widens it"),
        Column("relative_half_width", "number", "half-width of the decode interval over its value", "share"),
        Column("stopped_by", "text", "what ended it: precision, time budget, process limit or a failed process"),
        Column("processes", "integer", "child processes in the estimate", "processes"),
        Column("samples", "integer", "iterations in the estimate", "iterations"),
        Column("flagged_samples", "integer", "iterations left out, kept raw", "iterations"),
        Column("flags", "text", "why samples were flagged"),
        Column("load_s", "number", "median time to load the model in a fresh process", "s"),
        Column("compile_s", "number", "median time of compile and graph capture", "s"),
        Column("warmup_s", "number", "median time between loading and the first timed iteration", "s"),
        *_MEMORY,
        Column("largest_batch", "integer", METRICS["largest_batch"].meaning, "sequences", minimum=1),
        Column("peak_bytes", "integer", "peak memory: allocator reserved on a GPU, resident set on a CPU", "bytes"),
        *_PROOF,
        *_CEILINGS,
        Column("ceiling_note", "text", "which shares lie above a measured ceiling that only explains"),
        Column("bound", "text", METRICS["bound"].meaning, allowed=BOUNDS),
        Column("mbu", "number", METRICS["mbu"].meaning, "share"),
        Column("mbu_spec", "number", METRICS["mbu_spec"].meaning, "share"),
        Column("mfu", "number", METRICS["mfu"].meaning, "share"),
        Column("mfu_spec", "number", METRICS["mfu_spec"].meaning, "share"),
        Column("prefill_bound", "text", "what bounds the prefill", allowed=BOUNDS),
        Column("prefill_mbu", "number", "mbu of the prefill, against the measured bandwidth", "share"),
        Column("prefill_mfu", "number", "mfu of the prefill, against the measured product", "share"),
        Column("energy_gross_j", "number", METRICS["energy_gross_j"].meaning, "J"),
        Column("energy_idle_j", "number", METRICS["energy_idle_j"].meaning, "J"),
        Column("energy_net_j", "number", METRICS["energy_net_j"].meaning, "J"),
        *interval("energy_j_per_output_token", METRICS["energy_j_per_output_token"].meaning, "J/token"),
        *interval("energy_j_per_token", METRICS["energy_j_per_token"].meaning, "J/token"),
        Column("energy_scope", "text", "what the energy covers"),
        Column("energy_reason", "text", "why energy is unknown, or not checked by a second reading"),
        *_POWER,
        Column("reasons", "text", "JSON: why a number of this row is unknown or has no interval, by column"),
        Column("weights_note", "text", "what a reader must know about the weights"),
        Column("campaign", "text", "id of the measurement", required=True),
        Column("run_ids", "text", "runs behind the row, separated by spaces", required=True),
        Column("measured_at", "text", "UTC, ISO 8601, of the last process", required=True),
        Column("fingerprint", "text", "hash of the environment", required=True),
        Column("environment", "text", "JSON of the newest process", required=True),
    ),
)
