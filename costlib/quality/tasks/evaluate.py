"""Tasks answered by a local model or an endpoint, with what the endpoint charges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from costlib.devices import resolve
from costlib.environment import default_device
from costlib.errors import bad
from costlib.prices.api import price
from costlib.quality.tasks.endpoint import Endpoint, TokenPrice

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

    from costlib.quality.tasks.answers import judged, stored_answers
    from costlib.quality.tasks.run import answer_tasks, ask_endpoint
    from costlib.quality.tasks.scores import task_scores

    margin = {task.name: task.margin for task in tasks}
    stored = [task for task in tasks if task.kind == "preference"]
    asked = [task for task in tasks if task.kind != "preference"]
    frames = [judged(task) for task in stored]
    other = None
    if against is not None:
        found = stored_answers(store)
        precisions = found["precision"].isna() if against[1] is None else found["precision"] == against[1]
        other = found[(found["model"] == against[0]) & precisions & found["task"].isin(list(margin))]
        if other.empty:
            known = sorted({f"{row.model} {row.precision}".removesuffix(" nan") for row in found.itertuples()})
            raise bad(
                "against", " ".join(part for part in against if part), known or "a model whose answers are stored"
            )
    if isinstance(model, Endpoint):
        if provider is not None:
            model = replace(model, price=list_price(model.model, provider, as_of))
        who: tuple[str, str | None] | None = None
        if asked:
            frames.append(ask_endpoint(model, asked, store=store, max_usd=max_usd, progress=progress))
    else:
        device = settings.get("device") or default_device()
        names = [precision] if isinstance(precision, str) else precision
        names = list(dict.fromkeys(resolve(name, model, device).name for name in names))
        who = (model, resolve(baseline, model, device).name if baseline else names[0])
        if who[1] not in names:
            names.insert(0, str(who[1]))
        if asked:
            frames.append(answer_tasks(model, names, asked, store=store, progress=progress, **settings))
    answers = pd.concat([*frames, *([other] if other is not None else [])], ignore_index=True)
    key = ["task", "item", "model", "precision", "engine"]
    answers = answers.drop_duplicates(key, keep="first", ignore_index=True)
    return task_scores(answers, baseline=against or who, margin=margin)


def list_price(model: str, provider: str, as_of: str | None = None) -> TokenPrice:
    """USD per million tokens of a model at a provider, in its first price band."""

    def of(read: int, written: int) -> Decimal:
        return price(model, provider, input_tokens=read, output_tokens=written, as_of=as_of).total * 1_000_000

    return TokenPrice(of(1, 0), of(0, 1))
