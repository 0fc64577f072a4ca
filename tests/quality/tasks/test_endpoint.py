"""Against a real server on loopback that misbehaves as each test says."""

import gzip
import json
import os
import signal
import subprocess
import sys
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from costlib.errors import InputError
from costlib.quality.tasks import endpoint as bounds
from costlib.quality.tasks.answers import ask_endpoint
from costlib.quality.tasks.endpoint import OVERHEAD_TOKENS, Ask, Endpoint, TokenPrice, ask_all
from costlib.quality.tasks.items import Item, Task

PRICE = TokenPrice(Decimal(1_000_000), Decimal(2_000_000))
"""One dollar a token read, two a token written."""


class Server:
    """Answers each request by the next of `script`, then by `usual`; remembers what it was asked.

    How: a name below, a status and headers, or a status, headers and the whole content.
    """

    def __init__(self):
        self.script, self.seen, self.headers, self.paths = [], [], [], []
        self.usual = "ok"
        self.busy = self.most_busy = 0
        self.lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with outer.lock:
                    outer.seen.append(body)
                    outer.paths.append(self.path)
                    outer.headers.append(dict(self.headers))
                    outer.busy += 1
                    outer.most_busy = max(outer.most_busy, outer.busy)
                    how = outer.script.pop(0) if outer.script else outer.usual
                try:
                    outer.respond(self, how, body)
                finally:
                    with outer.lock:
                        outer.busy -= 1

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def respond(self, handler, how, body):
        status, headers, content = 200, {}, self.completion(body)
        if isinstance(how, tuple) and len(how) == 3:
            status, headers, content = how
        elif isinstance(how, tuple):
            status, headers = how
            content = json.dumps({"error": {"message": f"key sk-secret may not, {status}"}}).encode()
        elif how == "slow":
            time.sleep(0.05)
        elif how == "hang":
            time.sleep(1.0)
            return
        elif how == "drip":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            for _ in range(20):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.05)
            return
        elif how == "malformed":
            content = b"<html>"
        elif how == "other":
            content = b'{"choices": []}'
        elif callable(how):
            how()
        elif how == "no usage":
            content = self.completion(body, usage=False)
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(content) + (500 if how == "cut" else 0)))
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(content)
        if how == "cut":
            handler.close_connection = True

    @staticmethod
    def completion(body, usage=True):
        answer = f"answer to {body['messages'][-1]['content'] if 'messages' in body else body['prompt']}"
        found = {"choices": [{"message": {"content": answer}, "finish_reason": "stop"}]}
        if usage:
            found["usage"] = {"prompt_tokens": 3, "completion_tokens": 2}
        return json.dumps(found).encode()


@pytest.fixture
def server():
    made = Server()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def pauses(monkeypatch):
    """What would have been slept, not slept."""
    slept = []
    monkeypatch.setattr(bounds, "sleep", lambda seconds, _: slept.append(seconds))
    return slept


def asks(count=1, **settings):
    return [Ask(f"a{i}", f"q{i}", 4, **settings) for i in range(count)]


def test_replies_are_in_order_and_priced(server, tmp_path):
    endpoint = Endpoint(server.url, "m", concurrency=3, price=PRICE)
    replies = ask_all(endpoint, asks(7), journal=tmp_path / "j", max_usd=Decimal(10_000))
    assert [reply.text for reply in replies] == [f"answer to q{i}" for i in range(7)]
    assert {(r.input_tokens, r.output_tokens, r.usd, r.attempts, r.failure) for r in replies} == {
        (3, 2, Decimal(7), 1, None)
    }


@pytest.mark.parametrize(
    ("script", "attempts"),
    [
        ([(500, {})], 2),
        ([(429, {"Retry-After": "7"}), (503, {})], 3),
        (["malformed", "other"], 3),
        (["cut"], 2),
    ],
)
def test_what_may_pass_is_tried_again(server, tmp_path, pauses, script, attempts):
    server.script = list(script)
    (reply,) = ask_all(Endpoint(server.url, "m"), asks(), journal=tmp_path / "j")
    assert (reply.text, reply.attempts) == ("answer to q0", attempts)
    assert len(pauses) == attempts - 1
    if attempts == 3 and script[0] == (429, {"Retry-After": "7"}):
        assert pauses[0] == 7
    assert all(0 < pause <= 60 for pause in pauses)


