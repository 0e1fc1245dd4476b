"""OpenRouter: takes OpenAI's body and its own extras as they are.

https://openrouter.ai/docs/api-reference/chat-completion
"""

from app.provider.families.openai_compatible import openai_compatible

ADAPTER = openai_compatible("openrouter", "https://openrouter.ai/api/v1")
