"""Asks each question plainly and for a stream: `renderings.py BASE_URL COUNT`.

The answer of a question is the same in both renderings, so what a client makes of both has to be. Half of the questions
are asked plainly first.
"""

import json
import sys

import anthropic
import openai

from steps import Steps

BASE_URL, COUNT = sys.argv[1], int(sys.argv[2])
steps = Steps()
hooks = {"event_hooks": {"response": [steps.heard]}}
gpt = openai.OpenAI(
    base_url=f"{BASE_URL}/v1",
    api_key="sk-test",
    max_retries=0,
    timeout=20,
    http_client=openai.DefaultHttpxClient(**hooks),
)
claude = anthropic.Anthropic(
    base_url=BASE_URL,
    api_key="sk-ant-test",
    max_retries=0,
    timeout=20,
    http_client=anthropic.DefaultHttpxClient(**hooks),
)


def chat(text, streams):
    request = {"model": "gpt-4.1", "messages": [{"role": "user", "content": text}]}
    if not streams:
        return gpt.chat.completions.create(**request)
    with gpt.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
        return stream.get_final_completion()


def responses(text, streams):
    request = {"model": "gpt-5-mini", "input": text}
    if not streams:
        return gpt.responses.create(**request)
    with gpt.responses.stream(**request) as stream:
        return stream.get_final_response()


def messages(text, streams):
    request = {"model": "claude-sonnet-5", "max_tokens": 2048, "messages": [{"role": "user", "content": text}]}
    if not streams:
        return claude.messages.create(**request)
    with claude.messages.stream(**request) as stream:
        return stream.get_final_message()


for api, ask in {"chat": chat, "responses": responses, "messages": messages}.items():
    for number in range(COUNT):
        for order in [False, True], [True, False]:
            question = f"{api} {number} {order[0]}"
            answers = [(ask(question, streams).to_dict(mode="json"), steps.cache) for streams in order]
            print(json.dumps({"question": question, "answers": answers}), flush=True)