@pytest.mark.parametrize(
    ("how", "kind", "tries"),
    [
        ((500, {}), "server_error: status 500", 3),
        ((429, {"Retry-After": "86400"}), "rate_limited: status 429", 3),
        ((400, {}), "refused: status 400", 1),
        ((401, {}), "refused: status 401", 1),
        ("hang", "timeout: no whole answer within 0.2 s", 3),
        ("drip", "timeout: no whole answer within 0.2 s", 3),
        ("cut", "cut: the connection ended", 3),
        ("malformed", "malformed: the answer is not", 3),
    ],
)
def test_every_failure_is_a_counted_reply(server, tmp_path, pauses, how, kind, tries):
    server.usual = how
    endpoint = Endpoint(server.url, "m", attempts=3, timeout_s=0.2)
    replies = ask_all(endpoint, asks(2), journal=tmp_path / "j")
    assert [reply.text for reply in replies] == [None, None]
    assert all(reply.failure.startswith(kind) for reply in replies)
    assert len(server.seen) == 2 * tries
    assert all(pause <= 60 for pause in pauses)
    assert (tmp_path / "j").read_bytes() == b""


def test_nobody_there_is_a_failure_not_an_exception(tmp_path, pauses):
    (reply,) = ask_all(Endpoint("http://127.0.0.1:9/v1", "m", attempts=2), asks(), journal=tmp_path / "j")
    assert reply.failure.startswith("unreachable: ")


def test_the_key_is_sent_and_is_nowhere_else(server, tmp_path, pauses, monkeypatch):
    monkeypatch.setenv("A_KEY", "sk-secret")
    server.script = [(401, {})]
    replies = ask_all(Endpoint(server.url, "m", api_key_env="A_KEY", concurrency=1), asks(2), journal=tmp_path / "j")
    assert [headers["Authorization"] for headers in server.headers] == ["Bearer sk-secret"] * 2
    assert "sk-secret" not in repr(replies) + (tmp_path / "j").read_text()
    assert "key *** may not" in replies[0].failure


def test_nothing_is_paid_for_twice_even_after_a_line_was_cut_short(server, tmp_path):
    journal = tmp_path / "j"
    endpoint = Endpoint(server.url, "m", price=PRICE, concurrency=1)
    first = ask_all(endpoint, asks(3), journal=journal)
    again = ask_all(endpoint, asks(4), journal=journal, max_usd=Decimal(300))
    assert len(server.seen) == 4
    assert again[:3] == first
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-20])
    for _ in range(2):
        assert [reply.text for reply in ask_all(endpoint, asks(4), journal=journal)] == [
            f"answer to q{i}" for i in range(4)
        ]
    assert len(server.seen) == 5
    ask_all(Endpoint(server.url, "other"), asks(1), journal=journal)
    ask_all(endpoint, asks(1, stop=("\n",)), journal=journal)
    assert len(server.seen) == 7


def test_a_run_that_was_killed_goes_on_where_it_was(server, tmp_path):
    program = """
import sys
from pathlib import Path
from costlib.quality.tasks.endpoint import Ask, Endpoint, ask_all
asks = [Ask(f"a{i}", f"q{i}", 4) for i in range(6)]
ask_all(Endpoint(sys.argv[1], "m", concurrency=1), asks, journal=Path(sys.argv[2]))
"""
    server.script = ["ok", "ok", "ok", lambda: os.kill(child.pid, signal.SIGKILL)]
    child = subprocess.Popen([sys.executable, "-c", program, server.url, str(tmp_path / "j")])
    assert child.wait(20) == -signal.SIGKILL
    assert len(server.seen) == 4
    replies = ask_all(Endpoint(server.url, "m", concurrency=1), asks(6), journal=tmp_path / "j")
    assert [reply.text for reply in replies] == [f"answer to q{i}" for i in range(6)]
    asked = [body["messages"][0]["content"] for body in server.seen]
    assert asked == ["q0", "q1", "q2", "q3", "q3", "q4", "q5"]


def test_the_same_question_twice_is_asked_once(server, tmp_path):
    twice = [Ask("a", "q", 4), Ask("b", "q", 4)]
    first, second = ask_all(Endpoint(server.url, "m"), twice, journal=tmp_path / "j")
    assert (first.id, second.id, first.text, second.text) == ("a", "b", "answer to q", "answer to q")
    assert len(server.seen) == 1


