"""For tests of agents.

pytest_plugin.py    the mark `treadle_cassette`: models answer from a file beside the test; needs pytest
"""

__all__: list[str] = []
