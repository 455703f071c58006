"""The parent's side of the benchmarks.

case.py         what is compared: cases, contenders, aims
catalogue.py    all cases, with the aims of the design
program.py      one measured program: a child process that plays a round when asked
rounds.py       lets the contenders of a case take turns and gathers what they measured
peers.py        the environment the peers are installed in
broker.py       a nats-server for the cases that need one
machine.py      what the numbers were measured on
report.py       the table, and the same as JSON
"""
