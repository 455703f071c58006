"""The outside world: databases, NATS, models, tools, the command line; and the edge where users come in.

agent.py            Agent: what users write, normalised       (agents_toml.py, tuning.py, run_handle.py)
agent_home.py       where it runs: hosted, or embedded        (agent_timers.py: what signals it later)
asked_agents.py     the agents that one asks, found before a run
workflow.py         Workflow: a graph that users draw         (workflow_drawing.py, _shapes, _nodes, _result, _tool)
prompting.py        a prompt on its way to its run            (starting.py: that nobody waits for; forks.py: of a fork)
run_event.py        what happens in a run, as users see it    (live_events.py, run_error.py)
arguments.py        what programs pass in, checked where they pass it
system.py           System: agents hosted over a journal and a bus
node.py             the running system under both             (embedded.py: one for agents that nobody hosts)
delegation.py blackboard.py memory.py
                    what agents and programs share, as tools
workspace.py        Workspace: notes of a team                (workspace_tools.py, _given, _place, _kinds, _export)

workers/            tools whose code runs elsewhere, on both sides
journals/           the journal in memory, on SQLite, on PostgreSQL
archives/           closed streams in compressed files, read as if they were still in the journal
views/              databases of the read models              (read_models.py)
audit_home.py       where an audit's key and seals are        (signing.py, seal_file.py)
buses/              telling and asking: in process, NATS
broker/             NATS itself: a server of our own, its streams, its wire
postgres.py         PostgreSQL itself: connections, what their errors mean   (postgres_calls.py: no call waits for ever)
signals.py relay.py services.py
                    signals in, events out, questions answered  (auditor.py: lost events)
timers.py firings.py
                    signals later: set and listed, fired       (schedules.py: when)

operations/         looking after nodes: who is there, who is well
models/ tools/      what agents are made of
outputs/            what their answers are made of
vectors/            texts by what they mean, for lessons
pictures/           what agents, workflows and runs look like
cassettes/          models' answers in files, played in their place  (testing/: for pytest)
cli/                the command line
"""
