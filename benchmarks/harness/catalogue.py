"""All cases, with the aims of Treadle's design: ratios, since a time says as much about the machine as the program."""

from __future__ import annotations

from pathlib import Path

from harness.case import TREADLE, Aim, Case, Contender

HERE = Path(__file__).resolve().parent.parent
PEERS = HERE / "peers"
IMPORT_TIME = HERE / "import_time.py"


def treadle(program: str, *arguments: str, name: str = TREADLE, is_large: bool = False) -> Contender:
    """Treadle's side of a case: its program has the case's name, or serves several cases."""
    return Contender(name, HERE / "treadle_side" / f"{program}.py", arguments, is_peer=False, is_large=is_large)


def peer(name: str, program: str, *arguments: str, note: str = "") -> Contender:
    return Contender(name, PEERS / program, arguments, note=note)


NODES = (
    treadle("nodes", "1", "sqlite", name="Treadle, 1 node on SQLite"),
    treadle("nodes", "1", "postgresql", name="Treadle, 1 node"),
    treadle("nodes", "2", "postgresql", name="Treadle, 2 nodes"),
    treadle("nodes", "4", "postgresql", name="Treadle, 4 nodes"),
)
"""Each a process, on one PostgreSQL and one nats-server, which share this machine's cores with them."""

SIZES = (
    treadle("sized", "1000", name="Treadle, 1 thousand sessions"),
    treadle("sized", "10000", name="Treadle, 10 thousand"),
    treadle("sized", "100000", name="Treadle, 100 thousand", is_large=True),
)
HISTORIES = (
    treadle("history", "10", name="Treadle, 10 events"),
    treadle("history", "1000", name="Treadle, 1 thousand"),
    treadle("history", "100000", name="Treadle, 100 thousand", is_large=True),
)


ADAPTERS = tuple(
    treadle("model_call", pair, way, name=f"{name}, {way}")
    for pair, name in (("chat", "OpenAI chat"), ("responses", "OpenAI responses"), ("anthropic", "Anthropic"))
    for way in ("whole", "streamed")
)
"""Each compares two calls in one process: what is shown is their ratio already."""


def model_call(name: str, title: str) -> Case:
    """A case about what an adapter adds to a call."""
    aims = tuple(Aim("under 3 % more", 1.03, of=contender.name) for contender in ADAPTERS)
    return Case(name=name, title=title, unit="×", contenders=ADAPTERS, aims=aims)


ARCHITECTURES = (
    "react",
    "self_refine",
    "reflexion",
    "tree_of_thoughts",
    "plan_and_execute",
    "rewoo",
    "router",
    "supervisor",
    "swarm",
    "actor_critic",
    "debate",
    "blackboard",
)
"""Each with a script for its models in `scripts.py`."""

AS_GRAPHS = ("react", "router", "supervisor", "swarm")
"""Those that LangGraph's documentation draws as graphs."""


def architecture(name: str, *, is_durable: bool) -> Case:
    """A case about what an architecture costs beside the models that it asks."""
    loomflow, langgraph = (
        ("SqliteRuntime, no fsync", "SqliteSaver, sync, fsync") if is_durable else ("", "no checkpointer")
    )
    rivals = [peer("loomflow", "loomflow_architectures.py", note=loomflow)]
    if name in AS_GRAPHS:
        rivals.append(peer("LangGraph", "langgraph_graphs.py", note=f"a graph by hand, {langgraph}"))
    return Case(
        name=f"{name}_durable" if is_durable else name,
        title=f"a run that thinks by {name}, {'durable in SQLite' if is_durable else 'in memory'}: time per model call",
        unit="s",
        contenders=(treadle("architectures"), *rivals),
        rounds=3,
    )


