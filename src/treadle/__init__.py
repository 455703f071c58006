"""Treadle: LLM agents as event-sourced actors over NATS."""
