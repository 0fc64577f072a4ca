"""APGR, exact, beside its two published approximations: the trapezoid over 11 shares, and the mean of 10 of them.

.venv/bin/python benchmarks/apgr.py
"""

from __future__ import annotations

import json

import numpy as np

from costlib.portfolio.routing.curve import router_curve


def main() -> None:
    """Print the exact value, and how far both approximations lie from it, for routers of rising skill."""
    rows = []
    chance = np.random.default_rng(0)
    grid = np.linspace(0, 1, 11)
    for size in (100, 1000, 10_000):
        for skill in (0.0, 0.5, 1.0, 3.0):
            weak, strong = chance.random((2, size)) < np.array([[0.6], [0.8]])
            curve = router_curve(weak, strong, skill * (strong * 1.0 - weak) + chance.normal(size=size))
            exact = float(curve.apgr or 0)
            found = {"trapezoid": np.trapezoid(curve.pgr(grid), grid), "mean of ten": curve.pgr(grid[1:]).mean()}
            apart = ", ".join(f"{name} {value - exact:+.4f}" for name, value in found.items())
            rows.append({"requests": size, "skill": skill, "exact": exact, **found})
            print(f"{size:>6} requests, skill {skill}: exact {exact:.4f}, {apart}")
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
