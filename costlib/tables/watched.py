"""The table of looks: what watching a study's decisions found, look by look."""

from __future__ import annotations

from costlib.figure import KINDS
from costlib.tables.schema import Column, Table, interval

MONITORING = Table(
    "monitoring",
    "One look at one decision of a study: its stream of answers, if it has one, and whether it still holds.",
    (
        Column("run_id", "text", "unique id of the look and name of the file", required=True),
        Column("started_at", "text", "UTC, ISO 8601, of the look", required=True),
        Column("study", "text", "name of the study", required=True),
        Column("as_of", "text", "date of the prices the plan was made with, YYYY-MM-DD"),
        Column("subject", "text", "what was decided", required=True, allowed=("workload", "routing policy")),
        Column("workload", "text", "workload the decision is about; unknown for a routing policy"),
        Column("decision", "text", "option or policy in force; unknown where none meets the requirements"),
        Column("task", "text", "task whose answers are watched, or the file of a policy's rows; unknown without one"),
        Column("model", "text", "model that answered them"),
        Column("precision", "text", "how its weights were held"),
        Column("since", "text", "UTC, ISO 8601: only answers after it count; unknown: all count"),
        Column("skipped", "integer", "items left out, because they came before", "items", minimum=0),
        Column("rows_sha256", "text", "hash of a policy's requests up to this look, by which they are known again"),
        Column("n", "integer", "items watched", "items", minimum=0),
        Column("new_n", "integer", "of them not seen at the look before", "items", minimum=0),
        Column("score", "number", "share of them answered wholly right, or mean score of a policy", "share", minimum=0),
        Column("score_low", "number", "lower end of its confidence sequence at level 1 - alpha", "share", minimum=0),
        Column("score_high", "number", "upper end of its confidence sequence at level 1 - alpha", "share", minimum=0),
        Column("floor", "number", "score below which the decision does not hold", "share", minimum=0),
        Column("floor_basis", "text", "where the floor comes from, or why there is none"),
        Column("alpha", "number", "false-alarm rate of this stream, over its whole life", "probability", minimum=0),
        Column(
            "e_value", "number", "evidence of a score below the floor: 1 is none, 1/alpha alarms", "ratio", minimum=0
        ),
        Column("alarm", "flag", "whether it ever alarmed since the watch began; unknown without a floor"),
        Column("instead", "text", "what the plan would choose now, where that is something else"),
        *interval(
            "saving_usd", "what that would save a month; of a policy, what it saves per request", "USD", signed=True
        ),
        Column("holds", "flag", "whether the decision still holds; unknown where it cannot be judged"),
        Column("reason", "text", "why it holds, does not, or cannot be judged", required=True),
        Column("kind", "text", "always derived", required=True, allowed=KINDS),
    ),
)
