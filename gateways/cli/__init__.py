"""The command line: `treadle up`, `signal`, `watch`, `runs` … See docs/cli.md.

    main.py         all commands by name; each is loaded when it is used
    command.py      what every command shares: options, errors, exit codes
    output.py       JSON lines for programs, tables and colour for people
    place.py        which journal, NATS and directory a command works on
    system_file.py  how commands find the system that runs
    reading.py      the journal and its projections, read beside a running system
    asking.py       the services of a running system, or of one in this process
    following.py    the events of runs as they come, over NATS or from the journal
    run_progress.py how far each run was told, each event once
    run_steps.py    the calls of a run, each with its outcome
    narration.py    one event as a line for people
    times.py        times as people type them
    whoami.py       who decides, for the audit
    writing.py      new files, or standard output
    agents.py       agents by TOML file or `module:object`

Every other file is one command, or one group of commands.
"""

__all__: list[str] = []
