"""Whether a confidence means what it says: expected calibration error, Brier score, and coverage against error."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from costlib.errors import bad

BINS = 15


def calibration_error(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = BINS) -> float:
    """ECE over `bins` bins of equal mass: mean of |share right - mean confidence|, weighted by the bin's size."""
    stated, was = _pair(confidence, right)
    parts = np.array_split(np.argsort(stated, kind="stable"), min(bins, len(stated)))
    return float(sum(len(part) * abs(was[part].mean() - stated[part].mean()) for part in parts) / len(stated))


def brier(confidence: npt.ArrayLike, right: npt.ArrayLike) -> float:
    """Mean squared distance of the confidence from the outcome (Brier 1950): 0 is perfect, always 0.5 gives 0.25."""
    stated, was = _pair(confidence, right)
    return float(((stated - was) ** 2).mean())


def coverage_error(confidence: npt.ArrayLike, right: npt.ArrayLike) -> list[tuple[float, float, float]]:
    """(threshold, coverage, error): answering from a confidence on, which share is answered and how often wrong."""
    stated, was = _pair(confidence, right)
    order = np.argsort(-stated, kind="stable")
    wrong, ends = np.cumsum(1 - was[order]), np.flatnonzero(np.append(np.diff(stated[order]) != 0, True))
    return [
        (float(stated[order][end]), (end + 1) / len(stated), float(wrong[end] / (end + 1))) for end in ends.tolist()
    ]


def _pair(confidence: npt.ArrayLike, right: npt.ArrayLike) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    stated, was = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if stated.shape != was.shape or stated.ndim != 1 or not len(stated):
        raise bad("confidence", f"{stated.size} values", f"one for each of {was.size} answers")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise bad("confidence", float(stated[~((stated >= 0) & (stated <= 1))][0]), "a probability from 0 to 1")
    return stated, was
