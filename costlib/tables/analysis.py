"""Columns of the frames that notebooks work with: label, unit and default kind, one line each.

What is stored has its columns beside its table; a name that stands in neither takes its unit from its ending.
"""

from __future__ import annotations

from costlib.tables.schema import Column

_TABLE = """
before_usd_per_month | Cash cost today | USD/month | derived
after_usd_per_month | Cash cost of the plan | USD/month | derived
cash_saving_usd_per_year | Cash saving a year | USD/year | derived
net_saving_usd_per_month | Net saving, errors included | USD/month | derived
net_saving_usd_per_year | Net saving a year | USD/year | derived
runner_up | Next best | |
gap_errors_usd_per_month | Of it errors | USD/month | derived
change_share | Change needed | share | derived
down_factor | Down to | ratio | derived
up_factor | Up to | ratio | derived
net_usd_per_month | Value less cost | USD/month | derived
price_multiple | Still pays if prices rise to | ratio | derived
worth_usd_per_month | Worth knowing | USD/month | derived
list_usd_per_mtok | List price | USD/Mtok | quoted
times_factor | Times the cheapest that qualifies | ratio | derived
room_factor | Times the assumed cost of an error | ratio | derived
value | Value and range | by row |
asked_share | Share of requests | share | assumed
option | Served by | |
baseline_option | Today | |
to_option | Moves to | |
factor | Input | |
could_change | Could move | |
requests_per_month | Requests | requests/month | assumed
input_tokens | Prompt | tokens | assumed
cached_tokens | Of it cached | tokens | assumed
output_tokens | Answer | tokens | assumed
quality_floor | Required | share | assumed
miss_cost_usd | Cost of an error | USD | assumed
success_rate | Right answers | share |
input_usd_per_mtok | Input price | USD/Mtok | quoted
cache_read_usd_per_mtok | Cached input | USD/Mtok | quoted
output_usd_per_mtok | Output price | USD/Mtok | quoted
usd_per_month | Total cost | USD/month | derived
use_usd_per_month | Model use | USD/month | derived
idle_usd_per_month | Idle capacity | USD/month | derived
errors_usd_per_month | Errors | USD/month | derived
upkeep_usd_per_month | Own staff | USD/month | derived
cash_usd_per_month | Cash cost | USD/month | derived
saving_usd_per_month | Saving | USD/month | derived
gap_usd_per_month | Next best costs more by | USD/month | derived
probability_best | Chance to be best | probability | derived
moved_count | Workloads that move | count | derived
input | Input | |
now | Today | by row |
flips_at | Changes at | by row |
plan_usd_low | At the low end | USD/month | derived
plan_usd_high | At the high end | USD/month | derived
usd_per_hour | Hourly rate | USD/hour | quoted
peak_busy_share | Busy in the peak hour | share | derived
mean_busy_share | Busy on average | share | derived
replicas_count | Machines | count | derived
workloads_count | Workloads | count | derived
prefill_tokens_per_s | Reading speed | tokens/s |
decode_tokens_per_s | Writing speed | tokens/s |
probability_pays | Chance that it pays | probability | derived
cheaper_probability | Chance that the plan is cheaper | probability | derived
draws_count | Draws | count | derived
tokens_usd_per_month | Tokens | USD/month | derived
judge_usd_per_month | Judging answers | USD/month | derived
at_low_usd_per_month | At the low end | USD/month | derived
at_high_usd_per_month | At the high end | USD/month | derived
slower_ratio | Times slower than the fastest | ratio | derived
spread_factor | Dearest over cheapest | ratio | derived
ttft_s | Time to first token | s | measured
weight_bytes | Weights | bytes | measured
ppl_ratio | Perplexity, times the baseline's | ratio | measured
ppl_rolling | Perplexity | perplexity | measured
ppl_p_value | Difference, p-value | p-value | measured
kl_mean | KL divergence | nats/token | measured
top1_agreement | Same first token | share | measured
bits_per_byte | Bits per byte | bit/byte | measured
gate | Gate | |
load | Load | |
offered_per_s | Offered | requests/s | measured
rate_per_s | Asked for | requests/s | assumed
ttft_scheduled_s | Time to first token | s | measured
stream_tpot_s | Time per token after it | s | measured
e2e_scheduled_s | Time of the whole answer | s | measured
latency_s | Seconds | s | measured
requests_per_s | Answered | requests/s | measured
output_tokens_per_s | Written | tokens/s | measured
input_tokens_per_s | Read | tokens/s | measured
in_flight | Under way | requests | measured
good_share | Kept the promise | share | measured
slo_share | Share that must | share | assumed
goodput_requests_per_s | Goodput | requests/s | measured
goodput_tokens_per_s | Goodput in tokens | tokens/s | measured
offered | Came | requests | measured
ok | Answered whole | requests | measured
cut | Cut | requests | measured
empty | Empty | requests | measured
shorter | Of them shorter than asked | requests | measured
acceptance | Acceptance | share | measured
tokens_per_check | Tokens per check | tokens | measured
draft_cost | Draft step | ratio | measured
check_cost | Check | ratio | measured
predicted_speedup | Predicted speed-up | ratio | derived
decode_speedup | Speed-up of decoding | ratio | measured
speedup | Speed-up | ratio | measured
token_hit_rate | Token hit rate | share | derived
usable_tokens | Prompt tokens kept | tokens | derived
saving | Saved of the time to first token | share | measured
ttft_reused_s | Prefix found | s | measured
ttft_first_s | Filling the cache | s | measured
kept_bytes | Kept bytes | bytes | measured
depth_loss | Loss against the baseline | nats/token | derived
growth | Loss in the deeper half less that in the first | nats/token | derived
growth_p_value | Test, by Holm | p-value | derived
deeper_tokens | Deeper half from | tokens | derived
success | Wholly right | share | measured
difference | Difference | points | measured
gained | Gained | items | measured
lost | Lost | items | measured
p_holm | Test, by Holm | p-value | measured
n | Asked | items | measured
failed | Unanswered | items | measured
missing_count | Not answered yet | count | measured
usd_per_good_answer | Cost of a good answer | USD/good answer | derived
success_items | Scored on | items | measured
gate_reason | Why | |
end_to_end_tokens_per_s | End to end | tokens/s | measured
processes | Processes | processes | measured
samples | Samples | samples | measured
weight_bytes_expected | Weights, predicted | bytes | derived
kv_cache_bytes | Key-value cache | bytes | measured
kv_cache_bytes_expected | Cache, predicted | bytes | derived
peak_bytes | Peak | bytes | measured
load_peak_bytes | While loading | bytes | measured
allocator_allocated_peak_bytes | Allocated | bytes | measured
allocator_reserved_peak_bytes | Reserved | bytes | measured
process_peak_bytes | Process | bytes | measured
device_over_idle_peak_bytes | Device over idle | bytes | measured
mbu | Decode: bandwidth | share | derived
mfu | Decode: arithmetic | share | derived
prefill_mbu | Prefill: bandwidth | share | derived
prefill_mfu | Prefill: arithmetic | share | derived
mbu_spec | Decode: bandwidth of the data sheet | share | derived
decode_bound | Decode bound by | |
prefill_bound | Prefill bound by | |
energy_gross_j | Gross | J | measured
energy_idle_j | Idle | J | derived
energy_net_j | Net | J | derived
energy_j_per_output_token | Net per new token | J/token | derived
energy_j_per_token | Net per token | J/token | derived
output_to_input_price_ratio | Output over input price | ratio | quoted
tried_count | Configurations | count | derived
student_name | Student | |
teacher | Teacher | |
metric | Score is | |
retention | Score kept | share | measured
speedup | Speed-up | ratio | measured
teacher_score | Teacher's score | share | measured
student_score | Student's score | share | measured
teacher_usd_per_million | Teacher's cost | USD/million items | derived
student_usd_per_million | Student's cost | USD/million items | derived
effort_usd | Effort | USD | derived
retraining_usd | Each retraining | USD | derived
payback_weeks | Paid back for good | weeks | derived
payback_requests_per_week | Volume that pays in a year | items/week | derived
largest_usd_per_miss | A lost answer may cost | USD/answer | derived
requests_per_week | Items a week | items/week | assumed
held_out_items | Held-out items | items | measured
subject | Decision | |
verdict | Holds | |
instead | The plan chooses now | |
items | Items | items | measured
new_items | New items | items | measured
floor | Floor | share |
e_value | Evidence now | e-value | derived
alarm_from | Alarm from | e-value | derived
ever_alarmed | Ever alarmed | |
held_count | Decisions that hold | count | derived
watched_count | Decisions in force | count | derived
false_alarm_probability | False-alarm rate | probability | assumed
candidate | Way to answer | |
way | Kind | |
part | Role | |
cost_usd_per_request | Cost | USD/request | derived
saving_usd_per_request | Saved | USD/request | derived
goal_usd_per_request | Reporting half | USD/request | derived
choosing_usd_per_request | Choosing half | USD/request | derived
goal_usd | Cost of an error | USD | assumed
goal_share | Share to keep | share | assumed
last_asked_share | Last model asked | share | derived
threshold | Threshold | score | derived
aiq | Score reached on average | share | derived
apgr | Gap recovered | share | derived
over_floor | Beyond the best other floor | points | derived
cpt_50 | Strong calls for half | share | derived
cpt_80 | For four fifths | share | derived
share_strong | Share sent to the stronger model | share | derived
pgr | Gap recovered | share | derived
beyond_coin_share | Recovered beyond a coin | share | derived
calibration_error | Calibration error | points | derived
brier | Brier score | squared error | derived
on_hull | On the hull | |
answered_share | Share answered | share | derived
wrong_share | Of them wrong | share | derived
term_weight | Weight | score | derived
terms_count | Terms | count | derived
usd | Cost | USD |
logged_usd | The log's own cost | USD |
invoice_usd | Invoice | USD |
difference_usd | Invoice beyond list prices | USD | derived
spend_share | Share of the spend | share | derived
current_model | Model | |
provider | Provider | |
observed_hours | Observed | hours |
used_share | Records used | share | derived
records_count | Count | count |
token_kind | Tokens | |
request_tokens | Length of a request | tokens |
mean_tokens | Mean | tokens |
median_tokens | Median | tokens |
p95_tokens | One in twenty above | tokens |
p99_tokens | One in a hundred above | tokens |
times_median | Times the median | ratio | derived
repeated_prefix_share | Prompt that repeats | share |
cached_share | Input read from a cache | share | derived
unread_share | Repeats, not cached | share | derived
busiest_hour_share | Busiest hour | share | derived
busiest_weekday_share | Busiest day | share | derived
"""


def _declared() -> dict[str, Column]:
    found = {}
    for line in _TABLE.strip().splitlines():
        name, label, unit, kind = (part.strip() for part in line.split("|"))
        found[name] = Column(name, "number", label, unit, label=label, kind=kind)
    return found


DECLARED: dict[str, Column] = _declared()
