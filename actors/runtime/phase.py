"""Where an actor is in its life."""

from enum import StrEnum


class Phase(StrEnum):
    """The phases of an actor, and what becomes of a message in each.

    starting, replaying   waits in the mailbox until `on_start` is done
    running               is handled, one at a time, in the order of arrival
    restarting            waits in the mailbox for the new instance
    passivating           waits in the mailbox and wakes the next activation
    stopping              waits: for the next activation if the address can wake, else to become a dead letter
    stopped               wakes a new activation if the address can wake, else is a dead letter
    """

    STARTING = "starting"
    REPLAYING = "replaying"
    RUNNING = "running"
    RESTARTING = "restarting"
    PASSIVATING = "passivating"
    STOPPING = "stopping"
    STOPPED = "stopped"
