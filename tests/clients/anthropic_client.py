"""Anthropic's Python client: `anthropic_client.py BASE_URL`. Each step asks something that no other step asks."""

import asyncio
import sys

import anthropic
import httpx2

from steps import Steps, each, whole

MODEL = "claude-sonnet-5"
SETTINGS = {"base_url": sys.argv[1], "api_key": "sk-ant-test", "max_retries": 0, "timeout": 20}
TOOLS = [
    {"name": "get_weather", "input_schema": {"type": "object", "properties": {"location": {"type": "string"}}}},
    {"name": "get_time", "input_schema": {"type": "object", "properties": {}}},
]
THINKING = {"type": "adaptive"}

steps = Steps()
client = anthropic.Anthropic(
    http_client=anthropic.DefaultHttpxClient(event_hooks={"response": [steps.heard]}),
    **SETTINGS,
)


def request(text, **more):
    return {"model": MODEL, "max_tokens": 2048, "messages": [{"role": "user", "content": text}], **more}


def take(name, ask):
    # What no client makes an error of its own of is a connection that breaks.
    steps.take(name, ask, (anthropic.APIError, httpx2.TransportError))


def create(text, **more):
    return client.messages.create(**request(text, **more))


def raw_message():
    raw = client.messages.with_raw_response.create(**request("raw"))
    assert raw.headers.get("cache-status") == steps.cache
    return whole(raw.parse())


def raw_stream():
    raw = client.messages.with_raw_response.create(**request("raw stream", stream=True))
    assert raw.headers.get("cache-status") == steps.cache
    return each(raw.parse())


def accumulated(text, **more):
    with client.messages.stream(**request(text, **more)) as stream:
        assert stream.response.headers.get("cache-status") == steps.cache
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
        return {"kinds": kinds, "request_id": stream.request_id, "final": whole(final)}


async def of_async_client():
    http_client = anthropic.DefaultAsyncHttpxClient(event_hooks={"response": [steps.heard_async]})
    async with anthropic.AsyncAnthropic(http_client=http_client, **SETTINGS) as other:
        async with other.messages.stream(**request("async")) as stream:
            text = [piece async for piece in stream.text_stream]
            return {"text": text, "final": whole(await stream.get_final_message())}


take("message", lambda: whole(create("plain")))
PARTS = [{"type": "text", "text": "plain"}]
take("message with parts", lambda: whole(create(PARTS, system="Short.", stop_sequences=["x"])))
take("message, raw response", raw_message)
take("stream", lambda: each(create("stream", stream=True)))
take("raw stream", raw_stream)
take("accumulated", lambda: accumulated("accumulated"))
take("asynchronous", lambda: asyncio.run(of_async_client()))
take("tools", lambda: whole(create("tools", tools=TOOLS)))
take("tools, stream", lambda: each(create("tools stream", tools=TOOLS, stream=True)))
take("tools, accumulated", lambda: accumulated("tools accumulated", tools=TOOLS))
take("thinking", lambda: whole(create("thinking", thinking=THINKING)))
take("thinking, stream", lambda: each(create("thinking stream", thinking=THINKING, stream=True)))
take("thinking, accumulated", lambda: accumulated("thinking accumulated", thinking=THINKING))
for status in [400, 401, 404, 429, 500, 529]:
    take(f"error {status}", lambda: whole(create("hi", model=f"error-{status}")))
take("error 529 for a stream", lambda: each(create("hi", model="error-529", stream=True)))
take("error in a stream", lambda: each(create("hi", model="error", stream=True)))
take("broken stream", lambda: each(create("hi", model="error-cut", stream=True)))
