"""Writes the synthetic evaluation sets of the demo's support desk: `python data/tasks/generate.py`.

Every sentence is put together from parts written here, with a fixed seed; none was taken from a company or a person.
They are easier than real tickets, so scores on them say how variants compare and not how a real desk would fare.

ticket_routing.jsonl       which of eight queues a ticket belongs to; a train split for examples and linear heads
ticket_routing_hard.jsonl  the same queues, worded so that key words mislead: negations, past topics, typing errors
order_data.jsonl           order number, date, amount and product out of a message, as JSON
help_search.jsonl          the one of 24 help articles that answers a question
refund_sums.jsonl          the amount to refund, a number
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent

QUEUES: dict[str, tuple[list[str], list[str]]] = {
    "billing": (
        ["I was charged twice for {thing}", "the invoice for {thing} shows the wrong amount", "my bill went up and "
         "nobody told me", "there is a payment on my statement I cannot explain", "please send a receipt for {thing}"],
        ["the card was debited on {day}", "the total is {amount} euros", "I pay by direct debit"],
    ),
    "delivery": (
        ["{thing} has not arrived yet", "tracking for {thing} has not moved since {day}", "the courier left {thing} at "
         "the wrong house", "where is {thing}, it was due on {day}", "can you bring {thing} to another address"],
        ["I stayed at home all day", "the depot knows nothing", "it was promised for {day}"],
    ),
    "returns": (
        ["I want to send {thing} back", "how do I return {thing}", "please take {thing} back, I changed my mind",
         "I need a label to send {thing} back to you", "{thing} is the wrong size and should go back"],
        ["it is unopened", "I bought it on {day}", "the box is still here"],
    ),
    "account": (
        ["I cannot sign in any more", "the password reset mail never comes", "please change the e-mail address of my "
         "login", "my account is locked since {day}", "how do I delete my profile"],
        ["I tried three browsers", "my user name is correct", "it worked until {day}"],
    ),
    "technical": (
        ["{thing} does not switch on", "the app crashes when I open it", "{thing} loses its wireless connection",
         "an error code blinks on {thing}", "{thing} makes a loud noise and stops"],
        ["I restarted it twice", "the firmware is current", "it began on {day}"],
    ),
    "subscription": (
        ["please cancel my monthly plan", "I want to move to the yearly plan", "can I pause my membership until {day}",
         "my free trial should end on {day}, what happens then", "add a second seat to our plan"],
        ["I use it rarely", "we are a team of three", "the renewal is on {day}"],
    ),
    "warranty": (
        ["{thing} broke after a year, is it still covered", "I would like a repair of {thing} under guarantee",
         "the guarantee card of {thing} is missing", "does the warranty of {thing} cover a cracked screen",
         "how long is the guarantee on {thing}"],
        ["I bought it on {day}", "I have the purchase slip", "I never dropped it"],
    ),
    "sales": (
        ["which of your models fits a small office", "do you give a discount for twenty pieces of {thing}",
         "is {thing} in stock", "I would like an offer for {thing}", "when will the new version of {thing} be sold"],
        ["we would order before {day}", "our budget is {amount} euros", "we compare two suppliers"],
    ),
}  # fmt: skip
HARD: dict[str, list[str]] = {
    "billing": ["This is not about the delivery, which came on {day}: you took {amount} euros for it twice",
                "The repair was fine. What is not fine is the sum you took from my card afterwards"],
    "delivery": ["I have paid the invoice and my account works, but I still sit here without {thing}",
                 "I do not want to return anything, I want {thing} to come at all"],
    "returns": ["No repair please, and no discount: take {thing} out of my house and give me my money",
                "It works and it came in time. I simply do not like {thing} and it must leave"],
    "account": ["The app does not crash, it only says that my secret word is wrong since {day}",
                "Before you ask about my plan: I get no further than the page with name and password"],
    "technical": ["I do not ask for money or for a guarantee, only how I make {thing} stop blinking",
                  "The parcel was on time and the price was good, but {thing} stays dark whatever I press"],
    "subscription": ["Not a technical question: from {day} on I want to pay once a year instead of every month",
                     "I was never charged wrongly, but after {day} please do not renew what I pay each month"],
    "warranty": ["I do not want to give {thing} back. I want it mended, and you promised to do so for two years",
                 "{thing} died in its second year; is that still yours to pay, or mine"],
    "sales": ["I own nothing of yours yet, so nothing is broken: what would fifteen of {thing} cost",
              "My colleague returned his, I would still like one: can I get {thing} before {day}"],
}  # fmt: skip
THINGS = ["the headset", "my coffee machine", "the desk lamp", "the router", "my order", "the monitor", "the printer",
          "the office chair", "the air filter", "my new keyboard"]  # fmt: skip
DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "3 May", "14 June", "22 August"]
OPENINGS = ["", "Hello, ", "Good morning, ", "Dear team, ", "Hi, "]
CLOSINGS = ["", " Thank you.", " Please answer soon.", " What can be done?"]
PRODUCTS = ["headset", "coffee machine", "desk lamp", "router", "monitor", "printer", "office chair", "air filter"]
MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October"]

ARTICLES: list[tuple[str, list[str]]] = [
    ("Reset a forgotten password with the link on the sign-in page.",
     ["I no longer know my login word", "how do I get in without remembering my credentials"]),
    ("Change the e-mail address of an account under Settings, Contact.",
     ["my mailbox moved to another provider", "use a different mail for my profile"]),
    ("Delete an account and all stored personal data.",
     ["remove everything you know about me", "close my profile for good"]),
    ("Track a parcel with the number in the dispatch mail.",
     ["where is my shipment right now", "follow the package on its way"]),
    ("Change the delivery address before an order leaves the warehouse.",
     ["send it to my office instead", "I typed the wrong street when ordering"]),
    ("What to do when a parcel arrives damaged.",
     ["the box was crushed when it came", "the courier delivered broken goods"]),
    ("Return an unused product within 30 days.",
     ["I do not like what I bought", "give goods back and get the money"]),
    ("Print a return label at home or at a parcel shop.",
     ["I need the sticker for sending it back", "no printer here for the return slip"]),
    ("How long a refund takes to reach a bank account.",
     ["when do I see my money again", "the repayment has not come through"]),
    ("Pay by card, direct debit, or on account.",
     ["which ways of paying do you accept", "can I settle by bank collection"]),
    ("Find and download invoices of past orders.",
     ["my accountant needs last year's bills", "get a PDF of what I was charged"]),
    ("Why a payment may appear twice on a statement.",
     ["the bank shows the same debit two times", "you took the amount double"]),
    ("Add a company name and tax number to an invoice.",
     ["the bill must carry our VAT id", "make the receipt out to my firm"]),
    ("Cancel a subscription at the end of its term.",
     ["stop the monthly renewal", "I do not want to go on with the plan"]),
    ("Pause a subscription for up to three months.",
     ["I am away all summer and need no plan", "freeze my membership for a while"]),
    ("Change between the monthly and the yearly plan.",
     ["pay once per year instead", "switch how often I am billed for membership"]),
    ("Invite a colleague and assign a seat.",
     ["someone joins our team and needs access", "let a second person use our licence"]),
    ("Connect the router to a wireless network.",
     ["the box does not find the wifi", "set up the internet device at home"]),
    ("Update the firmware of a device.",
     ["install the newest system on my gadget", "is there a software upgrade for the hardware"]),
    ("What the blinking lights and error codes mean.",
     ["a red lamp flashes three times", "it shows E4 and stops"]),
    ("Clean and descale a coffee machine.",
     ["the espresso tastes of chalk", "limescale in the brewer"]),
    ("What the two-year warranty covers.",
     ["is a defect in month twenty free of charge", "which faults do you mend for nothing"]),
    ("Send a device to the repair centre.",
     ["where do I post a faulty unit to have it mended", "a technician should look at my appliance"]),
    ("Ask for a quote for ten pieces or more.",
     ["price for a large order", "we want to equip a whole floor"]),
]  # fmt: skip


def _filled(draw: random.Random, text: str) -> str:
    values = {"thing": draw.choice(THINGS), "day": draw.choice(DAYS), "amount": str(draw.randrange(12, 480))}
    filled = text.format(**values)
    return filled[0].upper() + filled[1:]


def _typo(draw: random.Random, text: str) -> str:
    """Two neighbouring letters of one long word swapped."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 5 and word.isalpha()]
    if long:
        i = draw.choice(long)
        at = draw.randrange(1, len(words[i]) - 2)
        words[i] = words[i][:at] + words[i][at + 1] + words[i][at] + words[i][at + 2 :]
    return " ".join(words)


