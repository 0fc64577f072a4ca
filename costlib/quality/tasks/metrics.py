"""The score of one answer, from 0 to 1, and what it is made of.

classification  1 if the choice named by the answer is the expected one
extraction      F1 over the fields: a field is right when its value equals the expected one, spelling aside; `exact`
                when all are right and none was added; `valid_json` when the whole answer is JSON
exact           1 if the answer equals an expected one, spelling aside (case, white space, a closing full stop)
numeric         1 if the last number of the answer equals the expected one to one part in a million
regex           1 if the pattern is found in the answer
retrieval       nDCG at 10 with relevance 0 or 1 (Jarvelin and Kekalainen 2002); recall at 10 beside it
preference      1 for a win, a half for a tie, 0 for a loss of the model named first
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from costlib.quality.tasks.items import TIE, Item

AT = 10
"""Documents of a ranking that are looked at."""
_NUMBER = re.compile(r"-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][-+]?\d+)?|-?\.\d+")
_FENCE = re.compile(r"^\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


class Scored(NamedTuple):
    """A score from 0 to 1 and its details, in JSON types."""

    score: float
    detail: dict[str, Any] = {}  # noqa: RUF012 - of a tuple, which nobody changes


def score_answer(kind: str, item: Item, answer: str) -> Scored:
    """Score an answer to an item; a retrieval answer is a JSON list of choice numbers, best first."""
    expected = item.expected
    if kind == "classification":
        found = chosen(answer, item.choices)
        return Scored(float(found == expected), {"choice": found})
    if kind == "extraction":
        fields, valid = json_object(answer)
        right = sum(name in fields and _same(fields[name], value) for name, value in expected.items()) if fields else 0
        score = 2 * right / (len(fields or ()) + len(expected))
        exact = fields is not None and right == len(expected) == len(fields)
        return Scored(score, {"valid_json": valid, "exact": exact})
    if kind == "exact":
        allowed = expected if isinstance(expected, list) else [expected]
        return Scored(float(spelled(answer) in map(spelled, allowed)))
    if kind == "numeric":
        number = last_number(answer)
        right = number is not None and math.isclose(number, expected, rel_tol=1e-6, abs_tol=1e-9)
        return Scored(float(right), {"number": number})
    if kind == "regex":
        return Scored(float(re.search(expected, answer) is not None))
    if kind == "retrieval":
        relevant = [float(item.choices[number] in expected) for number in json.loads(answer)]
        return Scored(ndcg(relevant), {"recall": sum(relevant[:AT]) / len(expected)})
    return Scored(0.5 if answer == TIE else float(answer == item.choices[0]))


def spelled(text: object) -> str:
    """A text without case, double white space, surrounding quotes and a closing full stop."""
    plain = " ".join(str(text).split()).casefold()
    return plain.strip("\"'`*").removesuffix(".").strip("\"'`* ")


def chosen(answer: str, choices: Sequence[str]) -> str | None:
    """The choice an answer names: equal to it or to its first line, or the only one it mentions; else None."""
    by_spelling = {spelled(choice): choice for choice in choices}
    plain = spelled(answer)
    for text in (plain, spelled(answer.strip().split("\n")[0])):
        if text in by_spelling:
            return by_spelling[text]
    named = {name for name in by_spelling if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", plain)}
    apart = [name for name in named if not any(name != other and name in other for other in named)]
    return by_spelling[apart[0]] if len(apart) == 1 else None


def last_number(answer: str) -> float | None:
    """The last number written in a text, thousands separators removed; None without one."""
    found = _NUMBER.findall(answer)
    return float(found[-1].replace(",", "")) if found else None


def json_object(answer: str) -> tuple[dict[str, Any] | None, bool]:
    """The first JSON object of a text (None without one), and whether the whole text, fences aside, is that object."""
    fenced = _FENCE.match(answer)
    text = (fenced.group(1) if fenced else answer).strip()
    start = text.find("{")
    try:
        value, end = json.JSONDecoder().raw_decode(text, max(start, 0))
    except (json.JSONDecodeError, RecursionError):
        return None, False
    return (value, start == 0 and end == len(text)) if isinstance(value, dict) else (None, False)


def _same(found: Any, expected: Any) -> bool:
    """Equal, spelling aside; a number may be written as text, a list is compared in any order."""
    if isinstance(expected, list):
        return isinstance(found, list) and _texts(found) == _texts(expected)
    if isinstance(expected, dict):
        same = isinstance(found, dict) and found.keys() == expected.keys()
        return same and all(_same(found[name], value) for name, value in expected.items())
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        try:
            number = math.nan if isinstance(found, bool) else float(str(found).replace(",", ""))
        except ValueError:
            return False
        return math.isclose(number, expected, rel_tol=1e-9)
    return found == expected or (isinstance(found, type(expected)) and spelled(found) == spelled(expected))


def _texts(values: Sequence[Any]) -> list[str]:
    return sorted(spelled(json.dumps(one, sort_keys=True)) for one in values)


def ndcg(relevant: Sequence[float]) -> float:
    """nDCG at 10 of ranked relevances: sum of r / log2(rank + 1) over that of the ideal order; 0 without any."""
    gain, ideal = (
        sum(value / math.log2(rank + 1) for rank, value in enumerate(values[:AT], 1))
        for values in (relevant, sorted(relevant, reverse=True))
    )
    return gain / ideal if ideal else 0.0
