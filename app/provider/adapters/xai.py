"""xAI: reasoning tokens are counted outside `completion_tokens`.

https://docs.x.ai/docs/api-reference
"""

from app.provider.families.openai_compatible import openai_compatible

ADAPTER = openai_compatible("xai", "https://api.x.ai/v1", usage="xai")