def tickets(draw: random.Random, per_queue: int) -> Iterator[tuple[str, str]]:
    """Distinct tickets, `per_queue` of each queue, and their queue."""
    for queue, (asks, details) in QUEUES.items():
        made: set[str] = set()
        while len(made) < per_queue:
            ask, detail = _filled(draw, draw.choice(asks)), _filled(draw, draw.choice(details))
            opening = draw.choice(OPENINGS)
            first = ask if not opening else opening + ask[0].lower() + ask[1:]
            text = f"{first}. {detail}.{draw.choice(CLOSINGS)}"
            if text not in made:
                made.add(text)
                yield text, queue


def ticket_routing() -> Iterator[dict[str, Any]]:
    """Twelve tickets of each queue to learn from, 28 to score."""
    draw = random.Random(1)
    found = list(tickets(draw, 40))
    draw.shuffle(found)
    train = {queue: 0 for queue in QUEUES}
    for text, queue in found:
        train[queue] += 1
        split = "train" if train[queue] <= 12 else "test"
        yield _classified(text, queue) | {"split": split, "cost_of_miss": 0.6}


def ticket_routing_hard() -> Iterator[dict[str, Any]]:
    """Trained on the easy tickets, asked on the hard ones."""
    yield from (row for row in ticket_routing() if row["split"] == "train")
    draw = random.Random(2)
    for queue, texts in HARD.items():
        made: set[str] = set()
        while len(made) < 6:
            text = _typo(draw, _filled(draw, draw.choice(texts))) + draw.choice([".", ". Please help.", ". Thank you."])
            if text not in made:
                made.add(text)
                yield _classified(text, queue) | {"split": "test", "cost_of_miss": 0.6}


