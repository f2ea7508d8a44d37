"""OpenAI's Python client: `openai_client.py BASE_URL`. Each step asks something that no other step asks."""

import asyncio
import sys

import openai
import httpx2
from pydantic import BaseModel

from steps import Steps, each, whole

BASE_URL = sys.argv[1] + "/v1"
MODEL = "gpt-4.1"
SETTINGS = {"base_url": BASE_URL, "api_key": "sk-test", "organization": "org-abc", "max_retries": 0, "timeout": 20}
WEATHER = {
    "type": "object",
    "properties": {"location": {"type": "string"}, "unit": {"type": "string"}},
    "required": ["location", "unit"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "strict": True, "parameters": WEATHER}},
    {"type": "function", "function": {"name": "get_time", "parameters": {"type": "object", "properties": {}}}},
]
RESPONSES_TOOLS = [{"type": "function", "name": "get_weather", "strict": True, "parameters": WEATHER}]

steps = Steps()
client = openai.OpenAI(
    http_client=openai.DefaultHttpxClient(event_hooks={"response": [steps.heard]}),
    **SETTINGS,
)


class Purchase(BaseModel):
    food: str
    kilos: float


def user(text):
    return [{"role": "user", "content": text}]


def take(name, ask):
    # What no client makes an error of its own of is a connection that breaks.
    steps.take(name, ask, (openai.APIError, httpx2.TransportError))


def chat(text, **more):
    return client.chat.completions.create(model=MODEL, messages=user(text), **more)


def raw_chat():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=user("raw"))
    assert raw.headers.get("cache-status") == steps.cache
    return whole(raw.parse())


def raw_stream():
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=user("raw stream"), stream=True)
    assert raw.headers.get("cache-status") == steps.cache
    return each(raw.parse())


def accumulated(text, **more):
    options = {"stream_options": {"include_usage": True}, **more}
    with client.chat.completions.stream(model=MODEL, messages=user(text), **options) as stream:
        kinds = [event.type for event in stream]
        return {"kinds": kinds, "final": whole(stream.get_final_completion())}


def accumulated_response(text, **more):
    with client.responses.stream(model="gpt-5-mini", input=text, **more) as stream:
        kinds = [event.type for event in stream]
        return {"kinds": kinds, "final": whole(stream.get_final_response())}


async def of_async_client():
    http_client = openai.DefaultAsyncHttpxClient(event_hooks={"response": [steps.heard_async]})
    async with openai.AsyncOpenAI(http_client=http_client, **SETTINGS) as other:
        stream = await other.chat.completions.create(model=MODEL, messages=user("async"), stream=True)
        return [chunk.to_dict(mode="json") async for chunk in stream]


def embeddings(text, **more):
    return whole(client.embeddings.create(model="text-embedding-3-small", input=[text, "Käse"], **more))


take("chat", lambda: whole(chat("plain")))
take("chat with parts", lambda: whole(chat([{"type": "text", "text": "plain"}], temperature=0.2, seed=7)))
take("chat, raw response", raw_chat)
take("chat, choices", lambda: whole(chat("choices", n=2)))
take("chat, stream", lambda: each(chat("stream", stream=True, stream_options={"include_usage": True})))
take("chat, stream of choices", lambda: each(chat("stream of choices", n=2, stream=True)))
take("chat, raw stream", raw_stream)
take("chat, accumulated", lambda: accumulated("accumulated"))
take("chat, accumulated choices", lambda: accumulated("accumulated choices", n=2))
take("chat, asynchronous", lambda: asyncio.run(of_async_client()))
take("tools", lambda: whole(chat("tools", tools=TOOLS)))
take("tools, stream", lambda: each(chat("tools stream", tools=TOOLS, stream=True)))
take("tools, accumulated", lambda: accumulated("tools accumulated", tools=TOOLS[:1]))
take(
    "schema",
    lambda: whole(
        client.chat.completions.parse(
            model=MODEL, messages=user("schema"), response_format=Purchase, logprobs=True, top_logprobs=2
        )
    ),
)
take("completions", lambda: whole(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="plain")))
take(
    "completions, stream",
    lambda: each(client.completions.create(model="gpt-3.5-turbo-instruct", prompt="stream", stream=True)),
)
take("responses", lambda: whole(client.responses.create(model="gpt-5-mini", input="plain")))
take("responses, stream", lambda: each(client.responses.create(model="gpt-5-mini", input="stream", stream=True)))
take("responses, accumulated", lambda: accumulated_response("accumulated"))
take("responses, tools", lambda: whole(client.responses.create(model="gpt-5-mini", input="t", tools=RESPONSES_TOOLS)))
take("responses, tools accumulated", lambda: accumulated_response("tools", tools=RESPONSES_TOOLS))
# By default this client asks for base64, and makes numbers of it.
take("embeddings", lambda: embeddings("default"))
take("embeddings, floats", lambda: embeddings("floats", encoding_format="float"))
take("embeddings, base64", lambda: embeddings("base64", encoding_format="base64"))
for status in [400, 401, 404, 429, 500]:
    take(f"error {status}", lambda: whole(client.chat.completions.create(model=f"error-{status}", messages=user("hi"))))
take("error 429 for a stream", lambda: each(client.responses.create(model="error-429", input="hi", stream=True)))
take("error in a stream", lambda: each(client.chat.completions.create(model="error", messages=user("hi"), stream=True)))
take("broken stream", lambda: each(client.chat.completions.create(model="error-cut", messages=user("hi"), stream=True)))
