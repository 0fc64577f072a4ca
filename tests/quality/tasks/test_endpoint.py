"""Against a real server on loopback that misbehaves as each test says."""

import json
import threading
import time
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from costlib.errors import InputError
from costlib.quality.tasks import bounds
from costlib.quality.tasks.endpoint import Ask, Endpoint, TokenPrice, ask_all
from costlib.quality.tasks.items import Item, Task
from costlib.quality.tasks.run import ask_endpoint

PRICE = TokenPrice(Decimal(1_000_000), Decimal(2_000_000))
"""One dollar a token read, two a token written."""


class Server:
    """Answers each request by the next of `script`, then by `usual`; remembers what it was asked."""

    def __init__(self):
        self.script, self.seen, self.headers = [], [], []
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
        if isinstance(how, tuple):
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
        elif how == "null":
            content = self.completion(body, text=None)
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
    def completion(body, text="", usage=True):
        answer = None if text is None else f"answer to {body['messages'][-1]['content']}"
        found = {"choices": [{"message": {"content": answer}}]}
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
    monkeypatch.setattr(bounds, "sleep", slept.append)
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
    again = ask_all(endpoint, asks(4), journal=journal, max_usd=Decimal(80))
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
    ask_all(endpoint, asks(1, system="be brief"), journal=journal)
    assert len(server.seen) == 7


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
    monkeypatch.setattr(bounds, "sleep", lambda s: now.__setitem__(0, now[0] + s))
    rate = bounds.Rate(120)
    starts = []
    for _ in range(4):
        rate.wait()
        starts.append(now[0])
    assert starts == [100.0, 100.5, 101.0, 101.5]


@pytest.mark.parametrize("usual", ["ok", "no usage", "malformed"])
def test_the_cap_is_never_passed(server, tmp_path, pauses, usual):
    server.usual = usual
    worst = PRICE.usd(2 + 64, 4)
    cap = 3 * worst
    endpoint = Endpoint(server.url, "m", price=PRICE, concurrency=8, attempts=2)
    replies = ask_all(endpoint, asks(60), journal=tmp_path / "j", max_usd=cap)
    assert len(replies) == 60
    billed = len(server.seen) * (7 if usual == "ok" else worst)
    assert billed <= cap
    over = [reply for reply in replies if reply.failure and reply.failure.startswith("over_budget")]
    assert len(over) >= 60 - len(server.seen) > 0
    if usual == "ok":
        assert len(server.seen) == int((cap - worst) / 7) + 1


def test_counts_a_server_does_not_give_are_unknown(server, tmp_path):
    server.script = ["no usage", "null"]
    first, second = ask_all(Endpoint(server.url, "m", price=PRICE, concurrency=1), asks(2), journal=tmp_path / "j")
    assert (first.text, first.input_tokens, first.usd) == ("answer to q0", None, None)
    assert (second.text, second.input_tokens, second.failure) == ("", 3, None)


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
        ({"model": ""}, "the name the endpoint knows"),
        ({"concurrency": 0}, "concurrency is 0"),
        ({"attempts": 11}, "attempts is 11"),
        ({"timeout_s": -1}, "timeout_s is -1"),
        ({"requests_per_minute": True}, "requests_per_minute is True"),
        ({"api_key_env": "NO_SUCH_KEY"}, "an environment variable"),
    ],
)
def test_an_endpoint_that_is_none_is_refused(settings, said):
    with pytest.raises(InputError, match=said):
        Endpoint(**{"url": "http://127.0.0.1:1/v1", "model": "m", **settings})


def test_a_cap_needs_a_price(tmp_path):
    with pytest.raises(InputError, match="max_usd is '1'"):
        ask_all(Endpoint("http://127.0.0.1:1/v1", "m"), asks(), journal=tmp_path / "j", max_usd=Decimal(1))
