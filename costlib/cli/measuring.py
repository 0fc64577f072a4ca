"""Commands that look at this machine, measure models and quantize them: doctor, measure, memory, quantize."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from costlib.cli.show import Device, Json, StoreOption, answer, counts, names, number, table, watching
from costlib.progress import Step


def doctor(as_json: Json = False) -> None:
    """What this machine can measure, what is missing, and the command that adds it.

    Example: costlib doctor --json
    """
    from costlib.doctor import doctor as look

    found = look()

    def show() -> None:
        gib, kinds = 1024**3, ("fp32", "bf16", "fp16")
        rows = [
            ["measurements run on", found["device"]["name"]],
            ["multiplies natively", ", ".join(name for name in kinds if found["arithmetic"].get(name, True))],
            *([width, f"{one['name']}, {one['why']}"] for width, one in found["arithmetic"]["precisions"].items()),
            ["memory", f"{found['memory_bytes']['total'] / gib:.0f} GiB"],
            ["CUDA", "yes" if found["cuda"]["available"] else f"no: {found['cuda']['reason']}"],
            [
                "energy",
                found["energy"]["scope"] if found["energy"]["available"] else f"no: {found['energy']['reason']}",
            ],
        ]
        for name, demo in found["demo_models"].items():
            rows.append([name, "installed" if demo["installed"] else f"missing: {demo['add']}"])
            rows.append(["terms of use", demo["terms"]])
        for name, entry in found["packages"].items():
            rows.append([name, entry["version"] or f"missing: {entry['add']}"])
        for name, entry in found["extras"].items():
            rows.append([f"{name}, for {entry['for']}", entry["version"] or f"optional: {entry['add']}"])
        rows.append(["store", found["store"]])
        table("costlib doctor", ["what", "found"], rows)

    answer(found, as_json, show)


def measure(
    model: Annotated[
        str, typer.Argument(help="demo:gemma-3-270m, hub:ORG/NAME, path:FOLDER, gguf:FILE or random:SHAPE.")
    ],
    precision: Annotated[str, typer.Option(help="Comma-separated: 16-bit, 8-bit, 4-bit, bf16, nf4, ...")] = "16-bit",
    engine: Annotated[str, typer.Option(help="Comma-separated: eager, compiled, batched, llamacpp.")] = "eager",
    batch: Annotated[str, typer.Option(help="Comma-separated sequences run together, or max.")] = "1",
    prompt_tokens: Annotated[str, typer.Option(help="Comma-separated prompt tokens of each sequence.")] = "128",
    output_tokens: Annotated[str, typer.Option(help="Comma-separated new tokens of each sequence, forced.")] = "64",
    device: Device = None,
    time_budget: Annotated[float, typer.Option(help="Seconds for each configuration.")] = 120.0,
    timeout: Annotated[float, typer.Option(help="Seconds after which one process is stopped.")] = 1800.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is in the store.")] = False,
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Measure speed, memory and energy, each configuration in a process of its own.

    Example: costlib measure demo:gemma-3-270m --precision bf16,int8,nf4 --batch 1 --output-tokens 32
    """
    from costlib.cli.card import card
    from costlib.measure.run import measure as run_measure

    with watching(as_json) as progress:
        rows = run_measure(
            model,
            names(precision),
            engine=names(engine),
            batch=[part if part == "max" else counts("batch", part)[0] for part in names(batch)],
            prompt_tokens=counts("prompt_tokens", prompt_tokens),
            output_tokens=counts("output_tokens", output_tokens),
            device=device,
            store=store,
            fresh=fresh,
            time_budget_s=time_budget,
            timeout_s=timeout,
            progress=progress,
        )

    def show() -> None:
        print(f"{model} on {rows.iloc[0]['device']}; measured; [95 % interval over processes]")
        for row in rows.to_dict("records"):
            print("\n" + "\n".join(card({str(key): value for key, value in row.items()})))

    answer({"rows": rows, "kind": "measured"}, as_json, show)
    if not (rows["status"] == "ok").any():
        raise typer.Exit(1)


