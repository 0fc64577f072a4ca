"""Commands about published reports: batch, check."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costlib.cli.show import Json, StoreOption, answer, table, watching
from costlib.figure import Figure


def batch(
    file: Annotated[str, typer.Argument(help="Batch file, or the name of a shipped batch.")],
    workers: Annotated[int | None, typer.Option(min=1, help="Reports at a time [default: one for each core].")] = None,
    out: Annotated[str | None, typer.Option(help="Its folder [default: the file's, or reports/FILE-batch].")] = None,
    store: StoreOption = None,
    timeout: Annotated[float | None, typer.Option(min=1, help="Seconds for a report [default: the file's].")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Make again what has not changed.")] = False,
    as_json: Json = False,
) -> None:
    """Make many reports, several at a time, with an index over all; run it again to go on where it stopped.

    Exits with 0 when every report is there and passes its checks, with 1 when one does not, 2 before anything is
    written where the file, a study or a table is wrong.

    Example: costlib batch data/batches/demo.yml --workers 2
    """
    from costlib.report.batch import batch as make

    with watching(as_json) as progress:
        made = make(file, workers=workers, out=out, store=store, timeout_s=timeout, fresh=fresh, progress=progress)

    def show() -> None:
        rows = [[one.name, one.status, *(_told(one.totals[key]) for key in ("plan", "saving"))] for one in made.reports]
        columns = ["report", "status", "USD per month", "saving"]
        table(made.batch.title, columns, rows, "derived; [95 % of draws]; wrong answers counted")
        for one in made.reports:
            if not one.ok:
                print(f"  {one.name}: {one.reason}")
        print(f"  open {made.index}")

    document: dict[str, Any] = {
        "batch": made.batch.file,
        "out": made.out,
        "workers": made.workers,
        "ok": made.ok,
        "index": made.index,
        "reports": [one.document() for one in made.reports],
    }
    answer(document, as_json, show)
    if not made.ok:
        raise typer.Exit(1)


def check(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Folder of a report, or of a batch.")],
    study: Annotated[str | None, typer.Option(help="Study or batch file it was made from, if it was moved.")] = None,
    as_json: Json = False,
) -> None:
    """Check a published folder again: whole, unchanged, every number in the ledger, made from what is here now.

    Example: costlib check reports/demo
    """
    from costlib.report.batch_folder import check as look

    found = look(folder, study)
    passed = sum(one.ok for one in found)

    def show() -> None:
        for one in found:
            print(f"  {'passed' if one.ok else 'FAILED'}  {one.name}: {one.detail}")
        print(f"  {passed} of {len(found)} checks passed")

    answer({"folder": folder, "ok": passed == len(found), "checks": found}, as_json, show)
    if passed < len(found):
        raise typer.Exit(1)


def _told(figure: Figure) -> str:
    return "-" if figure.value is None else figure.text().replace(f" {figure.unit}", "")


COMMANDS = (batch, check)
