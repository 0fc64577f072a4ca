"""Metrics of a router between a weak and a strong model, exact, and whether a model's confidence means what it says.

A router gives every request a score; the higher, the more it asks for the strong model. Sending the share c with the
highest scores to the strong model gives the quality r(c), and PGR(c) = (r(c) - r_w) / (r_s - r_w) is the performance
gap recovered (Ong et al. 2024, RouteLLM, section 3). Requests with equal scores cannot be told apart, so within a tie
r is linear: the average over every order of the tied requests.

A router is bound to its order: at c = 1 everything goes to the strong model. The oracle knows each request's scores
and may stop earlier, so its curve is "at most the share c"; only then is it the upper bound of every router.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from costlib.errors import invalid_input

Array = npt.NDArray[np.float64]
BINS = 15


@dataclass(frozen=True)
class RouterCurve:
    """Mean quality `quality[k]` when the share `share[k]` goes to the strong model; linear in between."""

    share: Array
    quality: Array
    weak: float
    strong: float

    @property
    def gap(self) -> float | None:
        """r_s - r_w, or None where the two are equal and PGR is undefined."""
        return self.strong - self.weak if self.strong != self.weak else None

    def pgr(self, share: float | Array) -> Array:
        """Performance gap recovered at one or more shares; NaN where it is undefined."""
        recovered = np.interp(share, self.share, self.quality) - self.weak
        return np.asarray(recovered / self.gap if self.gap else np.full_like(recovered, np.nan), dtype=np.float64)

    @property
    def apgr(self) -> float | None:
        """Integral of PGR over the share, exact: the curve is piecewise linear. None where PGR is undefined."""
        return None if self.gap is None else float(np.trapezoid(self.pgr(self.share), self.share))

    def cpt(self, recovered: float) -> float | None:
        """Call-performance threshold: the smallest share whose PGR first reaches `recovered`; None if none does."""
        if self.gap is None:
            return None
        values = self.pgr(self.share)
        at = int(np.argmax(values >= recovered - 1e-12))
        if values[at] < recovered - 1e-12:
            return None
        if at == 0:
            return 0.0
        step = (recovered - values[at - 1]) / (values[at] - values[at - 1])
        return float(self.share[at - 1] + min(1.0, step) * (self.share[at] - self.share[at - 1]))


def router_curve(weak: npt.ArrayLike, strong: npt.ArrayLike, score: npt.ArrayLike) -> RouterCurve:
    """The curve of a router from per-request scores of both models and the router's own `score` (n each)."""
    r_w, r_s, asked = (_series(n, v) for n, v in (("weak", weak), ("strong", strong), ("score", score)))
    if not len(r_w) == len(r_s) == len(asked):
        raise invalid_input("score", f"{len(asked)} requests", f"as many as the models have, {len(r_w)} and {len(r_s)}")
    _, group = np.unique(-asked, return_inverse=True)
    size, gain = np.bincount(group), np.bincount(group, r_s - r_w)
    n = len(r_w)
    share = np.concatenate([[0.0], np.cumsum(size) / n])
    quality = r_w.mean() + np.concatenate([[0.0], np.cumsum(gain) / n])
    return RouterCurve(share, quality, float(r_w.mean()), float(r_s.mean()))


def resampled_apgr(weak: Array, strong: Array, score: Array, counts: Array) -> Array:
    """`apgr` of each resample; `counts` says how often a resample holds each of the n requests (resamples x n).

    NaN where PGR is undefined.
    """
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(score[order]) != 0))
    held = counts[:, order]
    size = np.add.reduceat(held, starts, axis=1) / held.sum(axis=1, keepdims=True)
    gain = np.add.reduceat(held * (strong - weak)[order], starts, axis=1) / held.sum(axis=1, keepdims=True)
    reached = np.cumsum(gain, axis=1)
    area = (size * (reached - gain / 2)).sum(axis=1)
    gap = reached[:, -1]
    return np.asarray(np.divide(area, gap, out=np.full(len(gap), np.nan), where=gap != 0), dtype=np.float64)


def oracle_curve(weak: npt.ArrayLike, strong: npt.ArrayLike) -> RouterCurve:
    """The best any router can reach with at most the share c of strong calls: it keeps what the weak model does better.

    Sorted by the gain, its quality rises while the gain is positive and then stays.
    """
    r_w, r_s = _series("weak", weak), _series("strong", strong)
    sorted_ = router_curve(r_w, r_s, r_s - r_w)
    best = np.maximum.accumulate(sorted_.quality)
    return RouterCurve(sorted_.share, best, sorted_.weak, sorted_.strong)


def hull(cost: npt.ArrayLike, quality: npt.ArrayLike) -> tuple[Array, Array]:
    """Non-decreasing upper convex hull of points in the cost-quality plane: what mixing options at random can reach."""
    x, y = _series("cost", cost), _series("quality", quality)
    order = np.lexsort((-y, x))
    kept: list[tuple[float, float]] = []
    for point in zip(x[order].tolist(), y[order].tolist(), strict=True):
        if kept and point[1] <= kept[-1][1]:
            continue  # dearer and not better
        while len(kept) > 1 and _cross(kept[-2], kept[-1], point) >= 0:
            kept.pop()
        kept.append(point)
    return np.array([p[0] for p in kept]), np.array([p[1] for p in kept])


def aiq(cost: npt.ArrayLike, quality: npt.ArrayLike, least: float, most: float) -> float | None:
    """Average improvement in quality: area under the hull over [least, most], divided by its width (Hu et al. 2024).

    Left of the cheapest point the quality is 0, since nothing can be had for less; right of the best it stays. None
    where the range has no width.
    """
    if not most > least:
        return None
    x, y = hull(cost, quality)
    inside = x[(x > least) & (x < most)]
    grid = np.concatenate([[least], inside, [most]])
    values = np.interp(grid, x, y)
    values[grid < x[0]] = 0.0
    if least < x[0] < most:  # a jump from 0, not a slope
        area = float(np.trapezoid(values[grid >= x[0]], grid[grid >= x[0]]))
        return area / (most - least)
    return float(np.trapezoid(values, grid)) / (most - least)


def _cross(first: tuple[float, float], middle: tuple[float, float], last: tuple[float, float]) -> float:
    """Above 0 where `middle` lies below the line from `first` to `last`."""
    (x0, y0), (x1, y1), (x2, y2) = first, middle, last
    return (x1 - x0) * (y2 - y0) - (y1 - y0) * (x2 - x0)


def _series(name: str, values: npt.ArrayLike) -> Array:
    series = np.asarray(values, dtype=np.float64)
    if series.ndim != 1 or not len(series):
        raise invalid_input(name, f"{series.size} values", "one number for each request")
    if not np.isfinite(series).all():
        raise invalid_input(name, float(series[~np.isfinite(series)][0]), "finite numbers")
    return series


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


def _pair(confidence: npt.ArrayLike, right: npt.ArrayLike) -> tuple[Array, Array]:
    stated, was = np.asarray(confidence, dtype=np.float64), np.asarray(right, dtype=np.float64)
    if stated.shape != was.shape or stated.ndim != 1 or not len(stated):
        raise invalid_input("confidence", f"{stated.size} values", f"one for each of {was.size} answers")
    if not ((stated >= 0) & (stated <= 1)).all():
        raise invalid_input(
            "confidence", float(stated[~((stated >= 0) & (stated <= 1))][0]), "a probability from 0 to 1"
        )
    return stated, was
