"""Every measured quantity: its id, its unit, and what it means, exactly.

Ids follow the public definitions of prefill, decode, time to first token (TTFT) and time per output token (TPOT); B is
the batch, P the prompt tokens and N the new tokens of a measurement.
"""

from __future__ import annotations

from dataclasses import dataclass


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
        Metric("weight_bytes", "bytes", "every parameter, buffer and quantization state, counted tensor by tensor"),
        Metric("kv_cache_bytes", "bytes", "key-value cache after the last token, counted; beside it the prediction"),
        Metric("allocator_allocated_peak_bytes", "bytes", "peak handed out by torch's CUDA allocator"),
        Metric("allocator_reserved_peak_bytes", "bytes", "peak reserved by torch's CUDA allocator"),
        Metric("process_peak_bytes", "bytes", "peak of the process: NVML on a GPU, resident set on a CPU"),
        Metric("device_over_idle_peak_bytes", "bytes", "peak of the whole device above what it held when idle (NVML)"),
        Metric("load_peak_bytes", "bytes", "peak while loading: allocator reserved on a GPU, resident set on a CPU"),
        Metric("largest_batch", "sequences", "largest batch that ran, where a larger one (within 5 %) did not fit"),
        Metric("bound", "", "what limits decode: host (launches), bandwidth or compute; rule in measure/roofline.py"),
        Metric("mbu", "share", "bytes read per decode step / step time / bandwidth measured in the same call"),
        Metric("mbu_spec", "share", "the same against the bandwidth of the data sheet"),
        Metric("mfu", "share", "FLOPs per decode step / step time / product measured in the same call"),
        Metric("mfu_spec", "share", "the same against the dense 16-bit product of the data sheet"),
        Metric("energy_gross_j", "J", "energy of all timed iterations, by the counter of the scope named beside it"),
        Metric("energy_idle_j", "J", "idle power before the run times the length of the energy windows"),
        Metric("energy_net_j", "J", "gross minus idle energy"),
        Metric("energy_j_per_token", "J/token", "net energy of prefill and decode over all tokens, B*(P+N)"),
        Metric("energy_j_per_output_token", "J/token", "net energy of prefill and decode over B*N new tokens"),
        Metric("ttft_sent_s", "s", "of a server's answer: from sending to the first chunk with text, at the client"),
        Metric(
            "ttft_scheduled_s", "s", "the same from the moment the request was due, the client's own queue included"
        ),
        Metric("e2e_sent_s", "s", "from sending to the last chunk with text"),
        Metric("e2e_scheduled_s", "s", "the same from the moment the request was due"),
        Metric("stream_tpot_s", "s", "(last - first chunk with text) / (output tokens - 1); unknown for one token"),
        Metric("itl_s", "s", "gap between two chunks with text of one answer, gaps of all answers pooled"),
        Metric(
            "goodput_requests_per_s", "requests/s", "answers within the SLO, from their schedule, over the whole test"
        ),
        Metric("goodput_tokens_per_s", "tokens/s", "output tokens of those answers, over the whole test"),
        Metric("ppl_rolling", "perplexity", "exp(mean negative log-likelihood), every token scored once"),
        Metric("ppl_sliding", "perplexity", "the same, in windows that begin every stride tokens and so overlap"),
        Metric("ppl_llamacpp", "perplexity", "the same over the second half of disjoint windows, each begun with bos"),
        Metric("kl_mean", "nats/token", "mean KL(baseline || variant) per position over the full vocabulary"),
        Metric("top1_agreement", "share", "positions where baseline and variant rank the same token first"),
        Metric("tokens_per_s", "tokens/s", "tokens an embedding model reads per second, tokenization included"),
        Metric("documents_per_s", "documents/s", "documents embedded per second, tokenization included"),
        Metric("retention", "ratio", "student's score over the teacher's on the same items, paired by item"),
        Metric(
            "speedup", "ratio", "seconds of the old way over the new, in turn: teacher over student, plain over a draft"
        ),
        Metric("acceptance", "share", "alpha: proposals kept / (proposals kept + checks that ended in a rejection)"),
        Metric("tokens_per_check", "tokens", "counted; expected: mean of (1-alpha^(k+1))/(1-alpha), k proposed"),
        Metric(
            "draft_cost",
            "ratio",
            "c: seconds of drafting a token / of a plain step of the target, in one process",
        ),
        Metric("check_cost", "ratio", "seconds of a check of all proposals / of a plain step; the prediction takes 1"),
        Metric("predicted_speedup", "ratio", "expected tokens per check / (k*c + 1), k proposed"),
        Metric("usable_tokens", "tokens", "floor(shared/block)*block, and at most prompt - 1"),
        Metric("token_hit_rate", "share", "reused prompt tokens / prompt tokens, over all requests of a stream"),
        Metric("ttft_saved_s", "s", "ttft_s without reuse minus with it, of a request that finds the prefix"),
        Metric("saving", "share", "share of all time to first token that reuse saves, the first request included"),
        Metric("bits_per_byte", "bit/byte", "total negative log-likelihood in bits over UTF-8 bytes of the text"),
    )
}
