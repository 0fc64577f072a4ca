"""Every command: the function it asks, its examples, the fields of its document and what its card shows.

A command asks the public function of its name unless it says `ask`. Its document is the answer's own (`document()`, or
a frame as `rows`), or `fields` of the answer, and what it `adds`. The card is about the document: `costlib.cli.show`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from costlib.cli.show import Card, Part, rows_of
from costlib.tables.hints import LOADED, MEASURED


@dataclass(frozen=True)
class Command:
    """`ask` is "module:function"; `fields` names attributes of the answer (`new=old.path` renames), or its parts.

    `document` makes what they cannot say, from the answer and the options as they were given.
    """

    examples: tuple[str, ...]
    card: Card
    about: str = ""
    ask: str = ""
    fields: str = ""
    adds: Mapping[str, Any] = field(default_factory=dict)
    document: Callable[[Any, Any], Mapping[str, Any]] | None = None


def _distilled(answer: Any, asked: object) -> Mapping[str, Any]:
    row, money = answer
    return {"retention": row.get("retention"), "speedup": row.get("speedup"), "payback": money, "row": row}


def _speculated(rows: Any, asked: object) -> Mapping[str, Any]:
    from costlib.measure.speculative import best

    return {**best(rows), "rows": rows}


def _prefixed(answer: Any, asked: object) -> Mapping[str, Any]:
    row = rows_of(answer[0])[0]
    names = ("saving", "saving_low", "saving_high", "ttft_saved_s", "token_hit_rate", "usd_saved_per_1k_requests")
    return {**{name: row[name] for name in (*names, "verdict", "verdict_reason")}, "api": answer[1], "rows": answer[0]}


def _checked(answer: Any, asked: Any) -> Mapping[str, Any]:
    passed = f"{sum(one.ok for one in answer)} of {len(answer)}"
    return {"folder": asked.folder, "ok": all(one.ok for one in answer), "passed": passed, "checks": answer}


def _matters(change: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Whether a change of price is of what was asked about: the tokens of a usage table, the models of a study."""
    models = document["workloads"]["model"] if "workloads" in document else [change["model"]]
    return bool(change.get("tokens", 1) > 0 and change["model"] in set(models))


_CHANGES = ("moved", "corrected", "unclear", "removed", "added")
_NOTES = "note: {notes}"
_UNPRICED = Part("unpriced", line="not priced: {rows} rows of {model}, the first {first_row}: {reason}")
_RATE = (
    "rate: {rate.units} x {rate.devices_per_unit} {rate.device} at {rate.provider|a given rate}, {rate.region|no "
    "region named}, {rate.usd_per_hour} an hour together (the dearest: {rate.dearest_usd_per_hour}), {rate.kind}: "
    "{rate.source}"
)
_RUN = (
    Part("checks", line="check failed: {name}: {detail}", where=lambda row, _: not row["ok"]),
    "every check passed: {answer.ok}",
    Part("files", line="open {it}", where=lambda row, _: row["it"].name == "index.html"),
)