def test_a_run_that_is_interrupted_neither_waits_nor_asks_more(server, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        ask_all(Endpoint(server.url, "m", requests_per_minute=1), asks(6), journal=tmp_path / "j", progress=stop)
    assert time.monotonic() - started < 5
    assert len(server.seen) == 1


def test_two_runs_do_not_share_a_journal(server, tmp_path):
    with bounds.opened(tmp_path / "j"), pytest.raises(InputError, match="no other run"):
        ask_all(Endpoint(server.url, "m"), asks(), journal=tmp_path / "j")


def test_no_more_requests_at_once_than_asked_for(server, tmp_path):
    server.usual = "slow"
    ask_all(Endpoint(server.url, "m", concurrency=3), asks(12), journal=tmp_path / "j")
    assert server.most_busy == 3


def test_requests_start_at_the_rate(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(bounds.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(bounds, "sleep", lambda s, _: now.__setitem__(0, now[0] + s))
    rate = bounds.Rate(120)
    starts = []
    for _ in range(4):
        rate.wait(threading.Event())
        starts.append(now[0])
    assert starts == [100.0, 100.5, 101.0, 101.5]


@pytest.mark.parametrize("usual", ["ok", "no usage", "malformed"])
def test_the_cap_is_never_passed(server, tmp_path, pauses, usual):
    server.usual = usual
    worst = PRICE.usd(2 + OVERHEAD_TOKENS, 4)
    cap = 3 * worst
    endpoint = Endpoint(server.url, "m", price=PRICE, concurrency=8, attempts=2)
    replies = ask_all(endpoint, asks(100), journal=tmp_path / "j", max_usd=cap)
    assert len(replies) == 100
    billed = len(server.seen) * (7 if usual == "ok" else worst)
    assert billed <= cap
    over = [reply for reply in replies if reply.failure and reply.failure.startswith("over_budget")]
    assert len(over) >= 100 - len(server.seen) > 0
    if usual == "ok":
        longest = PRICE.usd(len("q99") + OVERHEAD_TOKENS, 4)
        assert len(server.seen) == int((cap - longest) / 7) + 1 == 76


def test_the_cap_holds_over_all_tasks_and_for_what_extra_allows(server, tmp_path):
    server.usual = "no usage"
    tasks = [Task(name, "exact", (Item("i", f"{name}?", "x"),), prompt="{input}", max_tokens=4) for name in "ab"]
    cap = PRICE.usd(2 + OVERHEAD_TOKENS, 4)
    rows = ask_endpoint(Endpoint(server.url, "m", price=PRICE), tasks, store=tmp_path, max_usd=cap)
    assert list(rows["status"]) == ["ok", "failed"]
    assert rows["reason"][1].startswith("over_budget: ")
    endpoint = Endpoint(server.url, "m", price=PRICE, extra={"max_completion_tokens": 5})
    (reply,) = ask_all(endpoint, asks(), journal=tmp_path / "j", max_usd=cap)
    assert reply.failure == f"over_budget: up to {cap + 2:.6f} USD more would pass the cap of {cap} USD"
    assert len(server.seen) == 1


def test_what_a_request_adds_is_part_of_the_question(server, tmp_path):
    """Another seed, and another way to ask, is asked anew; the same is not."""
    task = Task("echo", "exact", (Item("i", "q0", "x"),), prompt="{input}", max_tokens=4)

    def asked(**settings):
        before = len(server.seen)
        ask_endpoint(Endpoint(server.url, "m", **settings), [task], store=tmp_path)
        return len(server.seen) - before

    assert (asked(), asked()) == (1, 0)
    assert (asked(extra={"seed": 1}), asked(extra={"seed": 1}), asked(extra={"seed": 2}), asked()) == (1, 0, 1, 0)
    server.usual = (200, {}, json.dumps({"choices": [{"text": "x", "finish_reason": "stop"}]}).encode())
    assert (asked(chat=False), asked(chat=False), asked()) == (1, 0, 0)


def test_counts_a_server_does_not_give_are_unknown(server, tmp_path):
    server.script = ["no usage"]
    (reply,) = ask_all(Endpoint(server.url, "m", price=PRICE), asks(), journal=tmp_path / "j")
    assert (reply.text, reply.input_tokens, reply.output_tokens, reply.usd) == ("answer to q0", None, None, None)


def answer(content, ended="stop", used=3):
    found = {"choices": [{"message": {"content": content}, "finish_reason": ended}]}
    return (200, {}, json.dumps(found | {"usage": {"prompt_tokens": used, "completion_tokens": 2}}).encode())


@pytest.mark.parametrize(("content", "ended"), [(None, "length"), (None, "stop"), ("", "length"), ([], "length")])
def test_an_answer_without_text_is_a_failure_that_is_paid_for_once(server, tmp_path, content, ended):
    server.script = [answer(content, ended)]
    for _ in range(2):
        (reply,) = ask_all(Endpoint(server.url, "m", price=PRICE), asks(), journal=tmp_path / "j")
        assert (reply.text, reply.input_tokens, reply.usd, reply.attempts) == (None, 3, 7, 1)
        assert reply.failure == f"no_content: the answer holds no text (finish_reason {ended})"
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("", ""),
        ("a\ud800b", "a?b"),
        ([{"type": "thinking", "thinking": []}, {"type": "text", "text": "ye"}, {"type": "text", "text": "s"}], "yes"),
    ],
)
def test_odd_texts_are_answers(server, tmp_path, content, text):
    server.script = [answer(content)]
    (reply,) = ask_all(Endpoint(server.url, "m"), asks(), journal=tmp_path / "j")
    assert (reply.text, reply.failure) == (text, None)


def test_counts_no_table_can_hold_are_unknown(server, tmp_path):
    server.script = [answer("yes", used=10**40)]
    (reply,) = ask_all(Endpoint(server.url, "m", price=PRICE), asks(), journal=tmp_path / "j")
    assert (reply.text, reply.input_tokens, reply.usd) == ("yes", None, None)


@pytest.mark.parametrize(
    ("how", "failure"),
    [
        ((404, {}, b'{"detail": "Not Found"}'), "refused: status 404, Not Found"),
        ((400, {}, b'{"error": {"message": ""}}'), "refused: status 400"),
        ((400, {}, b'{"object": "error", "message": "no such model"}'), "refused: status 400, no such model"),
        ((500, {}, b"[" * 100_000), "server_error: status 500"),
        ((200, {}, b"[" * 100_000), "malformed: the answer is not a completion in JSON"),
        ((200, {"Content-Encoding": "gzip"}, b"no gzip"), "malformed: the answer is not in its own encoding"),
        ((200, {"Content-Encoding": "gzip"}, gzip.compress(b" " * 20_000_000)), "malformed: more than 16 MB came back"),
        ((307, {"Location": "https://nowhere.invalid"}, b""), "refused: status 307"),
        ((307, {"Location": "http://[::1"}, b""), "cut: the connection ended before the answer did"),
    ],
)
def test_no_answer_of_a_server_ends_the_run(server, tmp_path, pauses, how, failure):
    server.usual = how
    (reply,) = ask_all(Endpoint(server.url, "m", attempts=1), asks(), journal=tmp_path / "j")
    assert reply.failure == failure


def test_extra_fields_are_merged_and_null_takes_one_out(server, tmp_path):
    extra = {"max_tokens": None, "max_completion_tokens": 9}
    ask_all(Endpoint(server.url, "m", extra=extra), asks(stop=("\n",)), journal=tmp_path / "j")
    assert server.seen == [
        {
            "model": "m",
            "messages": [{"role": "user", "content": "q0"}],
            "temperature": 0,
            "stop": ["\n"],
            "max_completion_tokens": 9,
        }
    ]


def test_a_model_without_a_chat_template_is_asked_by_its_prompt(server, tmp_path):
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    found = {"choices": [{"text": " yes", "finish_reason": "stop"}], "usage": usage}
    server.script = [(200, {}, json.dumps(found).encode()), (200, {}, b'{"choices": [{"index": 0}]}')]
    endpoint = Endpoint(server.url, "m", chat=False, price=PRICE, concurrency=1, attempts=1)
    first, second = ask_all(endpoint, asks(2), journal=tmp_path / "j")
    assert (first.text, first.usd) == (" yes", 7)
    assert second.failure == "malformed: the answer is not a completion in JSON"
    assert server.seen[0] == {"model": "m", "prompt": "q0", "max_tokens": 4, "temperature": 0}
    assert server.paths == ["/v1/completions"] * 2
    ask_all(Endpoint(server.url, "m"), asks(1), journal=tmp_path / "j")
    assert server.paths[2:] == ["/v1/chat/completions"]


def test_a_task_through_an_endpoint(server, tmp_path):
    items = tuple(Item(f"i{i}", f"q{i}", f"answer to q{i}\nAnswer:", cost_of_miss=2.0) for i in range(3))
    task = Task("echo", "exact", items)
    endpoint = Endpoint(server.url, "m", price=PRICE, attempts=1, concurrency=1)
    server.script = ["ok", (500, {})]
    rows = ask_endpoint(endpoint, [task], store=tmp_path)
    assert list(rows["status"]) == ["ok", "failed", "ok"]
    assert list(rows["score"].dropna()) == [1.0, 1.0]
    assert rows["usd"].sum() == 14
    again = ask_endpoint(endpoint, [task], store=tmp_path)
    assert list(again["status"]) == ["ok"] * 3
    assert len(server.seen) == 4
    assert set(rows["model"]) == {f"m@127.0.0.1:{server.server.server_port}"}
    assert not any("/" in str(path.name) or "sk" in path.name for path in tmp_path.rglob("*"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"url": "http://example.com/v1"}, "an https address"),
        ({"url": "127.0.0.1:8000"}, "an https address"),
        ({"url": "https://me:pw@example.com"}, "without a key"),
        ({"url": "https://example.com/v1?key=1"}, "without a key"),
        ({"model": ""}, "the name the server knows"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"attempts": 11}, "attempts is 11"),
        ({"timeout_s": -1}, "timeout_s is -1"),
        ({"requests_per_minute": True}, "requests_per_minute is True"),
        ({"attempts": 1.5}, "a whole number"),
        ({"api_key_env": "NO_SUCH_KEY"}, "an environment variable"),
        ({"url": "http://127.0.0.1:99999/v1"}, "at most 65535"),
        ({"url": "http://[::1/v1"}, "an https address"),
        ({"extra": {"stream": True}}, "extra is 'stream'"),
        ({"extra": {"max_tokens": None}}, "extra is 'no length'"),
    ],
)
def test_an_endpoint_that_is_none_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        Endpoint(**{"url": "http://127.0.0.1:1/v1", "model": "m", **settings})


