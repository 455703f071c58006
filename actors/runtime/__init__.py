"""The actor runtime: pykka's actor model on an event loop. It knows nothing of journals or runs.

    system.py          ActorSystem: owns everything below, binds the loop, closes
    ref.py             Ref: an address; tell, ask, stop, proxy
    directory.py       addresses → live actors; wakes, counts, passes messages between threads
    kind.py            how the actors of a kind are made and kept
    actor.py           CoroutineActor: the class to derive from
    phase.py           starting, replaying, running, restarting, passivating, stopping, stopped
    mailbox.py         bounded queue of an address
    future.py          Reply: an answer to await, or to block for in a thread
    stash.py           messages held back
    background.py      tasks an actor owns
    supervisor.py      resume, restart, stop, escalate
    dead_letters.py    messages nobody took
    idle.py            who has nothing to do, for passivation
    cell.py            what stands at a live address: the interface
    coroutine_cell.py  … the engine of a coroutine actor
    thread_cell.py     … the seat of a pykka.ThreadingActor

Guide: docs/actors.md.
"""

from .actor import CoroutineActor
from .coroutine_cell import HandlerCancelled
from .dead_letters import ActorDead, DeadLetter, DeadLetters
from .directory import Directory
from .future import AskTimeout, Reply, WouldDeadlock
from .mailbox import Envelope, Mailbox
from .phase import Phase
from .ref import Ref
from .stash import Stash
from .supervisor import Backoff, Directive, Failure, Supervision
from .system import ActorSystem, StillRunning, SystemStats

__all__ = [
    "ActorDead",
    "ActorSystem",
    "AskTimeout",
    "Backoff",
    "CoroutineActor",
    "DeadLetter",
    "DeadLetters",
    "Directive",
    "Directory",
    "Envelope",
    "Failure",
    "HandlerCancelled",
    "Mailbox",
    "Phase",
    "Ref",
    "Reply",
    "Stash",
    "StillRunning",
    "Supervision",
    "SystemStats",
    "WouldDeadlock",
]
