"""Every kind of upstream. A new one is a module here and a line in `ADAPTERS`."""

from app.provider.adapters import deepseek, groq, mistral, openai, openrouter, xai
from app.provider.families.openai_compatible import Adapter

ADAPTERS: dict[str, Adapter] = {
    "openai": openai.ADAPTER,
    "mistral": mistral.ADAPTER,
    "groq": groq.ADAPTER,
    "deepseek": deepseek.ADAPTER,
    "xai": xai.ADAPTER,
    "openrouter": openrouter.ADAPTER,
}
"""A provider's `kind` is a name here; `openai` is any address that speaks its dialect."""
