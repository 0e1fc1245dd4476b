"""A first call, ready to be copied: curl, Python and JavaScript, with the address that the reader came by."""

import json
import shlex
from dataclasses import dataclass

WORDS = "Hello"


@dataclass(frozen=True, slots=True)
class Snippet:
    """One way to make the call."""

    title: str
    text: str


def of(address: str, model: str) -> list[Snippet]:
    """Write the call to a model at a gateway's address; names with quotes break no language's strings."""
    base, name = f"{address}/v1", json.dumps(model)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": WORDS}]}, ensure_ascii=False)
    return [
        Snippet("curl", _CURL.format(url=shlex.quote(f"{base}/chat/completions"), body=shlex.quote(body))),
        Snippet("Python", _PYTHON.format(base=json.dumps(base), model=name, words=json.dumps(WORDS))),
        Snippet("JavaScript", _JAVASCRIPT.format(base=json.dumps(base), model=name, words=json.dumps(WORDS))),
    ]


_CURL = """\
curl {url} \\
  -H "Authorization: Bearer $GATEWAY_KEY" \\
  -H "Content-Type: application/json" \\
  -d {body}"""
_PYTHON = """\
import os
from openai import OpenAI

client = OpenAI(base_url={base}, api_key=os.environ["GATEWAY_KEY"])
answer = client.chat.completions.create(
    model={model},
    messages=[{{"role": "user", "content": {words}}}],
)
print(answer.choices[0].message.content)"""
_JAVASCRIPT = """\
import OpenAI from "openai";

const client = new OpenAI({{ baseURL: {base}, apiKey: process.env.GATEWAY_KEY }});
const answer = await client.chat.completions.create({{
  model: {model},
  messages: [{{ role: "user", content: {words} }}],
}});
console.log(answer.choices[0].message.content);"""
