"""Behaviour: what runs, sessions, workers, boards, memory and budgets do. Each is an actor over one stream.

runtime/          the actor model on an event loop: refs, mailboxes, supervision, passivation
strategies/       how agents think, as code over recorded steps
workflow/         graphs that a developer draws, as such code too

entity.py         one stream in one activation: fold, record, flush, decide again
run.py            a run: begins, is taken over, driven, closed     (run_actor.py, run_history.py, result.py)
stored_run.py     what the journal has of it, and whether it is ours
opening.py        what a strategy begins with                      (run_memory.py: what of it is memory's)
steps.py          what a strategy may do to the world: model_calls.py, tool_calls.py
steering.py       what a run is told while it goes on
tool_execution.py one call of a tool, with an outcome whatever it does (raised.py: what code of users raised)
outside.py        functions that an agent is given: hooks, deciders, mirrors
parking.py        waiting for approvals (deadline.py, foreign.py, threads.py: for calls), and places.py meanwhile
session.py        a conversation: one run at a time                (session_messages.py)
worker.py         delegated prompts                                (partition.py: the common part of these five)
workspace.py      notes of a team                                  (workspace_messages.py, word_search.py)
blackboard.py memory.py budget.py

output.py         what an answer has to be                         (answer.py: validated; manner.py, tone.py)
spec.py           what an agent is                                 (tool.py, model.py: what it is made of)
json_form.py      what of a tool's or a program's values is recorded (countable.py: and of a model's usage)
services.py       the ports that actors are handed                 (host.py: who lives where)
vectors.py        the ports of texts that are found by what they mean
context.py        where code inside a run is
feed.py           what a run tells while it happens               (masked_chunks.py: of an answer while it comes)
decider.py        whoever decides in the place of a model
clock.py          time and ids
"""
