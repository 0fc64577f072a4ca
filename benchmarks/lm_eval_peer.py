"""An independent check: rolling perplexity by lm-evaluation-harness and by costlib, same folder, same text.

    python -m venv ../peer && ../peer/bin/pip install lm-eval accelerate torch==2.13.0 transformers==5.23.0
    python -m benchmarks.lm_eval_peer --python ../peer/bin/python [--model path:FOLDER] [--precision fp32,bf16]

The peer needs an environment of its own, with the versions of torch and transformers that costlib uses. What is
compared is exp(-log-likelihood / tokens) of its `loglikelihood_rolling`, which its perplexity tasks divide by words or
bytes instead. Two of its settings are aligned: it puts the beginning-of-text token in front itself, so its tokenizer
must not add another (`add_bos_token=False`; the tokenizer of the demo model would), and it takes the softmax of 16-bit
logits in 16 bit, which shifts perplexity by some tenths of a percent, unless told otherwise (`softmax_dtype=float32`);
what it says without that is shown, too. The text ends inside a window, so that the rule for the last one counts. Exits
with 1 where perplexities differ by half a unit of the fourth digit or more.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

ALLOWED = 5e-4
"""Half a unit of the fourth digit of a number from 1 to 10."""

_PEER = """
import json, math, sys
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
folder, dtype, softmax, window, file = sys.argv[1:6]
given = {} if softmax == "default" else {"softmax_dtype": softmax}
model = HFLM(folder, dtype=dtype, device="cpu", batch_size=1, max_length=int(window), add_bos_token=False, **given)
text = open(file, encoding="utf-8", newline="").read()
total = model.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0)], disable_tqdm=True)[0]
tokens = len(model.tok_encode(text))
print("PEER " + json.dumps({"tokens": tokens, "perplexity": math.exp(-total / tokens)}))
"""


def peer(python: str, folder: Path, precision: str, softmax: str, window: int, file: Path) -> dict[str, Any]:
    """Tokens and perplexity of one process of lm-evaluation-harness."""
    dtype = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}[precision]
    command = [python, "-c", _PEER, str(folder), dtype, softmax, str(window), str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    lines = [line for line in done.stdout.splitlines() if line.startswith("PEER ")]
    if not lines:
        raise SystemExit(f"lm-evaluation-harness failed: {done.stderr.strip().splitlines()[-1:]}")
    return dict(json.loads(lines[-1].removeprefix("PEER ")))


def main() -> int:
    """Score with both at each precision, compare, print."""
    from costlib.models import demo
    from costlib.models.load import load_tokenizer
    from costlib.models.reference import parse
    from costlib.models.texts import read_text
    from costlib.quality.text import measure_text

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", required=True, help="interpreter of the environment with lm-eval")
    parser.add_argument("--model", default="demo:gemma-3-270m", help="demo:NAME or path:FOLDER")
    parser.add_argument("--precision", default="fp32,bf16", help="comma-separated: fp32, bf16, fp16")
    parser.add_argument("--window", type=int, default=1024)
    parser.add_argument("--characters", type=int, default=10_000, help="of the text that every Python ships")
    arguments = parser.parse_args()
    reference = parse(arguments.model)
    folder = demo.ensure(reference.name) if reference.kind == "demo" else Path(reference.name)
    content = read_text().content[: arguments.characters]
    tokens = len(load_tokenizer(arguments.model)(content, add_special_tokens=False, verbose=False)["input_ids"])
    results, ok = [], True
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "text.txt"
        file.write_bytes(content.encode())
        for precision in arguments.precision.split(","):
            row = measure_text(
                arguments.model, precision, baseline=precision, text=file, tokens=tokens, window=arguments.window,
                store=Path(place) / "store", device="cpu",
            ).iloc[0]  # fmt: skip
            own = float(row["ppl_rolling"])
            found = peer(arguments.python, folder, precision, "float32", arguments.window, file)
            plain = peer(arguments.python, folder, precision, "default", arguments.window, file)
            digit = 10.0 ** (len(str(int(own))) - 1)
            same = found["tokens"] == tokens and abs(found["perplexity"] - own) < ALLOWED * digit
            ok &= same
            results.append(
                {"precision": precision, "tokens": tokens, "window": arguments.window, "costlib": own,
                 "lm_eval": found["perplexity"], "lm_eval_own_softmax": plain["perplexity"], "same_4_digits": same}
            )  # fmt: skip
            theirs = f"lm-evaluation-harness {found['perplexity']:.6f}, {plain['perplexity']:.6f} with its own softmax"
            verdict = "the same" if same else "not the same"
            print(f"{precision}: {tokens:,} tokens, costlib {own:.6f}, {theirs}; {verdict} to 4 digits", flush=True)
    print(json.dumps({"ok": ok, "model": arguments.model, "results": results}))
    return 0 if ok else 1


if __name__ == "__main__":
    raise SystemExit(main())
