"""Tables of two serving techniques: speculative decoding and prefix caching."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.metrics import METRICS
from costlib.tables.schema import COMPUTE_DTYPE, STATUSES, Column, Table, interval

VERDICTS = ("use", "do not use")


def _metric(name: str, *, signed: bool = False) -> tuple[Column, ...]:
    return interval(name, METRICS[name].meaning, METRICS[name].unit, signed=signed)


_RUN = (
    Column("run_id", "text", "unique id and name of the file", required=True),
    Column("started_at", "text", "UTC, ISO 8601", required=True),
)
_ENDING = (
    Column("status", "text", "how the run ended", required=True, allowed=STATUSES),
    Column("reason", "text", "why the status is not ok"),
    Column("kind", "text", "always measured", required=True, allowed=KINDS),
)
_JUDGEMENT = (
    Column("verdict", "text", "use where the gain is above its interval, else do not use", allowed=VERDICTS),
    Column("verdict_reason", "text", "why this verdict, or why none"),
    Column("interval_reason", "text", "why there is no interval, or what widens it"),
    Column("processes", "integer", "child processes in the estimate", "processes", minimum=1),
    Column("flagged_samples", "integer", "inputs whose timing is left out, kept raw", "inputs", minimum=0),
    Column("flags", "text", "why they were flagged"),
)
_PLACE = (
    Column("weights_note", "text", "what a reader must know about the weights"),
    Column("material_sha256", "text", "hash of the settings, the text and local models' files", required=True),
    Column("fingerprint", "text", "hash of the environment", required=True),
    Column("environment", "text", "JSON of the newest process", required=True),
)


SPECULATIONS = Table(
    "speculations",
    "One draft at one draft length against plain greedy decoding of the same prompts, run in turn.",
    (
        *_RUN,
        Column("model", "text", "reference of the target", required=True),
        Column("precision", "text", "how the target's weights are held", required=True),
        COMPUTE_DTYPE,
        Column("draft", "text", "reference of the draft, or prompt-lookup", required=True),
        Column("draft_precision", "text", "how the draft's weights are held; unknown for prompt-lookup"),
        Column("draft_tokens", "integer", "proposals of a check, at most (g)", "tokens", required=True, minimum=1),
        Column("prompt_tokens", "integer", "tokens of a prompt", "tokens", required=True, minimum=1),
        Column("output_tokens", "integer", "new tokens, forced", "tokens", required=True, minimum=2),
        Column("text", "text", "name of the text that prompts are cut from; unknown for random weights"),
        Column("device", "text", "name of the device that ran it", required=True),
        *_ENDING,
        *_metric("acceptance"),
        Column("acceptance_reason", "text", "why the acceptance is unknown"),
        Column("accepted", "integer", "proposals the target kept", "tokens", minimum=0),
        Column("rejections", "integer", "checks that ended in a rejection", "checks", minimum=0),
        Column("proposed", "integer", "proposals, those behind a rejection too", "tokens", minimum=0),
        Column("checks", "integer", "passes of the target", "checks", minimum=1),
        Column("tokens_per_check", "number", "new tokens over passes of the target, counted", "tokens", minimum=0),
        Column("tokens_per_check_expected", "number", METRICS["tokens_per_check"].meaning, "tokens", minimum=0),
        *_metric("draft_cost"),
        *_metric("check_cost"),
        Column("break_even_acceptance", "number", "acceptance from which a check gives more than it costs", "share"),
        Column("break_even_reason", "text", "why there is none"),
        *interval("predicted_speedup", METRICS["predicted_speedup"].meaning, "ratio"),
        *interval("decode_speedup", "speed-up behind the first chunk, which the prediction is about", "ratio"),
        *interval("speedup", "seconds of plain over assisted generation, prefill included, run in turn", "ratio"),
        Column("speedups", "numbers", "speedup of each process", "ratio"),
        *interval("plain_tokens_per_s", "new tokens per second of plain decoding, prefill excluded", "tokens/s"),
        *interval("assisted_tokens_per_s", "new tokens per second with the draft, prefill excluded", "tokens/s"),
        *_JUDGEMENT,
        Column("prompts", "integer", "prompts, each with and without the draft", "prompts", minimum=1),
        Column("target_bytes", "integer", "bytes of the target's weights, counted", "bytes"),
        Column("draft_bytes", "integer", "bytes of the draft's weights, counted", "bytes"),
        Column("target_kv_cache_bytes", "integer", "key-value cache of the target after the last token", "bytes"),
        Column("draft_kv_cache_bytes", "integer", "key-value cache of the draft after the last token", "bytes"),
        Column("peak_bytes", "integer", "peak of both: allocator reserved on a GPU, resident set on a CPU", "bytes"),
        *_PLACE,
    ),
)

PREFIXES = Table(
    "prefixes",
    "One shared prefix: requests that read it anew against requests that reuse its keys and values, run in turn.",
    (
        *_RUN,
        Column("model", "text", "model reference", required=True),
        Column("precision", "text", "how the weights are held", required=True),
        COMPUTE_DTYPE,
        Column("shared_tokens", "integer", "prompt tokens that every request shares", "tokens", required=True),
        Column("prompt_tokens", "integer", "tokens of each prompt", "tokens", required=True, minimum=2),
        Column("output_tokens", "integer", "new tokens of each request, compared", "tokens", required=True, minimum=1),
        Column("block", "integer", "tokens of a cache block; only whole ones are reused", "tokens", required=True),
        Column("requests", "integer", "requests of a stream; the first fills the cache", "requests", required=True),
        Column("text", "text", "name of the text that prompts are cut from; unknown for random weights"),
        Column("device", "text", "name of the device that ran it", required=True),
        *_ENDING,
        Column("usable_tokens", "integer", METRICS["usable_tokens"].meaning, "tokens", required=True, minimum=1),
        Column("token_hit_rate", "number", METRICS["token_hit_rate"].meaning, "share", minimum=0),
        *interval("ttft_s", "time to first token of a request that reads its whole prompt", "s"),
        *interval("ttft_reused_s", "time to first token of a request that finds the prefix", "s"),
        *interval("ttft_first_s", "time to first token of the request that fills the cache", "s"),
        *interval("ttft_saved_s", METRICS["ttft_saved_s"].meaning, "s", signed=True),
        *_metric("saving", signed=True),
        Column("savings", "numbers", "saving of each process", "share"),
        *_JUDGEMENT,
        Column("compared", "integer", "requests answered both ways", "requests", minimum=1),
        Column("kept_bytes", "integer", "bytes of the kept prefix, counted", "bytes"),
        Column("kept_bytes_expected", "integer", "bytes of the kept prefix predicted from the shape", "bytes"),
        Column("weight_bytes", "integer", "bytes of the weights, counted", "bytes"),
        Column("peak_bytes", "integer", "peak memory: allocator reserved on a GPU, resident set on a CPU", "bytes"),
        *_PLACE,
    ),
)
