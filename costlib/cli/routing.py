"""Command that judges routers and cascades: route."""

from __future__ import annotations

from typing import Annotated

import typer

from costlib.cli.show import Json, answer, number, table


def route(
    file: Annotated[str, typer.Argument(help="CSV or Parquet: prompt, and for each model NAME_score or NAME_correct.")],
    weak: Annotated[str | None, typer.Option(help="Weak model [default: the cheapest].")] = None,
    strong: Annotated[str | None, typer.Option(help="Strong model [default: the best].")] = None,
    cost: Annotated[
        list[str] | None, typer.Option(help="NAME=USD per request, where there is no NAME_cost_usd.")
    ] = None,
    drop: Annotated[str | None, typer.Option(help="Column of 0 and 1: rows with 1 are left out and counted.")] = None,
    miss_usd: Annotated[
        float | None, typer.Option(help="$ that a wrong answer costs; the goal is then least $.")
    ] = None,
    keep: Annotated[float, typer.Option(help="Without --miss-usd: share of the best model's score to keep.")] = 0.95,
    judge: Annotated[
        str | None, typer.Option(help="Assumed judge: false_accept=0.1,false_reject=0.05,usd=0.0002")
    ] = None,
    rule: Annotated[list[str] | None, typer.Option(help="Regular expression that asks for the strong model.")] = None,
    embed: Annotated[
        str | None, typer.Option(help="Embedding model of a learned router: demo:minilm, static:FOLDER, ...")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Write the chosen policy here as JSON.")] = None,
    as_json: Json = False,
) -> None:
    """Judge routers and cascades on per-request scores and costs; refuses to route where it does not pay.

    Example: costlib route scores.csv --cost small=0.0003 --cost large=0.01 --miss-usd 0.05 --out policy.json
    """
    from costlib.models.encoder import trained_encoder
    from costlib.output import check_file
    from costlib.portfolio.routing.given import costs_of, judge_of
    from costlib.portfolio.routing.policy import write_policy
    from costlib.portfolio.routing.route import route as run

    place = check_file(out) if out is not None else None
    made = run(
        file,
        weak=weak,
        strong=strong,
        costs=costs_of(cost or ()),
        drop=drop,
        miss_usd=miss_usd,
        keep=keep,
        judge=None if judge is None else judge_of(judge),
        rules=rule or (),
        embed=None if embed is None else (embed, trained_encoder(embed)),
    )
    if place is not None and made.policy:
        write_policy(made.policy, place)

    def show() -> None:
        print(f"{'route' if made.routes else 'do not route'}: {made.reason}")
        again = f", {made.repeated:.1%} of them with a prompt that came before" if made.repeated else ""
        print(f"goal: {made.goal}; {made.requests} requests{again}, {made.dropped} left out\n")
        rows = [[r["model"], number(r, "score"), number(r, "cost_usd")] for r in made.models.to_dict("records")]
        table("Models", ["model", "score", "USD per request"], rows)
        rows = [
            [f"{r['router']} (floor)" if r["floor"] else r["router"], number(r, "apgr"), number(r, "over_floor"),
             number(r, "cpt_50"), number(r, "cpt_80")]
            for r in made.routers.to_dict("records")
        ]  # fmt: skip
        caption = f"between {made.weak} and {made.strong}; an oracle reaches {number({'x': made.oracle_apgr}, 'x')}; "
        caption += "[95 % bootstrap over requests]; derived"
        table("Routers", ["router", "APGR", "over the best other floor", "CPT 50 %", "CPT 80 %"], rows, caption)
        shown = made.candidates.sort_values("goal_usd")
        shown = shown[shown["keeps_quality"] | (shown["role"] != "")].head(12)
        rows = [
            [" ".join(filter(None, (r["candidate"], r["role"] and "= " + r["role"]))),
             number(r, "score"), number(r, "cost_usd"), number(r, "saving_usd")]
            for r in shown.to_dict("records")
        ]  # fmt: skip
        caption = "on the half that did not choose the thresholds; saving in pairs against the baseline"
        table("Best ways to answer", ["way", "score", "USD per request", "saving"], rows, caption)
        if out:
            print(f"policy written to {out}" if made.policy else "no policy was written, because routing is refused")

    document = {
        "routes": made.routes,
        "reason": made.reason,
        "weak": made.weak,
        "strong": made.strong,
        "goal": made.goal,
        "requests": made.requests,
        "dropped": made.dropped,
        "repeated_prompts": made.repeated,
        "kind": "derived",
        "models": made.models,
        "apgr": made.routers,
        "oracle_apgr": made.oracle_apgr,
        "cpt": made.routers[["router", "cpt_50", "cpt_80"]],
        "curve": made.curve,
        "aiq": made.aiq,
        "candidates": made.candidates,
        "threshold": None if made.policy is None else made.policy["threshold"],
        "policy": made.policy,
    }
    answer(document, as_json, show)


COMMANDS = (route,)
