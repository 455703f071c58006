"""What the keys of LiteLLM's providers are called in the environment, known without importing LiteLLM."""

from .table import entry_of

_KEYS = {
    "ai21_chat": ("AI21_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"),
    "anthropic_text": ("ANTHROPIC_API_KEY",),
    "azure": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    "azure_text": ("AZURE_API_KEY", "AZURE_OPENAI_API_KEY"),
    "bedrock": ("AWS_BEARER_TOKEN_BEDROCK",),
    "bedrock_converse": ("AWS_BEARER_TOKEN_BEDROCK",),
    "cohere": ("COHERE_API_KEY", "CO_API_KEY"),
    "cohere_chat": ("COHERE_API_KEY", "CO_API_KEY"),
    "datarobot": ("DATAROBOT_API_TOKEN",),
    "fireworks_ai": ("FIREWORKS_AI_API_KEY", "FIREWORKS_API_KEY", "FIREWORKSAI_API_KEY", "FIREWORKS_AI_TOKEN"),
    "friendliai": ("FRIENDLIAI_API_KEY", "FRIENDLI_TOKEN"),
    "gemini": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
    "huggingface": ("HUGGINGFACE_API_KEY", "HF_TOKEN"),
    "openrouter": ("OPENROUTER_API_KEY", "OR_API_KEY"),
    "perplexity": ("PERPLEXITYAI_API_KEY", "PERPLEXITY_API_KEY"),
    "replicate": ("REPLICATE_API_KEY", "REPLICATE_API_TOKEN"),
    "text-completion-codestral": ("CODESTRAL_API_KEY",),
    "text-completion-inception": ("INCEPTION_API_KEY",),
    "text-completion-openai": ("OPENAI_API_KEY",),
    "together_ai": ("TOGETHERAI_API_KEY", "TOGETHER_AI_API_KEY", "TOGETHER_API_KEY", "TOGETHER_AI_TOKEN"),
    "vercel_ai_gateway": ("VERCEL_AI_GATEWAY_API_KEY", "VERCEL_OIDC_TOKEN"),
    "volcengine": ("VOLCENGINE_API_KEY", "ARK_API_KEY"),
    "watsonx": ("WATSONX_API_KEY", "WATSONX_APIKEY", "WX_API_KEY"),
}
"""Where it is not the provider's name and `_API_KEY`; the first that there is counts."""

_FURTHER = {
    "azure": ("AZURE_AD_TOKEN", "AZURE_CLIENT_SECRET"),
    "bedrock": ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "bedrock_converse": ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "sagemaker": ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    "watsonx": ("WATSONX_TOKEN", "WATSONX_ZENAPIKEY"),
}
"""Secrets that are no key of a call, but that LiteLLM reads all the same."""


def provider_of(model: str) -> str:
    """Who has the model: it stands before the slash, or in LiteLLM's table."""
    provider, slash, _ = model.partition("/")
    return provider if slash else str(entry_of(model).get("litellm_provider") or "openai")


def key_names(model: str) -> tuple[str, ...]:
    """What the model's key may be called."""
    provider = provider_of(model)
    return _KEYS.get(provider) or (f"{provider.upper()}_API_KEY",)


def secret_names(model: str) -> tuple[str, ...]:
    """All that LiteLLM may look up in the environment for the model and that nobody should read."""
    return (*key_names(model), *_FURTHER.get(provider_of(model), ()))
