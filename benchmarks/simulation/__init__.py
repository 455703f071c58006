"""What would happen with more machines than there are: a model of nodes and databases, fed by what was measured.

measured.toml   what the cases of `make bench` gave, and the settings of Treadle that matter here
figures.py      the same as numbers with names
cluster.py      the model: runs, nodes, group commit, the lock of each database, what one node does for all
failover.py     how long a signal waits when its node dies
plan.py         how much of everything a load needs, and what it costs
tables.py       the tables of docs/scaling.md
"""
