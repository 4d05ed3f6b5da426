"""Calls a gateway with the official clients.

Reads one call per line from stdin, as JSON, and writes its result as a line.
"""

import json
import ssl
import sys

import anthropic
import openai

MESSAGES = [{"role": "user", "content": "Hello"}]


def client_of(call):
    """Returns the client of the call, with its defaults except for the address and the credential."""
    module = anthropic if call["client"] == "anthropic" else openai
    options = dict(call["credential"])
    if "certificate" in call:
        context = ssl.create_default_context(cafile=call["authority"])
        context.load_cert_chain(call["certificate"])
        options["http_client"] = module.DefaultHttpxClient(verify=context)
    if module is anthropic:
        return anthropic.Anthropic(base_url=call["url"], **options)
    return openai.OpenAI(base_url=call["url"] + "/v1", **options)


def openai_chat(client, call):
    answer = client.chat.completions.create(
        model=call["model"], max_tokens=call["maxTokens"], messages=MESSAGES, extra_headers=call["headers"]
    )
    return {"text": answer.choices[0].message.content, "tokens": answer.usage.completion_tokens}


def openai_stream(client, call):
    chunks = client.chat.completions.create(
        model=call["model"],
        max_tokens=call["maxTokens"],
        messages=MESSAGES,
        extra_headers=call["headers"],
        stream=True,
        stream_options={"include_usage": True},
    )
    text, tokens = "", None
    for chunk in chunks:
        text += "".join(choice.delta.content or "" for choice in chunk.choices)
        tokens = chunk.usage.completion_tokens if chunk.usage else tokens
    return {"text": text, "tokens": tokens}


def anthropic_chat(client, call):
    answer = client.messages.create(
        model=call["model"], max_tokens=call["maxTokens"], messages=MESSAGES, extra_headers=call["headers"]
    )
    return {"text": answer.content[0].text, "tokens": answer.usage.output_tokens}


def anthropic_stream(client, call):
    with client.messages.stream(
        model=call["model"], max_tokens=call["maxTokens"], messages=MESSAGES, extra_headers=call["headers"]
    ) as stream:
        answer = stream.get_final_message()
    return {"text": answer.content[0].text, "tokens": answer.usage.output_tokens}


def models(client, _):
    return {"models": sorted(model.id for model in client.models.list())}


METHODS = {
    ("openai", "chat"): openai_chat,
    ("openai", "stream"): openai_stream,
    ("anthropic", "chat"): anthropic_chat,
    ("anthropic", "stream"): anthropic_stream,
    ("openai", "models"): models,
    ("anthropic", "models"): models,
}


def result_of(call):
    try:
        with client_of(call) as client:
            return METHODS[call["client"], call["method"]](client, call)
    except (anthropic.APIError, openai.APIError) as error:
        return {"error": type(error).__name__, "status": getattr(error, "status_code", None), "message": str(error)}


for line in sys.stdin:
    print(json.dumps(result_of(json.loads(line))), flush=True)
