"""One study file: typed, validated, with messages a person can act on.

A study is one YAML file that says what to measure, which workloads there are, which options could serve them, what is
assumed, and from where each number comes. `load_study` reads it once; every message names file and line, the field, the
value and what is allowed. Paths inside the file are relative to it. `Study.hash` covers the YAML and the tables it
names, so that a report can say exactly what it was made from. `use_cases` may name a table of what nobody serves yet,
in the columns of `workloads`: it is not part of the plan, which says at which option and price it would pay.

Every assumption is a value with a low and a high end, a unit, a kind and a source. The ends are read as the range the
value is believed to lie in; risk.py of the portfolio room draws from it.
"""

from costlib.study.batch import Batch, BatchReport, load_batch
from costlib.study.file import Study
from costlib.study.load import load_study, place_in
from costlib.study.options import (
    AnyOption,
    ApiOption,
    CascadeOption,
    DistilledOption,
    HumanOption,
    Latency,
    MeasuredOption,
    QuotedOption,
    RouterOption,
    SelfHosted,
    Together,
)
from costlib.study.parts import Assumption, BaselineException, MonitorSpec, TaskSpec

__all__ = [
    "AnyOption",
    "ApiOption",
    "Assumption",
    "BaselineException",
    "Batch",
    "BatchReport",
    "CascadeOption",
    "DistilledOption",
    "HumanOption",
    "Latency",
    "MeasuredOption",
    "MonitorSpec",
    "QuotedOption",
    "RouterOption",
    "SelfHosted",
    "Study",
    "TaskSpec",
    "Together",
    "load_batch",
    "load_study",
    "place_in",
]
