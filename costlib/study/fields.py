"""Types of the fields of a study, each with the message a wrong value gets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from costlib.devices import WIDTHS
from costlib.read import near
from costlib.tables import ENGINES, PRECISIONS


def as_number(value: object) -> object:
    """Refuse what only looks like a number, such as true or a quoted 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise PydanticCustomError("allowed", "a number")
    return value


def as_tuple(value: object) -> object:
    """A list as a tuple, and one value as a tuple of it."""
    return tuple(value) if isinstance(value, list) else (value,)


def as_batch(value: object) -> object:
    """Refuse what is neither a number of sequences nor the word for as many as fit."""
    if value == "max" or (isinstance(value, int) and not isinstance(value, bool) and 1 <= value < 10**7):
        return value
    raise PydanticCustomError("allowed", "a whole number from 1 to 10,000,000, or max")


def one_of(names: Sequence[str]) -> Callable[[str], str]:
    """A check that a name is one of `names`; its message says the nearest."""

    def check(value: str) -> str:
        if value not in names:
            raise PydanticCustomError("allowed", near(value, names))
        return value

    return check


Number = Annotated[float, BeforeValidator(as_number), Field(ge=0, lt=1e15, allow_inf_nan=False)]
Positive = Annotated[float, BeforeValidator(as_number), Field(gt=0, lt=1e15, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(as_number), Field(ge=0, le=1)]
Count = Annotated[int, BeforeValidator(as_number), Field(ge=1, lt=10**15)]
Batch = Annotated[int | str, BeforeValidator(as_batch)]
"""Sequences run together, or `max`: as many as fit."""
Money = Annotated[Decimal, BeforeValidator(as_number), Field(gt=0, lt=10**15, allow_inf_nan=False)]
Text = Annotated[str, Field(min_length=1)]
Parameter = Annotated[
    bool | int | float | str, BeforeValidator(lambda value: value.isoformat() if isinstance(value, date) else value)
]
"""A notebook's parameter: a day, which YAML reads without quotes, is its text."""
Precision = Annotated[str, AfterValidator(one_of((*PRECISIONS, *WIDTHS)))]
Engine = Annotated[str, AfterValidator(one_of(ENGINES))]


class Part(BaseModel):
    """A part of a study: values that do not change, and no field that is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid")
