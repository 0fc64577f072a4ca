"""Tasks answered by a local model or an endpoint, with what the endpoint charges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import invalid_input
from costlib.prices.api import price
from costlib.quality.tasks.answers import answer_tasks, ask_endpoint, judged, stored_answers
from costlib.quality.tasks.endpoint import Endpoint, TokenPrice
from costlib.quality.tasks.scores import task_scores

if TYPE_CHECKING:
    import pandas as pd

    from costlib.progress import Progress
    from costlib.quality.tasks.items import Task
    from costlib.store import Store


def evaluate(
    model: str | Endpoint,
    tasks: Sequence[Task],
    precision: str | Iterable[str] = "16-bit",
    *,
    baseline: str | None = None,
    against: tuple[str, str | None] | None = None,
    provider: str | None = None,
    as_of: str | None = None,
    max_usd: Decimal | None = None,
    store: Store | str | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> pd.DataFrame:
    """Answer tasks and score them: TASK_SCORES rows, each compared with its baseline on the same items.

    A local `model` runs at each `precision`; `baseline` is one of them, the first where None. An `Endpoint` is billed
    at its own price, or at the list price of `provider` for the model of that name on `as_of`. `against` is a model and
    precision answered before (table `answers`), taken as the baseline instead. `settings` are those of `answer_tasks`.
    Raises `InputError` for bad input before anything is asked.
    """
    import pandas as pd

    frames = [judged(task) for task in tasks if task.kind == "preference"]
    asked = [task for task in tasks if task.kind != "preference"]
    before = []
    if against is not None:
        found = stored_answers(store)
        right = found["precision"].isna() if against[1] is None else found["precision"] == against[1]
        named = {task.name for task in tasks}
        before = [found[(found["model"] == against[0]) & right & found["task"].isin(named)]]
        if before[0].empty:
            known = sorted({f"{row.model} {row.precision}".removesuffix(" nan") for row in found.itertuples()})
            said = known or "a model whose answers are stored"
            raise invalid_input("against", " ".join(part for part in against if part), said)
    who: tuple[str, str | None] | None = None
    if isinstance(model, Endpoint):
        if provider is not None:
            model = replace(model, price=list_price(model.model, provider, as_of))
        if asked:
            frames.append(ask_endpoint(model, asked, store=store, max_usd=max_usd, progress=progress))
    else:
        device = settings.get("device") or default_device()
        names = [
            resolve(name, model, device).name for name in ([precision] if isinstance(precision, str) else precision)
        ]
        who = (model, resolve(baseline, model, device).name if baseline else names[0])
        if asked:
            names = names if who[1] in names else [str(who[1]), *names]
            frames.append(answer_tasks(model, names, asked, store=store, progress=progress, **settings))
    key = ["task", "item", "model", "precision", "engine"]
    answers = pd.concat([*frames, *before], ignore_index=True).drop_duplicates(key, ignore_index=True)
    return task_scores(answers, baseline=against or who, margin={task.name: task.margin for task in tasks})


def list_price(model: str, provider: str, as_of: str | None = None) -> TokenPrice:
    """USD per million tokens of a model at a provider, in its first price band."""
    read, written = (
        price(model, provider, input_tokens=one, output_tokens=1 - one, as_of=as_of).total * 1_000_000 for one in (1, 0)
    )
    return TokenPrice(read, written)