def compare(
    first: Annotated[
        str, typer.Argument(help="Id of a campaign or run, or precision=nf4,batch=8, or ID,precision=nf4.")
    ],
    second: Annotated[str, typer.Argument(help="The same; its numbers are divided by those of the first.")],
    across: Annotated[str, typer.Option(help="Comma-separated: what may differ, e.g. precision or device.")] = "",
    store: StoreOption = None,
    as_json: Json = False,
) -> None:
    """Compare two stored measurements metric by metric; refuses unlike ones, naming what differs.

    Example: costlib compare precision=bf16 precision=nf4 --across precision
    """
    from costlib.measure.compare import compare as compare_measurements

    found = compare_measurements(first, second, across=names(across), store=store)

    def show() -> None:
        rows = [{str(key): value for key, value in row.items()} for row in found.rows.to_dict("records")]
        sides = ("first", "second", "ratio")
        body = [[f"{r['metric']}, {r['unit']}", *(number(r, side) for side in sides), r["verdict"]] for r in rows]
        title = " against ".join(f"{side['precision']} {side['engine']} batch {side['batch']}" for side in described)
        taken = "paired by round" if found.interleaved else "measured in two calls"
        caption = f"[95 % interval over processes]; ratio: second over first, {taken}; verdict on it, at p < 0.02"
        table(title, ["metric", *sides, "verdict"], body, caption)
        for reason in dict.fromkeys(row["reason"] for row in rows if isinstance(row["reason"], str)):
            print(f"  note: {reason}")

    described = (found.second, found.first)
    answer({**vars(found), "kind": "derived"}, as_json, show)


def memory(
    model: Annotated[str, typer.Argument(help="A shape (llama-3.1-70b), random:SHAPE, demo:, path: or hub: model.")],
    precision: Annotated[str, typer.Option(help="Comma-separated precisions.")] = "bf16,int8,nf4",
    batch: Annotated[int, typer.Option(help="Sequences held at once.")] = 1,
    context: Annotated[int, typer.Option(help="Tokens of each sequence, all of them in the key-value cache.")] = 4096,
    as_json: Json = False,
) -> None:
    """Predict bytes of weights and key-value cache; needs no weights.

    Example: costlib memory llama-3.1-70b --precision bf16,nf4 --batch 8 --context 8192
    """
    from costlib.door.hosting import memory as predict

    rows = predict(model, names(precision), batch=batch, context=context)

    def show() -> None:
        found = [{str(key): value for key, value in row.items()} for row in rows.to_dict("records")]
        every = ["linear", "quantization_state", "expert", "embedding", "other", "weight", "kv_cache", "total"]
        every.append("activation")
        parts = [part for part in every if part != "expert" or any(row["expert_bytes"] for row in found)]
        body = [[part.replace("_", " "), *(f"{row[f'{part}_bytes'] / 1e9:,.3f}" for row in found)] for part in parts]
        body.append(["smallest GPU that holds it", *((row["fits_on"] or ["none"])[0] for row in found)])
        for label, field in (("every weight at its bits", "uniform"), ("the same with state", "uniform_with_state")):
            body.append([label, *(f"{row[f'{field}_bytes'] / 1e9:,.3f}" for row in found)])
        caption = (
            "GB (10^9 bytes); derived; activations are of one prompt as long as the context and no part of the total; "
            "a GPU holds both with 10 % of its memory to spare for the CUDA context and workspace; the last two lines "
            "are what headlines count (nothing left at 16 bit)"
        )
        table(
            f"{model}, batch {batch}, {context} tokens", ["part", *(row["precision"] for row in found)], body, caption
        )

    first = {str(key): value for key, value in rows.iloc[0].to_dict().items()} if len(rows) == 1 else {}
    answer({**first, "rows": rows}, as_json, show)


def quantize(
    model: Annotated[str, typer.Argument(help="demo:, hub:ORG/NAME or path:FOLDER, with 16-bit weights.")],
    out: Annotated[str, typer.Option(help="Folder of the checkpoint; measured as path:FOLDER.")],
    precision: Annotated[str, typer.Option(help="gptq4 or awq4.")] = "gptq4",
    text: Annotated[
        str | None, typer.Option(help="File or folder to calibrate on [default: pydoc_data.topics].")
    ] = None,
    samples: Annotated[int, typer.Option(help="Windows of the text that are read.")] = 128,
    window: Annotated[int, typer.Option(help="Tokens per window.")] = 512,
    device: Device = None,
    timeout: Annotated[float, typer.Option(help="Seconds it may take.")] = 7200.0,
    as_json: Json = False,
) -> None:
    """Make a 4-bit GPTQ or AWQ checkpoint of a model, calibrated on a text; needs gptqmodel.

    Example: costlib quantize demo:gemma-3-270m --precision gptq4 --out gemma-gptq
    """
    from costlib.models.quantize import quantize as make
    from costlib.quality.corpus import read_text

    content = read_text(text).content
    settings: dict[str, Any] = {"samples": samples, "window": window, "device": device, "timeout_s": timeout}
    with watching(as_json) as progress:

        def show(done: str) -> None:
            progress(Step(done, stage="quantize", done=0, total=1))

        folder = make(model, precision, out, content, on_progress=show, **settings)
    document = {"model": model, "precision": precision, "folder": str(folder), "samples": samples, "window": window}
    answer(document, as_json, lambda: print(f"costlib measure path:{folder} --precision {precision}"))


COMMANDS = (doctor, measure, compare, memory, quantize)
