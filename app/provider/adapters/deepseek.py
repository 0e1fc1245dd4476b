"""DeepSeek: `max_tokens` only, and cache hits under its own name.

https://api-docs.deepseek.com/api/create-chat-completion
"""

from app.provider.families.openai_compatible import openai_compatible

ADAPTER = openai_compatible(
    "deepseek",
    "https://api.deepseek.com/v1",
    rename={"max_completion_tokens": "max_tokens"},
    usage="deepseek",
)
