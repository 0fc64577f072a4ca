"""Holds our FOCUS exports to the public validator, focus-validator 2.2.1, in a Python 3.12 environment of its own.

    python benchmarks/focus_validator.py [FILE.csv FILE.parquet ...] [--python PYTHON3.12]

Without files it validates what costlib writes: the demo plan as CSV and as Parquet, and a month with every kind of
charge (contracted API tokens, machines on demand, on spot, reserved and owned). A copy with a purchase that claims an
effective cost must be refused, else the validator was not looking. The environment is made once, in
build/focus-validator; the rules come with the package, so that nothing is downloaded after it.

Three things about version 2.2.1, all handled here:
- It needs NumPy 1 but accepts a pyarrow that needs NumPy 2, so every package is pinned.
- It looks for its currency codes relative to the working directory, so it runs inside its own site-packages.
- It exits with 0 whatever it finds, so its report is read: every rule that fails must be in `KNOWN`, with the reason
  why it is no fault of the file.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / "build" / "focus-validator"
PINS = """
annotated-types==0.8.0 attrs==26.1.0 certifi==2026.10.18 charset-normalizer==3.5.2 ddt==1.7.2 duckdb==1.5.6
focus-validator==2.2.1 graphviz==0.21 idna==3.20 jsonschema==4.26.0 jsonschema-specifications==2025.9.1
multimethod==2.0.2 mypy_extensions==1.2.0 numpy==1.26.4 packaging==26.3 pandas==2.3.3 pandasql==0.7.3 pandera==0.26.1
polars==1.44.2 polars-runtime-32==1.44.2 pyarrow==21.0.0 pydantic==2.14.3 pydantic_core==2.50.4 python-dateutil==4.0.0
pytz==2025.2 PyYAML==6.0.3 referencing==0.37.0 requests==2.34.2 rpds-py==2026.9.1 SQLAlchemy==2.1.9 sqlglot==27.29.0
tabulate==0.10.0 typeguard==4.6.0 typing-inspect==0.9.0 typing-inspection==0.4.5 typing_extensions==4.16.0
tzdata==2026.6 urllib3==2.8.0
"""
SUPPORTED = (
    "ACCOUNT_NAMING MULTIPLE_PRICING_CATEGORIES MULTIPLE_BILLING_ACCOUNT_TYPES NEGOTIATED_PRICING PUBLIC_PRICE_LIST "
    "USAGE_MEASUREMENT UNIT_PRICING BILLING_BASED_ON_PROVISIONED_RESOURCES RESOURCE_TYPE_ASSIGNMENT "
    "PRICING_BILLING_CURRENCY_DIFFERENCES VIRTUAL_CURRENCY TAGGING"
)
"""What applies to every export of ours, and COMMITMENT_DISCOUNT where one holds a commitment; the rest (regions, zones,
sub accounts, capacity reservations) has no columns here. Without them most rules are skipped, those of prices too."""
KNOWN = {
    "InvoiceId-C-005-C": "one of two alternatives under InvoiceId-C-003-C, which passes: there is no invoice",
    "CommitmentDiscountStatus-C-004-C": "its condition is inverted: it asks for a status where there is no commitment",
    "CommitmentDiscountStatus-C-002-C": "parent of CommitmentDiscountStatus-C-004-C",
    "CommitmentDiscountStatus-C-000-C": "parent of CommitmentDiscountStatus-C-004-C",
    "PricingCurrency-C-003-M": "knows national currencies only; FOCUS 1.2 allows virtual ones (CurrencyFormat)",
    "PricingCurrency-C-000-C": "parent of PricingCurrency-C-003-M",
}


def python312(given: str | None) -> str:
    """An interpreter of Python 3.12."""
    pyenv = sorted((Path.home() / ".pyenv" / "versions").glob("3.12*/bin/python"))
    for name in [given, shutil.which("python3.12"), *map(str, pyenv)]:
        if name and Path(name).exists():
            asked = subprocess.run(
                [name, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True, text=True
            )
            if asked.stdout.strip() == "(3, 12)":  # a shim may stand for another one, or for none
                return name
    sys.exit("focus_validator: no Python 3.12 found; allowed: --python with its path")


def environment(python: str) -> Path:
    """The validator's site-packages, installed when they are not there yet."""
    executable = ENVIRONMENT / "bin" / "focus-validator"
    if not executable.exists():
        subprocess.run([python, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
        pip = [str(ENVIRONMENT / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *PINS.split()], check=True)
    return next(ENVIRONMENT.glob("lib/python3.12/site-packages"))


def validate(file: Path, packages: Path) -> dict[str, Any]:
    """Counts, failed rules and the verdict on one file."""
    names = [*SUPPORTED.split(), *(["COMMITMENT_DISCOUNT"] if b"reserved_" in file.read_bytes() else [])]
    criteria = ",".join(f"{name}_SUPPORTED" for name in names)
    options = ["--validate-version", "1.2", "--focus-dataset", "CostAndUsage", "--block-download"]
    command = [str(ENVIRONMENT / "bin" / "focus-validator"), "--data-file", str(file.resolve()), *options]
    start = time.perf_counter()
    done = subprocess.run(
        [*command, "--applicability-criteria", criteria, "--output-type", "console"],
        cwd=packages,
        capture_output=True,
        text=True,
        check=False,
    )
    counts = re.search(r"Total: (\d+) \| Pass: (\d+) \| Fail: (\d+) \| Skipped: (\d+)", done.stdout)
    if done.returncode != 0 or counts is None:
        sys.exit(f"focus_validator: it did not run on {file.name}: {(done.stderr or done.stdout).strip()[-400:]}")
    total, passed, failed, skipped = map(int, counts.groups())
    results = dict(re.findall(r"(\S+-[CDA]-\d{3}-[MCO]): (PASS|FAIL|SKIPPED)", done.stdout))
    failures = sorted(name for name, result in results.items() if result == "FAIL")
    faults = [name for name in failures if name not in KNOWN]
    return {
        "file": file.name,
        "rules": total,
        "passed": passed,
        "failed": failed,
        "skipped": skipped,
        "faults": faults,
        "known": [name for name in failures if name in KNOWN],
        "ok": not faults and len(failures) == failed and passed > 200,
        "seconds": round(time.perf_counter() - start, 1),
    }


def every_kind_of_charge() -> Any:
    """A month of contracted API tokens and of machines on demand, on spot, reserved and owned."""
    from costlib.cost.charges import Bought, Pool, Priced, api_charge, hosting_charges
    from costlib.cost.focus import dataset

    start, end = date(2026, 11, 1), date(2026, 12, 1)
    paid, listed = (
        Priced(name, Decimal(usd), "quoted", "example") for name, usd in (("contract", "1.5"), ("list", "2"))
    )
    tokens = Decimal(1_234_567)
    charges = [
        api_charge(
            "acme", "small", "standard", "input", tokens, paid, workload="chat", start=start, end=end, listed=listed
        )
    ]
    bought = Bought(Decimal(70_080), Decimal(80_000), Decimal(5_000), Decimal(35_040), date(2026, 11, 3))
    used = {("chat", "input"): (Decimal(100), Decimal(10**9)), ("chat", "output"): (Decimal(300), Decimal(10**8))}
    for kind, usd in (("on_demand", "3"), ("spot", "1.5"), ("reserved_1y", "2"), ("owned", "2.5")):
        provider, hardware = ("own hardware", bought) if kind == "owned" else ("cloud", None)
        pool = Pool(
            name=f"llama, {kind}",
            model="llama-3.1-8b",
            provider=provider,
            device="H100 SXM",
            rate_kind=kind,
            replicas=2,
            hours=Decimal(1460),
            usd_per_hour=Decimal(usd),
            listed_usd_per_hour=Decimal(3),
            used=used,
            idle={"chat": Decimal(1060)},
            kind="quoted",
            source="example",
            bought=hardware,
        )
        charges += hosting_charges(pool, start, end)
    return dataset(charges)


def exports(folder: Path) -> list[Path]:
    """What costlib writes."""
    from costlib.cost.focus import dataset, write
    from costlib.portfolio.focus import plan_charges
    from costlib.portfolio.plan import make_plan
    from costlib.store import Store
    from costlib.study import load_study

    store = Store(folder / "store")
    plan = make_plan(load_study("demo").model_copy(update={"draws": 100}), store)
    frames = {"demo": dataset(plan_charges(plan, store)), "every_kind_of_charge": every_kind_of_charge()}
    files = [folder / f"{name}{suffix}" for name in frames for suffix in (".csv", ".parquet")]
    for file in files:
        write(frames[file.stem], file)
    return files


def spoiled(file: Path) -> Path:
    """A copy of a CSV whose first purchase has an effective cost."""
    with file.open(encoding="utf-8", newline="") as source:
        rows = list(csv.DictReader(source))
    purchase = next(row for row in rows if row["ChargeCategory"] == "Purchase")
    purchase["EffectiveCost"] = purchase["BilledCost"]
    copy = file.with_name("spoiled.csv")
    with copy.open("w", encoding="utf-8", newline="") as target:
        writer = csv.DictWriter(target, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return copy


def main() -> int:
    """Run and print a card, then one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--python", help="an interpreter of Python 3.12")
    arguments = parser.parse_args()
    packages = environment(python312(arguments.python))
    with tempfile.TemporaryDirectory() as name:
        files = arguments.files or exports(Path(name))
        results = [validate(file, packages) for file in files]
        refused = [] if arguments.files else [validate(spoiled(Path(name) / "every_kind_of_charge.csv"), packages)]
    for result in results + refused:
        verdict, of = "passes" if result["ok"] else "FAILS", f"{result['passed']} of {result['rules']} rules pass"
        others = f"{result['skipped']} are skipped, {result['failed']} fail; {result['seconds']} s"
        print(f"{verdict:<7}{result['file']:<30}{of}, {others}")
        for rule in result["faults"]:
            print(f"       fault: {rule}")
    for rule in sorted({rule for result in results for rule in result["known"]}):
        print(f"  known: {rule}: {KNOWN[rule]}")
    ok = all(result["ok"] for result in results) and not any(result["ok"] for result in refused)
    print(json.dumps({"ok": ok, "files": results, "refused": refused}))
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
