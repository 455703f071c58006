"""Cassettes: the answers of models, frozen in a file that is committed beside tests. See docs/cassettes.md.

cassette.py    Cassette: plays what it has, records what it has not, and stands in for every model meanwhile
entry.py       one model call, as the file has it
file.py        the file: JSON that people read and that differs where the calls differ
model.py       what answers in the place of a model
cut.py         a cassette out of the journal: what the models of a run have answered
replay.py      a run with today's code, answered as it was answered then
missing.py     what a cassette does not have: the nearest that it has, and what differs
"""

from .cassette import Cassette, Mode
from .missing import NotOnCassette

__all__ = ["Cassette", "Mode", "NotOnCassette"]
