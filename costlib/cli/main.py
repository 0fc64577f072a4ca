"""The `costlib` command: a thin shell over the public door.

Every command takes `--json` and then prints exactly one JSON document on stdout, money as decimal strings; progress and
messages go to stderr. Exit codes: 0 success, 2 bad input with one sentence, 1 a failed run, 130 interrupted.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from typing import Any

from costlib.cli.commands import run
from costlib.cli.screen import safe_output
from costlib.errors import CostlibError, InputError
from costlib.redact import remember_words

_INTERRUPTED = 130
"""The exit code a shell expects of what was interrupted."""


def main() -> None:
    """Entry point: turns every way a command can end into its exit code."""
    wants_json = "--json" in sys.argv[1:]
    remember_words(sys.argv[1:])
    if wants_json and sys.stdout is sys.__stdout__:
        _keep_stdout()
    if len(sys.argv) == 1:
        sys.argv.append("--help")
    with safe_output():
        code = _run(wants_json)
    sys.exit(code)


def _run(wants_json: bool) -> int:
    code: Any
    try:
        code = run(sys.argv[1:])
        sys.stdout.flush()
    except InputError as error:
        code = _failed(str(error), 2, wants_json)
    except CostlibError as error:
        code = _failed(str(error), 1, wants_json)
    except KeyboardInterrupt:
        message = "interrupted; what was finished is kept, and the same command goes on from there"
        code = _failed(message, _INTERRUPTED, wants_json)
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except OSError as error:  # a disk without room, a folder that went away
        code = _failed(_no_place(error), 1, False)
        _drop_stdout()
    except Exception as error:  # a defect of costlib: its traceback goes through the filter, too
        if room := re.search("No space left on device|Disk quota exceeded|File too large", str(error)):
            code = _failed(f"{room[0]}; what was finished before is kept", 1, wants_json)
        else:
            traceback.print_exc()
            code = 1
    return code if isinstance(code, int) else 0


def _drop_stdout() -> None:
    """Where stdout itself takes no more, what it still holds is dropped, else Python complains again at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _no_place(error: OSError) -> str:
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{error.strerror or error}; what was finished before is kept"


def _keep_stdout() -> None:
    """Native libraries print as they like (HiGHS, rarely): what they print goes to stderr from here on."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", encoding=sys.stdout.encoding, errors=sys.stdout.errors)
    os.dup2(2, 1)


def _failed(message: str, code: int, wants_json: bool) -> int:
    print(f"costlib: {message}", file=sys.stderr)
    if wants_json:
        print(json.dumps({"error": message, "exit_code": code}))
    return code


if __name__ == "__main__":
    main()
