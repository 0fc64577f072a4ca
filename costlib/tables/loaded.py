"""Tables of load tests: the raw trace, a row per test, and the percentiles and public dialects derived from a trace."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.metrics import METRICS
from costlib.tables.schema import STATUSES, Column, Table, interval

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
        Column("run_id", "text", "id of the test and name of the file", required=True),
        Column("number", "integer", "place in the order of sending, from 0", "requests", required=True, minimum=0),
        Column("outcome", "text", "how it ended", required=True, allowed=OUTCOMES),
        Column("reason", "text", "why it is not ok, beginning with the kind of failure"),
        Column("scheduled_s", "number", "when it was due", "s", required=True, minimum=0),
        Column("sent_s", "number", "when it was sent; unknown where it never was", "s", minimum=0),
        Column("first_s", "number", "when the first chunk with text came", "s", minimum=0),
        Column("last_s", "number", "when the last chunk with text came", "s", minimum=0),
        Column("end_s", "number", "when the stream ended or was given up", "s", minimum=0),
        Column("chunk_s", "numbers", "when each chunk with text came", "s"),
        Column("prompt_words", "integer", "words of the prompt", "words", minimum=0),
        Column("prompt_tokens", "integer", "prompt tokens, as the server counted them", "tokens", minimum=0),
        Column("cached_tokens", "integer", "of them read from a cache, as the server says", "tokens", minimum=0),
        Column("output_tokens_asked", "integer", "bound on the answer", "tokens", minimum=1),
        Column("output_tokens", "integer", "tokens of the answer", "tokens", minimum=0),
        Column(
            "tokens_from", "text", "who counted them: the server's usage, else a chunk a token", allowed=TOKENS_FROM
        ),
        Column("finish_reason", "text", "why the server ended the answer"),
    ),
)

LOADS = Table(
    "loads",
    "One load test of one server at one load: what was asked, what came back, and whether the client kept up.",
    (
        Column("run_id", "text", "unique id and name of the file", required=True),
        Column("started_at", "text", "UTC, ISO 8601", required=True),
        Column("url", "text", "address of the server, without key or query", required=True),
        Column("model", "text", "name the server knows the model by", required=True),
        Column("engine", "text", "always server", required=True),
        Column("server_device", "text", "what the server runs on, as it was told to costlib"),
        Column("arrivals", "text", "when requests were sent", required=True, allowed=ARRIVALS),
        Column("rate_per_s", "number", "rate that was asked for", "requests/s", minimum=0),
        Column("arrival_scv", "number", "squared coefficient of variation of the gaps that was asked for", "ratio"),
        Column("concurrency", "integer", "clients of a closed loop", "clients", minimum=1),
        Column("most_at_once", "integer", "requests under way at most", "requests", required=True, minimum=1),
        Column("requests", "integer", "requests that were to be sent", "requests", required=True, minimum=1),
        Column("prompt_tokens_asked", "text", "tokens a prompt was to have", required=True),
        Column("output_tokens_asked", "text", "tokens an answer was to have at most", required=True),
        Column("shared_prefix_tokens", "integer", "tokens with which every prompt began", "tokens", minimum=0),
        Column("settings", "text", "JSON: chat or completion, extra fields, warm-up, seed, limits", required=True),
        Column("slo_ttft_s", "number", "promised time to first token", "s", minimum=0),
        Column("slo_tpot_s", "number", "promised time per token after it", "s", minimum=0),
        Column("slo_e2e_s", "number", "promised time of the whole answer", "s", minimum=0),
        Column("slo_share", "number", "share of requests that must keep the promise", "share", minimum=0),
        Column("status", "text", "ok where at least one answer is whole", required=True, allowed=STATUSES),
        Column("reason", "text", "why the status is not ok, or what cut the test short"),
        Column("kind", "text", "always measured", required=True, allowed=KINDS),
        Column("offered", "integer", "requests that fell due", "requests", minimum=0),
        Column("ok", "integer", "whole answers", "requests", minimum=0),
        Column("shorter", "integer", "of them with fewer tokens than were asked for", "requests", minimum=0),
        Column("empty", "integer", "whole answers without text, which have no latency", "requests", minimum=0),
        Column("failed", "integer", "requests without an answer", "requests", minimum=0),
        Column("cut", "integer", "answers that ended before their end", "requests", minimum=0),
        Column("failures", "text", "JSON: how many requests ended with which kind of failure"),
        Column(
            "offered_per_s", "number", "requests due per second, from the first to the last", "requests/s", minimum=0
        ),
        Column("duration_s", "number", "from the first schedule to the last end", "s", minimum=0),
        Column("prompt_tokens", "integer", "prompt tokens of whole answers", "tokens", minimum=0),
        Column("cached_tokens", "integer", "of them read from a cache, as the server says", "tokens", minimum=0),
        Column("output_tokens", "integer", "output tokens of whole answers", "tokens", minimum=0),
        Column("tokens_from", "text", "who counted the output tokens", allowed=(*TOKENS_FROM, "both")),
        Column("tokens_per_chunk", "number", "output tokens over chunks with text", "tokens/chunk", minimum=0),
        Column("window_start_s", "number", "begin of the steady-state window", "s", minimum=0),
        Column("window_end_s", "number", "its end", "s", minimum=0),
        *interval("requests_per_s", "whole answers per second of the steady-state window", "requests/s"),
        *interval("output_tokens_per_s", "output tokens per second of the window, by chunk", "tokens/s"),
        *interval("input_tokens_per_s", "prompt tokens per second of the window, at their first token", "tokens/s"),
        Column("window_reason", "text", "why there is no window or no interval"),
        Column("in_flight", "number", "mean requests due and not ended, in the window", "requests", minimum=0),
        Column("in_flight_peak", "integer", "most requests under way at a moment", "requests", minimum=0),
        Column("stationary", "flag", "whether as many were answered as came; unknown without a window"),
        Column("stationary_reason", "text", "why it is not"),
        *(column for name in _MEDIANS for column in interval(name, f"median: {METRICS[name].meaning}", "s")),
        Column("itl_s", "number", f"median: {METRICS['itl_s'].meaning}", "s", minimum=0),
        Column("good_requests", "integer", "requests that kept the SLO", "requests", minimum=0),
        *interval("good_share", "their share of all that fell due, but for empty answers", "share"),
        Column("goodput_requests_per_s", "number", METRICS["goodput_requests_per_s"].meaning, "requests/s", minimum=0),
        Column("goodput_tokens_per_s", "number", METRICS["goodput_tokens_per_s"].meaning, "tokens/s", minimum=0),
        Column("client_bound", "flag", "whether the client was the bottleneck; unknown where it cannot be told"),
        Column("client_reason", "text", "how that is known"),
        Column("client_cpu_share", "number", "processor time of the client over time", "cores", minimum=0),
        Column("client_lag_p95_s", "number", "95th percentile of how late its event loop was", "s", minimum=0),
        Column(
            "selftest_delay_p95_s", "number", "95th percentile of how late it stamped a mock's chunks", "s", minimum=0
        ),
        Column("selftest_added_s", "number", "median it added to a mock's first token", "s"),
        Column("selftest_streams", "integer", "streams at once in the self-test", "streams", minimum=1),
        Column("fingerprint", "text", "hash of the client's environment", required=True),
        Column("environment", "text", "JSON of the client's process", required=True),
    ),
)

LOAD_LATENCIES = Table(
    "load_latencies",
    "A percentile of a latency over the whole answers of a load test; derived from load_requests, never stored.",
    (
        Column("run_id", "text", "id of the test", required=True),
        Column("metric", "text", "id of the latency", required=True, allowed=(*_MEDIANS, "itl_s")),
        Column("percentile", "number", "which", "%", required=True, minimum=0),
        Column("value_s", "number", "the percentile; unknown with too few answers", "s", minimum=0),
        Column("low_s", "number", "lower end of its 95 % interval, an order statistic", "s", minimum=0),
        Column("high_s", "number", "upper end of its 95 % interval, an order statistic", "s", minimum=0),
        Column("samples", "integer", "answers, or gaps, it is taken from", "samples", required=True, minimum=0),
        Column("reason", "text", "why the percentile or its interval is unknown"),
    ),
)

LOAD_DIALECTS = Table(
    "load_dialects",
    "A number of a load test by the formula of a public tool; derived from load_requests, never stored.",
    (
        Column("run_id", "text", "id of the test", required=True),
        Column("dialect", "text", "whose formula", required=True, allowed=("vllm", "guidellm", "aiperf")),
        Column("metric", "text", "what that tool calls it", required=True),
        Column("statistic", "text", "over requests, or of the run", required=True,
               allowed=("mean", "median", "p99", "whole run")),
        Column("value", "number", "the number", "as in column unit"),
        Column("unit", "text", "its unit", required=True),
        Column("formula", "text", "how the tool computes it; n is output tokens", required=True),
        Column("reason", "text", "why it is unknown"),
    ),
)  # fmt: skip