def workflow(shape: str, title: str, *, is_durable: bool) -> Case:
    """A case about what a node of a workflow costs beside its function, which adds one."""
    mine = [treadle("workflows")]
    rivals = [
        peer("LangGraph", "langgraph_graphs.py", note="SqliteSaver, sync, fsync" if is_durable else "no checkpointer")
    ]
    if is_durable:
        mine.append(treadle("workflows", "read_only", name="Treadle, read-only steps"))
    else:
        rivals.insert(0, peer("loomflow", "loomflow_architectures.py", note="has no durable ones"))
    return Case(
        name=f"workflow_{shape}_durable" if is_durable else f"workflow_{shape}",
        title=f"{title}, {'durable in SQLite' if is_durable else 'in memory'}: time per node",
        unit="s",
        contenders=(*mine, *rivals),
        rounds=3,
    )


WORKFLOWS = {
    "chain": "ten functions one after the other",
    "parallel": "ten functions beside one another",
    "circle": "one function that comes up ten times",
}


def sized(name: str, title: str, *, needs_broker: bool = False) -> Case:
    """A case about journals of different sizes, which should cost the same."""
    small, middle, large = (contender.name for contender in SIZES)
    return Case(
        name=name,
        title=title,
        unit="s",
        contenders=SIZES,
        aims=tuple(Aim("at most half more", 1.5, against=small, of=size) for size in (middle, large)),
        rounds=3,
        needs_broker=needs_broker,
        needs_database=True,
    )


