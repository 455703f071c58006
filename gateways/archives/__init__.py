"""Archives: closed streams in compressed files, read as if their events were still in the journal.

    catalog.py       what a journal knows of its archives, and the port to it
    archive_file.py  the file: written, verified, and read in parts
    shelves.py       the files of a journal, opened and kept at hand
    read_through.py  a journal that reads its archives, too
    archiver.py      moves closed streams, in steps that may end anywhere
    sqlite.py        the catalog and the store of a journal file
    postgres.py      the same in PostgreSQL
    opening.py       finds the right ones for a journal's name

The format is in `docs/archive.md`.
"""
