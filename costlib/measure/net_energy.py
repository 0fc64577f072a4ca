"""Gross, idle and net energy over the windows of several processes, and net energy per token with its interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from costlib.measure.disturbance import FOREIGN
from costlib.measure.estimate import ends, estimate
from costlib.tables.schema import is_null


def energy_columns(
    windows: Sequence[Mapping[str, Any]], passes: Sequence[int], tokens: Mapping[str, int]
) -> dict[str, Any]:
    """Columns of energy, from one window for each process and how often it did the work; null with the reason else.

    A window has the raw columns energy_j, energy_idle_w, energy_window_s, energy_scope, energy_reason and flags.
    `tokens` says for each column of J per token how many tokens one pass is. A window in which something else used the
    device holds that energy, too, and is left out.
    """
    known = [(w, count) for w, count in zip(windows, passes, strict=True) if not is_null(w["energy_j"])]
    if not known:
        return {}
    flag = FOREIGN.get(str(known[0][0]["energy_scope"]), "")
    own = [(w, n) for w, n in known if not (flag and any(text.startswith(flag) for text in w["flags"]))]
    if not own:
        return {"energy_reason": f"{flag} in every window, and its energy cannot be told apart"}
    gross = sum(float(w["energy_j"]) for w, _ in own)
    if any(is_null(w["energy_idle_w"]) for w, _ in own):
        return {"energy_gross_j": gross, "energy_reason": "idle power was not measured, so there is no net energy"}
    idles = [float(w["energy_idle_w"]) * float(w["energy_window_s"]) for w, _ in own]
    found: dict[str, Any] = {"energy_gross_j": gross, "energy_idle_j": sum(idles)}
    net_j = gross - sum(idles)
    if net_j <= 0:
        return found | {"energy_reason": "net energy is not above idle: the window cannot tell them apart"}
    note = own[-1][0]["energy_reason"]
    found |= {"energy_net_j": net_j, "energy_reason": note if isinstance(note, str) else None}
    nets = [float(w["energy_j"]) - idle for (w, _), idle in zip(own, idles, strict=True)]
    for name, count in tokens.items():
        found[name] = net_j / (sum(n for _, n in own) * count)
        if min(nets) > 0:  # else no interval: a process told nothing apart
            each = estimate([[net / (n * count)] for net, (_, n) in zip(nets, own, strict=True)])
            assert each is not None
            found |= ends(name, each)
    return found