CASES: tuple[Case, ...] = (
    Case(
        name="echo_turn",
        title="one agent turn with an echo model, in memory, nothing configured: time per run",
        unit="s",
        contenders=(
            treadle("echo_turn"),
            peer("loomflow", "loomflow_agent.py"),
            peer("LangGraph", "langgraph_agent.py", note="one node, no checkpointer"),
            peer("pydantic-ai", "pydantic_ai_agent.py", note="FunctionModel"),
        ),
        aims=(Aim("not slower than loomflow", 1.0, against="loomflow"),),
    ),
    Case(
        name="durable_loop",
        title="model asks a tool, tool answers, model answers, durable in SQLite: time per run",
        unit="s",
        contenders=(
            treadle("durable_loop"),
            peer("loomflow", "loomflow_agent.py", note="SqliteRuntime, no fsync"),
            peer("LangGraph", "langgraph_agent.py", "blocking", note="SqliteSaver, sync, fsync"),
            peer("LangGraph async", "langgraph_agent.py", note="AsyncSqliteSaver, sync, fsync"),
            peer("pydantic-ai", "pydantic_ai_agent.py", note="stores nothing"),
            peer("sqlite3", "sqlite_limit.py", note="two fsynced commits: the limit"),
        ),
        aims=(
            Aim("a third of loomflow", 1 / 3, against="loomflow"),
            Aim("an eighth of LangGraph", 1 / 8, against="LangGraph"),
        ),
    ),
    Case(
        name="concurrent_loops",
        title="500 such loops started at once: runs per second",
        unit="runs/s",
        contenders=(
            treadle("concurrent_loops"),
            peer("loomflow", "loomflow_agent.py", note="SqliteRuntime, no fsync"),
            peer("LangGraph async", "langgraph_agent.py", note="AsyncSqliteSaver, sync, fsync"),
            peer("pydantic-ai", "pydantic_ai_agent.py", note="stores nothing"),
        ),
        aims=(Aim("ten times loomflow", 10.0, against="loomflow"),),
    ),
    Case(
        name="actor_ask",
        title="a message to a local actor and its answer: time per round trip",
        unit="s",
        contenders=(
            treadle("actor_ask"),
            peer("AutoGen core", "autogen_actor.py", note="SingleThreadedAgentRuntime"),
        ),
        aims=(Aim("a tenth of AutoGen core", 0.1, against="AutoGen core"),),
    ),
    Case(
        name="journal_100",
        title="appending 100 events a commit, fsynced: events per second",
        unit="events/s",
        contenders=(
            treadle("journal_100"),
            peer("sqlite3", "sqlite_limit.py", note="the same table: the limit"),
        ),
        aims=(Aim("60 % of raw sqlite3", 0.6, against="sqlite3"),),
    ),
    Case(
        name="signal_latency",
        title="signal published by one NATS client → run.started seen by another: time",
        unit="s",
        contenders=(
            treadle("signal_latency"),
            peer("NATS core", "nats_limit.py", note="one hop, not stored: the limit"),
            peer("NATS JetStream", "nats_limit.py", "jetstream", note="one hop, stored and fsynced"),
        ),
        aims=(Aim("p50 under 2 ms", 0.002),),
        needs_broker=True,
    ),
    Case(
        name="remote_call",
        title="a durable loop of two turns whose tool is here, or done by a worker over NATS: time per run",
        unit="s",
        contenders=(
            treadle("remote_call", "here", name="Treadle, tool here"),
            treadle("remote_call", "worker", name="Treadle, tool at a worker"),
        ),
        aims=(Aim("at most three times the run", 3.0, against="Treadle, tool here", of="Treadle, tool at a worker"),),
        needs_broker=True,
    ),
    model_call("model_call", "a model call by an adapter, to the bare call of its SDK: time"),
    model_call("model_call_cpu", "the same: processor time of the caller"),
    Case(
        name="import_time",
        title="from … import Agent in a fresh interpreter: time",
        unit="s",
        contenders=(
            Contender(TREADLE, IMPORT_TIME, ("from treadle import Agent",), is_peer=False),
            Contender("loomflow", IMPORT_TIME, ("from loomflow import Agent",)),
            Contender("LangGraph", IMPORT_TIME, ("from langgraph.graph import StateGraph",)),
            Contender("pydantic-ai", IMPORT_TIME, ("from pydantic_ai import Agent",)),
        ),
        aims=(Aim("less than loomflow", 1.0, against="loomflow"),),
    ),
    Case(
        name="storage",
        title="size of the journal on disk: bytes per event",
        unit="bytes",
        contenders=(
            treadle("storage", "1000", name="Treadle, 1 thousand events"),
            treadle("storage", "100000", name="Treadle, 100 thousand"),
            treadle("storage", "1000000", name="Treadle, 1 million"),
        ),
        aims=(
            Aim(
                "constant: within 10 % of 1 thousand",
                1.1,
                against="Treadle, 1 thousand events",
                of="Treadle, 1 million",
            ),
        ),
        rounds=1,
    ),
    Case(
        name="idle_sessions",
        title="a process with 10,000 idle sessions: resident memory",
        unit="MiB",
        contenders=(treadle("idle_sessions"),),
        aims=(Aim("under 150 MB", 143.0),),
        rounds=1,
    ),
    Case(
        name="many_runs",
        title="a process after so many runs on the journal in memory: resident memory",
        unit="MiB",
        contenders=(
            treadle("many_runs", "20000", name="Treadle, 20 thousand runs"),
            treadle("many_runs", "100000", name="Treadle, 100 thousand"),
        ),
        aims=(
            Aim(
                "bounded: within 10 % of 20 thousand",
                1.1,
                against="Treadle, 20 thousand runs",
                of="Treadle, 100 thousand",
            ),
        ),
        rounds=1,
    ),
    Case(
        name="wake",
        title="an actor with 100,000 events behind it answers after a restart: time",
        unit="s",
        contenders=(
            treadle("wake", "session", name="Treadle, session"),
            treadle("wake", "memory", name="Treadle, memory partition"),
        ),
        aims=(
            Aim("under 50 ms", 0.05, of="Treadle, session"),
            Aim("under 50 ms", 0.05, of="Treadle, memory partition"),
        ),
    ),
    Case(
        name="postgres_loop",
        title="the durable loop of two turns on SQLite and on PostgreSQL: time per run",
        unit="s",
        contenders=(
            treadle("durable_loop", "sqlite", name="Treadle, SQLite"),
            treadle("durable_loop", "postgresql", name="Treadle, PostgreSQL"),
        ),
        aims=(Aim("at most four times", 4.0, against="Treadle, SQLite", of="Treadle, PostgreSQL"),),
        needs_database=True,
    ),
    Case(
        name="postgres_signal",
        title="signal → run.started on SQLite and on PostgreSQL: time",
        unit="s",
        contenders=(
            treadle("signal_latency", "sqlite", name="Treadle, SQLite"),
            treadle("signal_latency", "postgresql", name="Treadle, PostgreSQL"),
        ),
        aims=(Aim("at most three times", 3.0, against="Treadle, SQLite", of="Treadle, PostgreSQL"),),
        needs_broker=True,
        needs_database=True,
    ),
    Case(
        name="postgres_commit",
        title="a commit to PostgreSQL under the lock of all writers: time",
        unit="s",
        contenders=(
            treadle("postgres_commit", "1", name="Treadle, 1 event"),
            treadle("postgres_commit", "10", name="Treadle, 10 events"),
            treadle("postgres_commit", "100", name="Treadle, 100 events"),
            treadle("postgres_commit", "1000", name="Treadle, 1000 events"),
        ),
        needs_database=True,
    ),
    Case(
        name="following_fold",
        title="what one node folds for all, into views on PostgreSQL: events per second",
        unit="events/s",
        contenders=(treadle("following"),),
        rounds=3,
        needs_database=True,
    ),
    Case(
        name="following_publish",
        title="what one node publishes for all: events per second",
        unit="events/s",
        contenders=(treadle("following"),),
        rounds=3,
        needs_broker=True,
        needs_database=True,
    ),
    Case(
        name="nodes",
        title="signals from a NATS client to completed runs, on PostgreSQL: runs per second",
        unit="runs/s",
        contenders=NODES,
        rounds=3,
        needs_broker=True,
        needs_database=True,
    ),
    Case(
        name="nodes_cpu",
        title="the same: processor time of all nodes for each run",
        unit="s",
        contenders=NODES,
        aims=(Aim("at most half more than one node", 1.5, against="Treadle, 1 node", of="Treadle, 4 nodes"),),
        rounds=3,
        needs_broker=True,
        needs_database=True,
    ),
    Case(
        name="nodes_database",
        title="the same: processor time of the database for each run",
        unit="s",
        contenders=NODES[1:],
        aims=(Aim("at most half more than one node", 1.5, against="Treadle, 1 node", of="Treadle, 4 nodes"),),
        rounds=3,
        needs_broker=True,
        needs_database=True,
    ),
    sized("sized_append", "a turn of six events is stored in a journal on PostgreSQL of so many sessions: time"),
    sized("sized_wake", "an idle session of so many is loaded, and answers: time"),
    sized("sized_sweep", "what a node asks every 5 s, 20 runs and 20 signals being left: time"),
    sized("sized_lists", "the newest runs and sessions of one user: time"),
    sized("sized_start", "a node starts, and takes signals: time", needs_broker=True),
    *(architecture(name, is_durable=is_durable) for name in ARCHITECTURES for is_durable in (False, True)),
    *(workflow(*shape, is_durable=is_durable) for shape in WORKFLOWS.items() for is_durable in (False, True)),
    Case(
        name="workflow_map",
        title="a function over ten thousand items, a hundred at a time: time per item",
        unit="s",
        contenders=(
            treadle("workflows", "memory", name="Treadle, in memory"),
            treadle("workflows", "sqlite", name="Treadle, on SQLite"),
            peer("LangGraph, in memory", "langgraph_graphs.py", "memory", note="a Send for each"),
            peer("LangGraph, on SQLite", "langgraph_graphs.py", "sqlite", note="SqliteSaver, sync, fsync"),
        ),
        rounds=3,
    ),
    Case(
        name="workflow_map_memory",
        title="the same, on SQLite: memory while it goes on, and what is left of it after the next one",
        unit="MiB",
        contenders=(
            treadle("workflows", "peak", name="Treadle, while it goes on"),
            treadle("workflows", "left", name="Treadle, left after it"),
        ),
        aims=(Aim("nothing is left: under 5 MiB", 5.0, of="Treadle, left after it"),),
        rounds=1,
    ),
    Case(
        name="workflow_map_journal",
        title="the same: bytes on disk for each item",
        unit="bytes",
        contenders=(treadle("workflows"),),
        rounds=1,
    ),
    Case(
        name="history_run",
        title="a run with so many events is read, as by who resumes it: time",
        unit="s",
        contenders=HISTORIES,
        rounds=3,
    ),
)
