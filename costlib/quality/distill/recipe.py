"""What a student is made with: the settings its kind has, checked, and nothing that does not change it."""

from __future__ import annotations

from typing import Any

from costlib.errors import bad
from costlib.models.load import check_device
from costlib.models.precision import precision as known_precision
from costlib.tables import STUDENTS

FEATURES = ("static", "tfidf")
_SETTINGS = {
    "static": ("width",),
    "layers": ("steps", "every", "batch"),
    "soft": ("steps", "features", "width", "temperature", "alpha"),
    "language": ("steps", "every", "temperature", "alpha", "window", "batch", "held_out"),
}
_LEAST = {"steps": 1, "every": 2, "width": 1, "window": 8, "batch": 1, "held_out": 2}


def idle(student: str, features: str) -> list[str]:
    """Options of `distill` that say nothing for this kind of student."""
    used = (*_SETTINGS[student], *(() if student == "language" else ("test",)), *(["unlabelled"] * (student == "soft")))
    every = [*dict.fromkeys(name for names in _SETTINGS.values() for name in names), "test", "unlabelled"]
    return [name for name in every if name not in used or (name == "width" and features == "tfidf")]


def recipe_of(student: str, device: str, precision: str, given: dict[str, Any]) -> dict[str, Any]:
    """The teacher's precision and those of the settings `given` that this kind of student has.

    Raises `InputError` for an unknown kind, a precision without dense weights or unknown on `device`, and any setting
    out of its range, of this kind or not.
    """
    if student not in STUDENTS:
        raise bad("student", student, STUDENTS)
    check_device(known_precision(precision), device)
    if known_precision(precision).method != "dense":
        raise bad("precision", precision, "fp32, bf16 or fp16: a student is made from dense weights")
    if given["features"] not in FEATURES:
        raise bad("features", given["features"], FEATURES)
    for field, least in _LEAST.items():
        count = given[field]
        if isinstance(count, bool) or not isinstance(count, int) or not least <= count <= 10**7:
            raise bad(field, count, f"a whole number from {least} on")
    if not 0 < given["temperature"] < 1e3:
        raise bad("temperature", given["temperature"], "a number above 0")
    if not 0 <= given["alpha"] <= 1:
        raise bad("alpha", given["alpha"], "a number from 0 (hard labels) to 1 (soft labels)")
    return {"precision": precision} | {name: given[name] for name in _SETTINGS[student]}
