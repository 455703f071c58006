"""Vocabulary: what happened, in which words, and the ports it travels through. Pure: no clock, no chance, no I/O.

event.py        what an event is: a frozen struct filed under its tag
envelope.py     the envelope around it, its stored form, the hash chain of a stream
upcasting.py    lifts stored payloads to today's schema
message.py      what models, tools and runs say to each other
signal.py       how the world speaks to a session
subjects.py     NATS subjects, built and parsed here only
redaction.py    masks keys, tokens and passwords      (secret_*.py: what they look like; redacted_stream.py, logs.py)
errors.py       what can go wrong, grouped by what the caller does next
journal.py      port: the append-only log             (adapters: gateways/journals)
bus.py          port: telling and asking              (adapters: gateways/buses)
run.py session.py memory.py blackboard.py workspace.py worker.py call.py budget.py
                one category each: events, state, evolve, decisions (of a workspace: workspace_rules.py)
model_step.py tool_step.py steering.py
                what a run does to the world: the larger part of its category
"""
