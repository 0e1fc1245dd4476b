import ast
from pathlib import Path

import pytest

from app.provider import adapters
from app.provider.adapters import ADAPTERS

FOLDER = Path(adapters.__file__).parent
BODY = {
    "model": "m",
    "messages": [{"role": "user", "content": "hello"}],
    "seed": 7,
    "max_completion_tokens": 9,
    "logit_bias": {"1": 2},
    "logprobs": True,
    "top_logprobs": 3,
    "user": "u",
    "stream_options": {"include_usage": True},
    "an_unknown_member": 1,
}


def without(*members: str) -> dict:
    return {name: value for name, value in BODY.items() if name not in members}


EXPECTED = {
    "openai": BODY,
    "openrouter": BODY,
    "xai": BODY,
    "deepseek": without("max_completion_tokens") | {"max_tokens": 9},
    "groq": without("logit_bias", "logprobs", "top_logprobs"),
    "mistral": without("max_completion_tokens", "seed", "logit_bias", "user") | {"max_tokens": 9, "random_seed": 7},
}


def test_every_adapter_module_is_in_the_registry_under_its_own_name():
    modules = {path.stem for path in FOLDER.glob("*.py")} - {"__init__"}

    assert modules == set(ADAPTERS) == set(EXPECTED)
    assert all(name == adapter.name for name, adapter in ADAPTERS.items())


@pytest.mark.parametrize("name", list(ADAPTERS))
def test_a_request_reaches_each_upstream_as_it_wants_it(name):
    assert EXPECTED[name] == ADAPTERS[name].request(BODY)


@pytest.mark.parametrize(
    ("name", "address", "usage"),
    [
        ("openai", "https://api.openai.com/v1/chat/completions", "openai"),
        ("mistral", "https://api.mistral.ai/v1/chat/completions", "openai"),
        ("groq", "https://api.groq.com/openai/v1/chat/completions", "groq"),
        ("deepseek", "https://api.deepseek.com/v1/chat/completions", "deepseek"),
        ("xai", "https://api.x.ai/v1/chat/completions", "xai"),
        ("openrouter", "https://openrouter.ai/api/v1/chat/completions", "openai"),
    ],
)
def test_each_upstream_is_found_at_its_address_and_read_by_its_usage(name, address, usage):
    assert address == ADAPTERS[name].chat_url()
    assert usage == ADAPTERS[name].usage
    assert ADAPTERS[name].headers("s") == {"authorization": "Bearer s"}


@pytest.mark.parametrize(
    "path", [path for path in FOLDER.glob("*.py") if path.stem != "__init__"], ids=lambda p: p.stem
)
def test_an_adapter_is_small_and_imports_only_its_family(path):
    text = path.read_text()
    imports = [node.module for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]

    assert len(text.splitlines()) <= 20
    assert imports == ["app.provider.families.openai_compatible"]
    assert "import " not in text.replace("import openai_compatible", "")
