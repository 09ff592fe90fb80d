"""Asks over NATS with a plain client: nothing but what docs/reference says. pip install -r examples/requirements.txt

python examples/ask.py [question]           one answer, then the same streamed
python examples/ask.py --cancel-after 3 ... streams alone, and cancels after so many chunks
NATS_URL, MERITORDER_ORG, MERITORDER_MODEL and NATS_PASSWORD override the defaults of `npm start`.
"""

import argparse
import asyncio
import json
import os
import sys
import uuid
from pathlib import Path

import nats

TIMEOUT_SECONDS = 60


class Refused(Exception):
    """What a message with the header Nats-Service-Error says."""


def read(message):
    """The body of a message. Raises Refused where it is an error."""
    body = json.loads(message.data)
    headers = message.headers or {}
    if "Nats-Service-Error" in headers:
        status = headers["Nats-Service-Error-Code"]
        raise Refused(f"{headers['Nats-Service-Error']} ({status}): {body['error']['message']}")
    return body


def receipt(body):
    of = body["meritorder"]
    return f"{of['backend']} for ${of['cost']['usd']} ({of['cost']['basis']})"


async def ask(client, org, body):
    reply = await client.request(f"inference.request.v1.{org}", json.dumps(body).encode(), timeout=TIMEOUT_SECONDS)
    answer = read(reply)
    print(answer["choices"][0]["message"]["content"])
    print(receipt(answer))


async def stream(client, org, body, cancel_after):
    request = str(uuid.uuid4())
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    await client.publish(
        f"inference.request.v1.{org}",
        json.dumps({**body, "stream": True}).encode(),
        reply=inbox,
        headers={"Meritorder-Request": request},
    )
    expected = acknowledged = 0
    while True:
        message = await subscription.next_msg(timeout=TIMEOUT_SECONDS)
        chunk = read(message)
        if int(message.headers["Meritorder-Seq"]) != expected:
            raise Refused(f"chunk {expected} is missing")
        expected += 1
        if "Meritorder-Status" in message.headers:
            break
        for choice in chunk["choices"]:
            print(choice["delta"].get("content") or "", end="", flush=True)
        if message.reply:
            await client.publish(message.reply)
            acknowledged += 1
        if expected == cancel_after:
            await client.publish(f"inference.cancel.v1.{org}.{request}")
    await subscription.unsubscribe()
    print(f"\n{message.headers['Meritorder-Status']}: {expected} messages, {acknowledged} acknowledged, {receipt(chunk)}")


async def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("question", nargs="?", default="What is a merit order?")
    arguments.add_argument("--cancel-after", type=int, default=0)
    options = arguments.parse_args()
    org = os.environ.get("MERITORDER_ORG", "acme")
    password = os.environ.get("NATS_PASSWORD") or Path(f".data/nats/generated/passwords/org-{org}").read_text().strip()
    client = await nats.connect(
        os.environ.get("NATS_URL", "nats://127.0.0.1:14222"),
        user=f"org-{org}",
        password=password,
        inbox_prefix=f"_INBOX_{org}",
    )
    body = {
        "model": os.environ.get("MERITORDER_MODEL", "auto"),
        "messages": [{"role": "user", "content": options.question}],
        "max_tokens": 200,
    }
    try:
        if not options.cancel_after:
            await ask(client, org, body)
        await stream(client, org, body, options.cancel_after)
    except Refused as refused:
        sys.exit(str(refused))
    finally:
        await client.close()


asyncio.run(main())
