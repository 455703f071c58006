"""An on-call desk: agents that watch the machine they run on. `python -m examples.oncall` runs it; see README.md."""
