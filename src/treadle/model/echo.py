"""A model that answers with the question."""

from ..gateways.models.echo import EchoModel

__all__ = ["EchoModel"]