@pytest.mark.parametrize("url", ["http://me:hidden@example.com", "http://me:hidden@[::1", "http://h:x?key=hidden"])
def test_a_key_in_an_address_is_not_shown(url):
    with pytest.raises(InputError) as refused:
        Endpoint(url, "m")
    assert "hidden" not in str(refused.value)


def test_another_machine_is_reached_by_http_only_where_that_was_allowed():
    assert Endpoint("http://example.com/v1", "m", allow_remote_http=True).url == "http://example.com/v1"


@pytest.mark.parametrize("key", ["sk-hidden\n", "sk-hiddené"])
def test_a_key_that_cannot_be_sent_is_refused_unseen(monkeypatch, key):
    monkeypatch.setenv("A_KEY", key)
    with pytest.raises(InputError, match="visible ASCII letters") as refused:
        Endpoint("https://example.com/v1", "m", api_key_env="A_KEY")
    assert "hidden" not in str(refused.value)


@pytest.mark.parametrize("cap", ["NaN", "-1", "Infinity"])
def test_a_cap_is_an_amount(tmp_path, cap):
    with pytest.raises(InputError, match="an amount in USD"):
        ask_all(
            Endpoint("http://127.0.0.1:1/v1", "m", price=PRICE), asks(), journal=tmp_path / "j", max_usd=Decimal(cap)
        )


@pytest.mark.parametrize("price", [Decimal("NaN"), Decimal(-1), 0.5])
def test_a_price_is_an_amount(price):
    with pytest.raises(InputError, match="usd_per_mtok_output is"):
        TokenPrice(Decimal(1), price)


def test_a_cap_needs_a_price(tmp_path):
    with pytest.raises(InputError, match="max_usd is '1'"):
        ask_all(Endpoint("http://127.0.0.1:1/v1", "m"), asks(), journal=tmp_path / "j", max_usd=Decimal(1))