def _classified(text: str, queue: str) -> dict[str, Any]:
    return {"kind": "classification", "input": text, "choices": list(QUEUES), "expected": queue}


def order_data() -> Iterator[dict[str, Any]]:
    """Six messages as examples, 240 to score: enough to pass a loss of two points, where next to none is lost."""
    draw = random.Random(3)
    texts = [
        "On {day} {month} I ordered a {product} for {amount} euros, order {order}, and I have a question.",
        "My order number is {order}. It is a {product}, bought on {day} {month}, price {amount} EUR.",
        "Please look at {order}: one {product}, {amount} euros, placed {day} {month}.",
        "I paid {amount} euros for a {product} on {day} {month}. The confirmation says {order}.",
        "Regarding the {product} ({order}) which cost me {amount} euros on {day} {month}: can it be changed?",
    ]
    for number in range(246):
        fields = {
            "order": f"{draw.choice('ABKR')}{draw.randrange(10000, 99999)}",
            "date": f"{draw.randrange(1, 29)} {draw.choice(MONTHS)}",
            "amount": draw.randrange(900, 60000) / 100,
            "product": draw.choice(PRODUCTS),
        }
        day, month = str(fields["date"]).split()
        shown = {**fields, "day": day, "month": month, "amount": f"{fields['amount']:.2f}"}
        text = draw.choice(texts).format(**shown)
        split = "train" if number < 6 else "test"
        yield {"kind": "extraction", "input": text, "expected": fields, "split": split, "cost_of_miss": 1.5}


def help_search() -> Iterator[dict[str, Any]]:
    """Two questions for each article; questions about one article are one cluster."""
    articles = [text for text, _ in ARTICLES]
    for text, questions in ARTICLES:
        for question in questions:
            row = {"kind": "retrieval", "input": question, "choices": articles, "expected": text}
            yield row | {"cluster": text[:24], "cost_of_miss": 0.005}


def refund_sums() -> Iterator[dict[str, Any]]:
    """Six sums as examples, 60 to score."""
    draw = random.Random(5)
    for number in range(66):
        count, price = draw.randrange(2, 9), draw.randrange(3, 60)
        kept = draw.randrange(1, count)
        product = draw.choice(PRODUCTS)
        text = (
            f"A customer bought {count} pieces of a {product} at {price} euros each and keeps {kept}. "
            f"How many euros are refunded for the rest?"
        )
        split = "train" if number < 6 else "test"
        yield {"kind": "numeric", "input": text, "expected": (count - kept) * price, "split": split}


SETS = (ticket_routing, ticket_routing_hard, order_data, help_search, refund_sums)


def text(rows: Iterable[dict[str, Any]]) -> str:
    """Rows as JSONL."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


if __name__ == "__main__":
    for make in SETS:
        (FOLDER / f"{make.__name__}.jsonl").write_text(text(make()), encoding="utf-8")