COMMANDS: dict[str, Command] = {
    "doctor": Command(
        ("doctor --json",),
        ("measurements run on {device.name}, {memory_bytes.total:bytes} of memory; measurements are kept in {store}",
         "no CUDA: {cuda.reason}", "no energy: {energy.reason}",
         Part("arithmetic.precisions", "key=Width name=Means why=Because", "What a width means on this machine"),
         Part("demo_models", "key=Model installed add=To_add_it terms=Terms_of_use"),
         Part("packages", "key=Package version=Version add=To_add_it"),
         Part("extras", "key=Optional for=For version=Version add=To_add_it")),
    ),
    "price": Command(
        ("price gpt-4o --provider openai --prompt-tokens 1000 --output-tokens 100",
         "price gemini-2.5-pro --prompt-tokens 900000000 --output-tokens 40000000 --requests 300000",
         "price --usage requests.parquet"),
        (Part("lines", "provider+model+tier=Model token_kind=Bucket kind=Kind tokens=Tokens "
             "usd_per_mtok=USD_a_million_tokens amount:USD=Amount", "{provider}/{model}, {tier}",
             "USD; {kind}; prices as of {as_of}; prices by {dated_by}; {source}"),
         "total: {total} USD",
         Part("lines", line="{price_id}", where=lambda row, _: "token_kind" not in row),
         _NOTES, _UNPRICED),
        ask="costlib.prices.api:quote",
    ),
    "prices diff": Command(
        ("prices diff 2026-09-01 2026-11-10 --study demo",),
        ("{before} to {after}: {counts}",
         Part("changes", "provider+model+tier+token_kind=Price change=Change usd_per_mtok_before:USD/Mtok=Before "
             "usd_per_mtok_after:USD/Mtok=After effect_usd=Effect", caption="USD per million tokens or requests; "
             "quoted", where=_matters, order=lambda row: _CHANGES.index(row["change"])),
         Part("workloads", "workload option before_usd=Before after_usd=After effect_usd=Effect",
             "study {asked.study}", "USD per month; derived", said="reason"),
         "effect: {effect_usd}",
         Part("", line="unknown for {unknown} workloads", where=lambda row, _: row.get("unknown")),
         "note: {reason}"),
        ask="costlib.portfolio.api_use:prices_diff",
    ),
    "prices save": Command(
        ("prices save prices-2026-11-10.json",),
        ("{prices} prices as of {snapshot_date} in {file}",),
        ask="costlib.prices.changes:prices_save",
    ),
    "rates": Command(
        ("rates 'H100 SXM' --devices 8",),
        (Part("rows", "device provider region devices=Sold_together usd_per_hour node_usd_per_hour=Together "
             "times_cheapest:ratio=Times_cheapest low:USD=One_device_from high:USD=to kind=Kind observed_on=Seen_on",
             "{device}; {rate_kind}", "USD per hour; one device of several sold together is for reading; sources: "
             "--json or data/rates.csv"),),
        ask="costlib.prices.rates:rate_rows",
        document=lambda rows, asked: {"device": asked.device, "rate_kind": asked.rate_kind, "rows": rows},
        adds={"currency": "USD"},
    ),
    "measure": Command(
        ("measure demo:gemma-3-270m --precision bf16,int8,nf4 --batch 1 --output-tokens 32",),
        ("{asked.model} on {rows.0.device}; measured; [95 % interval over processes]",
         Part("rows", "status prompt_tokens output_tokens decode_tokens_per_s mbu=of_bandwidth_measured_here "
             "mbu_spec=of_the_data_sheet's bound=bound_by decode_tokens_per_s_per_user=of_each_sequence,_tokens/s "
             "prefill_tokens_per_s prefill_mfu=of_product_measured_here prefill_bound=prefill_bound_by ttft_s "
             "end_to_end_tokens_per_s compute_dtype=Multiplied_at weight_bytes kv_cache_bytes=Key-value_cache "
             "peak_bytes=Peak largest_batch energy_j_per_output_token=Energy,_J_a_new_token,_net load_s compile_s "
             "warmup_s processes samples flagged_samples stopped_by", upright="precision engine batch", said=
             "reason interval_reason ceiling_reason ceiling_note weights_note", hints=MEASURED)),
        adds={"kind": "measured"},
    ),
    "memory": Command(
        ("memory llama-3.1-70b --precision bf16,nf4 --batch 8 --context 8192",),
        (Part("rows", "linear_bytes quantization_state_bytes expert_bytes embedding_bytes other_bytes weight_bytes "
             "kv_cache_bytes=Key-value_cache total_bytes activation_bytes fits_on=GPUs_that_hold_it "
             "uniform_bytes=every_weight_at_its_bits uniform_with_state_bytes=the_same_with_state",
             "{asked.model}, batch {asked.batch}, {asked.context} tokens", "10^9 bytes a GB; derived; activations "
             "are of one prompt as long as the context and no part of the total; a GPU holds both with 10 % of its "
             "memory to spare for the CUDA context and workspace; the last two lines are what headlines count "
             "(nothing left at 16 bit)", upright="precision"),),
        ask="costlib.models.memory:memory_rows",
        document=lambda rows, asked: {**(rows[0] if len(rows) == 1 else {}), "rows": rows},
    ),
    "compare": Command(
        ("compare precision=bf16 precision=nf4 --across precision",),
        (Part("rows", "metric unit first second ratio:ratio verdict", "{second.precision} {second.engine} batch "
             "{second.batch} against {first.precision} {first.engine} batch {first.batch}",
             "[95 % interval over processes]; ratio: second over first; paired by round: {interleaved}; verdict on "
             "it, at p < 0.02", said="reason"),),
        fields="first second interleaved rows", adds={"kind": "derived"},
    ),
    "quality": Command(
        ("quality demo:gemma-3-270m --precision bf16,nf4 --task data/tasks/order_data.jsonl --shots 4",),
        (Part("rows", "model precision status ppl_rolling=Perplexity ppl_sliding=Perplexity ppl_llamacpp=Perplexity "
             "ppl_ratio ppl_p_value=p kl_mean=KL,_nats/token top1_agreement=Same_first bits_per_byte",
             "{rows.0.tokens} tokens of {rows.0.text}, {rows.0.rule}", "windows of {rows.0.window} every "
             "{rows.0.stride}; measured; [95 % interval]", said="gate reason weights_note"),
         Part("tasks", "task n=Items model precision score success=Wholly_right difference gained lost "
             "p_holm=p_(Holm) failed=No_answer spent_usd gate", caption="measured; [95 % interval]; difference to "
             "{tasks.0.baseline}; no answer: in the interval", said="gate_reason reason weights_note"),
         Part("tasks", "task items detectable_at_0.02_flips:share=2_%_flip detectable_at_0.05_flips:share=5_% "
             "detectable_at_0.1_flips:share=10_% detectable_at_0.2_flips:share=20_% most_usd=Costs_at_most",
             "Before asking", "smallest loss found with 80 % power if so many answers change; derived (Connor 1987)")),
    ),
    "embed": Command(
        ("embed demo:minilm --precision fp32,bf16,int8 --text tickets.txt",),
        (Part("rows", "precision status tokens_per_s documents_per_s weight_bytes peak_bytes "
             "usd_per_mtok=USD_a_million_tokens energy_j_per_token bound=Bound_by mbu mfu", "{asked.model}",
             "[95 % interval over processes]; measured on {rows.0.device}; $ derived, device busy all hour", said=
             "reason interval_reason weights_note flags rate_source energy_reason ceiling_reason"),
         Part("rows", "precision cosine:decimals4 cosine_p1:decimals4 cosine_min:decimals4 overlap=Overlap@10 "
             "accuracy accuracy_difference", "Fidelity to {rows.0.baseline}", "{rows.0.documents} documents of "
             "{rows.0.text}; [95 % interval over documents]", said="fidelity_reason"),
         Part("api_prices", "provider model usd_per_mtok=USD_a_million_tokens source", "API embedding prices",
             "quoted")),
        fields="rows=0 api_prices=1", adds={"kind": "measured"},
    ),
    "load": Command(
        ("load http://127.0.0.1:8000/v1 --model NAME --rate 2 --requests 200 --slo-ttft-s 1",),
        ("{asked.model} at {rows.0.url}; measured from here; [95 % interval]",
         Part("rows", "status requests prompt_tokens_asked output_tokens_asked offered=Fell_due "
             "offered_per_s=Came,_per_s ok=Whole_answers failed=Failed cut=Cut empty=Empty output_tokens_per_s "
             "input_tokens_per_s requests_per_s ttft_scheduled_s=First_token,_s_from_schedule "
             "ttft_sent_s=First_token,_s_from_sending stream_tpot_s=Per_token_after_it,_s itl_s=Between_chunks,_s "
             "e2e_scheduled_s=Whole_answer,_s_from_schedule e2e_sent_s=Whole_answer,_s_from_sending "
             "slo_ttft_s=Promised_first_token,_s slo_tpot_s=Promised_per_token,_s slo_e2e_s=Promised_answer,_s "
             "good_share=Within_the_SLO goodput_requests_per_s goodput_tokens_per_s in_flight in_flight_peak "
             "tokens_from tokens_per_chunk client_bound", upright="arrivals rate_per_s concurrency", caption=
             "times are medians", said="reason window_reason stationary_reason client_reason failures", hints=LOADED),
         Part("answer.test.latencies", "metric percentile value_s=Seconds low_s=from high_s=to samples",
             "Percentiles", said="reason", where=lambda row, _: row["percentile"] != 50),
         Part("dialects", "dialect metric statistic value unit", "By the formulas of public tools",
             where=lambda row, _: row["statistic"] in ("median", "whole run"), most=18),
         Part("cost", "convention rate_per_s concurrency input_usd_per_mtok output_usd_per_mtok blended_usd_per_mtok "
             "good_usd_per_mtok=Output_within_the_SLO", "Cost of a million tokens", said="reason"),
         "The highest rate tested that keeps the SLO is {highest.rate_per_s} requests/s.",
         "At {highest.fails_at_per_s} requests/s it does not hold.", "note: {highest.reason}",
         "next: costlib capacity --requests-per-s {highest.rate_per_s} --requests-per-month VOLUME --usd-per-hour "
         "RATE"),
        adds={"kind": "measured"},
    ),
    "speculate": Command(
        ("speculate demo:gemma-3-270m --draft prompt-lookup --draft-tokens 2,4,8",),
        (Part("rows", "status acceptance tokens_per_check=Tokens_a_check tokens_per_check_expected=expected "
             "draft_cost=c:_draft_/_target check_cost=check_/_target break_even_acceptance=Pays_from_alpha "
             "predicted_speedup=Predicted decode_speedup speedup plain_tokens_per_s=Plain,_tokens/s "
             "assisted_tokens_per_s=Draft,_tokens/s target_bytes draft_bytes peak_bytes=Peak_of_both verdict",
             "{asked.model} at {asked.precision} with {asked.draft}, {asked.prompt_tokens} + {asked.output_tokens} "
             "tokens, by number of proposals", "prompts of {rows.0.text}; [95 % interval]; measured on "
             "{rows.0.device}; expected, predicted: derived", upright="draft_tokens", said=
             "reason verdict_reason acceptance_reason break_even_reason interval_reason flags weights_note "
             "rate_source"),
         "verdict: {verdict|none}, {draft_tokens} proposals, {speedup} times as fast",
         "flattered by: one sequence at a time; with more of them checks cost more"),
        document=_speculated, adds={"kind": "measured"},
    ),
    "prefix": Command(
        ("prefix demo:gemma-3-270m --shared-tokens 512 --prompt-tokens 640 --usd-per-hour 0.10",),
        ("{rows.0.usable_tokens} of {asked.prompt_tokens} tokens of each later prompt are reused",
         Part("rows", "status token_hit_rate ttft_s=First_token,_prompt_read_whole,_s "
             "ttft_reused_s=First_token,_prefix_found,_s ttft_first_s=First_token,_filling_the_cache,_s "
             "ttft_saved_s=Saved_of_a_request_that_finds_it,_s saving=Saving_of_the_stream kept_bytes=Kept_prefix "
             "input_usd_per_mtok:USD/Mtok=Input,_read_whole,_a_million_tokens "
             "input_usd_per_mtok_reused:USD/Mtok=Input,_prefix_found,_a_million_tokens "
             "usd_saved_per_1k_requests:USD=Saved_by_1,000_that_find_it verdict", "{asked.model} at {asked.precision}",
             "streams of {asked.requests} prompts of {rows.0.text}; [95 % interval over processes]; measured on "
             "{rows.0.device}; $ derived, device busy", upright="precision", said=
             "reason verdict_reason interval_reason flags weights_note rate_source"),
         "flattered by: one request at a time, and a prefix that stays in memory",
         Part("api", "plain_usd=Without_its_cache cached_usd=With_its_cache saving:share "
             "break_even.reads_per_write:count=Pays_from,_reads_per_write break_even.hit_rate:share=as_a_hit_rate "
             "break_even.reason=Pays_never", "{api.provider} {api.model}", "the same stream of {asked.requests} "
             "requests; derived from {api.source}; smallest prompt not checked", upright="provider")),
        document=_prefixed, adds={"kind": "measured"},
    ),
    "distill": Command(
        ("distill demo:minilm --student static --task tickets.jsonl --requests-per-week 1000000",),
        (Part("row", "status metric teacher_score student_score retention speedup teacher_bytes student_bytes",
             "{asked.teacher} into a {asked.student} student", "{row.items} held-out items of {row.task}; [95 % "
             "interval]; measured on {row.device}", upright="student", said="reason speed_basis speed_reason "
             "steps_note"),
         Part("payback", "teacher_usd_per_million:USD=A_million_items,_teacher "
             "student_usd_per_million:USD=A_million_items,_student effort_usd retraining_usd=Each_retraining "
             "payback.weeks=Pays_back_in,_weeks payback.reason=Pays_back "
             "payback_requests_per_week=Items_a_week_that_pay_it_back_in_time reason=No_such_volume "
             "largest_usd_per_miss:USD=A_lost_answer_may_cost_at_most", "The money", "derived; volume to pay back "
             "within {payback.within_weeks} weeks", upright="-")),
        document=_distilled, adds={"kind": "measured"},
    ),
    "cost": Command(
        ("cost --prefill-tokens-per-s 30946 --decode-tokens-per-s 6612 --prompt-tokens 1000 --output-tokens 200 "
         "--device 'H100 SXM'",
         "cost --prefill-tokens-per-s 30946 --prompt-tokens 250 --output-tokens 0 --device L4"),
        (Part("rows", "precision+engine+convention=Configuration_and_split input_usd_per_mtok=Input "
             "output_usd_per_mtok=Output blended_usd_per_mtok=Blended usd_per_1k_requests:USD=1,000_requests "
             "usd_per_good_answer:USD=Good_answer usd_per_million_documents:USD=Million_documents",
             "cost of {asked.model|given speeds}", "USD per million tokens [low, high], and per what is named; "
             "derived from speed and rate; each split conserves the same bill", said="reason"),
         Part("rows", line="rate: {usd_per_hour} an hour for {rate_units} x {rate_devices_per_unit} at "
             "{rate_provider}, {rate_region|no region named}, {rate_commitment}, {rate_kind}, seen on "
             "{rate_observed_on}: {rate_source}")),
        adds={"kind": "derived"},
    ),
    "capacity": Command(
        ("capacity --requests-per-month 3000000 --requests-per-s 4 --batch 8 --device L4",),
        (Part("", "requests_per_month=Requests_per_month replicas=Replicas_at_most nodes=Nodes devices=Devices "
             "paid_device_hours_per_month=Paid_device_hours_per_month utilization.value:share=Utilization "
             "delayed_share=Requests_that_wait_for_a_start-up usd_per_month usd_per_1k_requests:USD=1,000_requests "
             "usd_per_1k_requests_at_full_use:USD=the_same_if_always_busy", "The fleet",
             "derived; utilization {utilization.kind}: {utilization.source}; a list price is exact, until it changes",
             upright="kind"),
         _RATE, "note: {reason}", "note: {warning}"),
        adds={"currency": "USD", "kind": "derived"},
    ),
    "owned": Command(
        ("owned --capex 280000 --life-years 4 --kw 10.2 --pue 1.3 --usd-per-kwh 0.12 --residual 28000",),
        (Part("", "capital:USD energy:USD hosting:USD staff:USD usd_per_hour:USD=The_whole_hour",
             "An hour of your own hardware", "{currency}; {kind}", upright="kind"),),
        fields="capital energy hosting staff usd_per_hour=total", adds={"currency": "USD", "kind": "derived"},
    ),
    "breakeven": Command(
        ("breakeven claude-haiku-4-5 --prompt-tokens 1000 --output-tokens 200 --prefill-tokens-per-s 30946 "
         "--decode-tokens-per-s 6612 --device 'H100 SXM'",),
        ("{verdict}: {reason}",
         Part("crossings", "requests_per_month=Requests_per_month tokens_per_month=Tokens_per_month "
             "cheaper_above=Cheaper_above steps=Steps"),
         "pays from {first_requests_per_month} requests per month on; for good from {last_requests_per_month} on",
         Part("", line="between {first_low|none} and {first_high|none}; for good between {last_low|none} and "
             "{last_high|none}", where=lambda row, _: row["first_low"] != row["first_high"]),
         Part("", line="a step is {replicas_per_step} replicas", where=lambda row, _: row["replicas_per_step"] > 1),
         _RATE, "at the favourable end: {favourable}, unfavourable: {unfavourable}"),
        adds={"kind": "derived"},
    ),
    "payback": Command(
        ("payback --capex 392000 --cloud 14400 --owned 11543 --amortization 8166.67 --life-months 48",
         "payback --effort 20000 --saving-per-request 0.002 --requests-per-week 500000"),
        (Part("", "capex_usd=Capital saving_usd_per_month months=Months_to_pay_back "
             "discounted_months=Months,_discounted npv_usd=Net_present_value "
             "irr_per_year:share=Internal_rate_of_return,_per_year effort_usd=Effort "
             "requests_per_week_needed=Requests_per_week_needed weeks=Weeks_to_pay_back "
             "requests=Requests_until_then first_weeks=Weeks_until_first_at_zero "
             "spread_weeks=Weeks,_retraining_spread "
             "sustaining_requests_per_week=Requests_per_week_that_pay_for_retraining", "Payback",
             "months, weeks and USD as named; derived", upright="kind"),
         "note: {reason}"),
    ),
    "usage": Command(
        ("usage calls-2026-10.jsonl.gz --invoice 1834.20 --out workloads.csv",),
        ("{read} records read, {used} used; export: {exports}; {answer.synthetic|}",
         "left out: {rejected}", "first at {places}", "note: {noted}", "broken: {broken_files}",
         Part("workloads", "workload requests_per_month=Requests/month input_tokens=Prompt "
             "cached_tokens=Of_it_cached output_tokens=Answer current_model=Model usd:USD=The_log", "Workloads",
             "means per request, measured over {observed_hours} hours; USD priced again, derived"),
         "bill priced again: {usd:USD}", "bill priced again: unknown: {reason}",
         "the log's own cost: {logged_usd}", "invoice: {invoice_usd}, difference {difference_usd|unknown}",
         "note: {price_notes}",
         Part("unpriced", line="not priced: {requests} requests of {model}: {reason}"),
         "workloads written to {asked.out}; fill in floor, limits and miss cost before a study uses them"),
        "OpenAI, Anthropic, LiteLLM, Langfuse, Helicone, OpenTelemetry GenAI, Codex and Claude Code logs are "
        "recognised.", fields="read used rejected noted places broken_files observed_hours workloads models profiles "
        "usd reason logged_usd invoice_usd difference_usd unpriced price_notes exports=dialects",
    ),
    "route": Command(
        ("route scores.csv --cost small=0.0003 --cost large=0.01 --miss-usd 0.05 --out policy.json",),
        ("routing pays: {routes}; {reason}", "goal: {goal}; {requests} requests, {dropped} left out, "
         "{repeated_prompts} of them with a prompt that came before",
         Part("models", "model score cost_usd=A_request", "Models"),
         Part("apgr", "router floor=Floor apgr:ratio=APGR over_floor:ratio=Over_the_best_other_floor "
             "cpt_50:share=CPT_50_% cpt_80:share=CPT_80_%", "Routers", "between {weak} and {strong}; an oracle "
             "reaches {oracle_apgr}; [95 % bootstrap over requests]; derived"),
         Part("candidates", "candidate=Way role score cost_usd=A_request saving_usd=Saving "
             "goal_usd=Counted_with_errors", "Ways to answer", "on the half that did not choose the thresholds; "
             "saving in pairs against the baseline", where=lambda row, _: row["keeps_quality"] or row["role"],
             order=lambda row: row["goal_usd"], most=12),
         "policy: {policy.rule|none, because routing is refused}"),
        fields="routes reason weak strong goal requests dropped models oracle_apgr curve aiq candidates policy "
        "repeated_prompts=repeated apgr=routers cpt=cpt threshold=policy.threshold", adds={"kind": "derived"},
    ),
    "focus": Command(
        ("focus demo --out focus.csv",
         "focus --usage requests.csv --out focus.parquet"),
        ("FOCUS {focus_version}, {rows} rows, billing periods from {billing_periods}",
         Part("totals", "ListCost:USD=ListCost ContractedCost:USD=ContractedCost BilledCost:USD=BilledCost "
             "EffectiveCost:USD=EffectiveCost"),
         _NOTES, _UNPRICED, "wrote {file}"),
    ),
    "plan": Command(
        ("plan data/studies/demo.yml",),
        (Part("assignments", "workload option usd_per_month probability_best=Best_in runner_up",
             "{answer.study.title}", "derived; [95 % of simulations]; 'best in' is their share"),
         "plan: {total.usd_per_month} per month", "baseline: {baseline.usd_per_month} per month",
         "saving: {saving.usd_per_month} per month",
         Part("information", "factor subject usd_per_month=Worth_a_month", "What is worth measuring next",
             where=lambda row, _: row["usd_per_month"] > 0, most=4),
         Part("notes", line="note: {it}", where=lambda row, _: row["it"].startswith("Not "))),
    ),
    "monitor": Command(
        ("monitor data/studies/demo.yml --no-answer",),
        (Part("rows", "workload/subject=Decision decision=Option_in_force holds n=Items new_n=New score floor "
             "e_value=e-value", "{answer.study.title}: decisions in force", "derived; an e-value of 1 / "
             "{alpha:ratio} ever reached is an alarm; all streams together alarm falsely with a probability of at "
             "most {false_alarm_rate}"),
         "{sentences|Every decision holds.}"),
        "Exits with 0 when every decision holds, with 1 when one does not or cannot be judged, so that cron or CI "
        "can act.", fields="holds sentences alpha rows study=study.name as_of=study.as_of looks=turns "
        "false_alarm_rate=study.monitor.false_alarm_rate", adds={"kind": "derived"},
    ),
    "run": Command(
        ("run data/studies/demo.yml",),
        _RUN,
        "Run it again to go on where it stopped.", fields="run_id files checks",
    ),
    "report": Command(
        ("report data/studies/demo.yml --out reports/demo",),
        _RUN,
        fields="run_id files checks",
    ),
    "batch": Command(
        ("batch data/batches/demo.yml --workers 2",),
        (Part("reports", "name status plan:USD/month=Total_cost_a_month saving:USD/month=Saving_a_month reason",
             caption="derived; [95 % of simulations]; wrong answers counted"),
         "open {index}"),
        "Run it again to go on where it stopped. Exits with 0 when every report is there and passes its checks, with "
        "1 when one does not, 2 before anything is written where the file, a study or a table is wrong.", fields=
        "out workers ok index batch=batch.file reports=documents",
    ),
    "check": Command(
        ("check reports/demo",),
        (Part("checks", line="ok  {name}: {detail}", where=lambda row, _: row["ok"]),
         Part("checks", line="FAILED  {name}: {detail}", where=lambda row, _: not row["ok"]),
         "{passed} checks passed"),
        document=_checked,
    ),
}  # fmt: skip

GROUPS = {
    "Look at this machine and at prices": "doctor price prices rates",
    "Measure models": "measure memory compare quality embed load speculate prefix distill",
    "Calculate costs": "cost capacity owned breakeven payback",
    "Read logs and decide": "usage route focus plan monitor",
    "Report": "run report batch check",
}
"""Every command by what a person wants."""
