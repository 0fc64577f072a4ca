from __future__ import annotations

import subprocess
import sys
import time

import pytest

from costlib.measure.load import selftest
from costlib.measure.load.drive import Flow
from costlib.measure.load.selftest import SelfTest, self_test, verdict

QUIET = Flow(lag_s=[0.001] * 100, cpu_share=0.2, wall_s=1.0)
GOOD = SelfTest(4, 400.0, 0.001, 0.002)


def test_the_client_measures_itself_against_a_real_mock_server() -> None:
    found = self_test(3, 0.02, 0.8)
    assert found is not None and found.streams == 3
    assert 0 < found.delay_p95_s < 0.2 and 0 < found.added_s < 0.1
    assert 40 < found.pieces_per_s <= 200, "3 streams, a piece every 20 ms"


def test_a_client_that_is_slow_measures_that_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each chunk takes the client 10 ms of work more, while they come every 5 ms: they pile up before they are read."""
    from costlib.measure.load import client

    quick = self_test(2, 0.005, 0.5)
    read = client.usage_counts

    def slowly(usage: object) -> tuple[int, int] | None:
        time.sleep(0.01)
        return read(usage)

    monkeypatch.setattr(client, "usage_counts", slowly)
    slow = self_test(2, 0.005, 0.5)
    assert quick is not None and slow is not None
    assert slow.delay_p95_s > 0.1 and slow.delay_p95_s > 3 * quick.delay_p95_s
    bound, why = verdict(QUIET, slow, ttft_s=0.1, tpot_s=0.005, held_back_s=[0.0])
    assert bound is True and "in the self-test it stamped" in why


def test_a_mock_that_does_not_start_is_no_self_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest.sys, "executable", "/bin/false")
    assert self_test(1, 0.01, 0.2) is None


def test_the_mock_server_ends_with_whom_it_serves() -> None:
    command = [sys.executable, "-m", "costlib.measure.load.mock", "0.1", "0.1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as mock:
        assert mock.stdin is not None and mock.stdout is not None and int(mock.stdout.readline()) > 0
        mock.stdin.close()
        assert mock.wait(timeout=10) == 0


@pytest.mark.parametrize(
    ("flow", "tested", "held", "words"),
    [
        (Flow(lag_s=[0.001] * 100, cpu_share=0.97), GOOD, 0.0, "busy 97% of the time"),
        (Flow(lag_s=[0.05] * 100, cpu_share=0.2), GOOD, 0.0, "this process was late by 0.05 s"),
        (QUIET, GOOD, 0.3, "requests left 0.3 s after their schedule"),
        (QUIET, SelfTest(4, 400.0, 0.03, 0.01), 0.0, "stamped 0.03 s late (95th percentile)"),
        (QUIET, SelfTest(4, 400.0, 0.001, 0.03), 0.0, "added 0.03 s to a first token"),
        (QUIET, SelfTest(4, 400.0, 0.015, 0.01), 0.0, "more than a token takes"),
    ],
)
def test_each_sign_of_a_slow_client_is_named(flow: Flow, tested: SelfTest, held: float, words: str) -> None:
    bound, why = verdict(flow, tested, ttft_s=0.2, tpot_s=0.012, held_back_s=[held] * 50)
    assert bound is True and words in why


def test_a_quick_client_says_how_it_knows_and_an_untested_one_that_it_does_not() -> None:
    bound, why = verdict(QUIET, GOOD, ttft_s=0.2, tpot_s=0.01, held_back_s=[0.0])
    assert bound is False and "1 ms late" in why and "2 ms to a first token" in why and "4 streams" in why
    assert verdict(QUIET, None, ttft_s=0.2, tpot_s=None, held_back_s=[])[0] is None
    assert verdict(QUIET, GOOD, ttft_s=None, tpot_s=None, held_back_s=[])[0] is None
