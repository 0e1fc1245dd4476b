"""OpenAI, and any address that speaks its chat dialect: nothing is changed, unknown members pass.

https://platform.openai.com/docs/api-reference/chat
"""

from app.provider.families.openai_compatible import openai_compatible

ADAPTER = openai_compatible("openai", "https://api.openai.com/v1")
