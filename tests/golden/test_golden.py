"""What costlib answers is what is recorded; see record.py for what that is and how to record a case again."""

from __future__ import annotations

from pathlib import Path

import pytest
from golden import record


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow if case in record.SLOW else ()) for case in record.CASES]
)
def test_nothing_changed_that_was_not_recorded_again(case: str, tmp_path: Path) -> None:
    found = record.differences(case, record.made(case, tmp_path / "bench"))
    assert not found, f"{len(found)} fields of {case} changed\n{record.shown(found)}"
