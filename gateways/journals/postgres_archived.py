"""What a journal on PostgreSQL knows of its archives: two tables, and from the first archiving on a trigger.

`treadle_journal` counts under the key `archives` how often streams were moved. The versions of an archived stream stay
taken: its end is known here, and the trigger refuses a stream that begins anew, with the error of a unique key.
"""

from ...events.journal import FORMAT

ARCHIVES = "SELECT value FROM treadle_journal WHERE key = 'archives'"
COUNT_ARCHIVING = "UPDATE treadle_journal SET value = value + 1 WHERE key = 'archives'"
ARCHIVED_HEAD = "SELECT version, hash FROM treadle_archived_streams WHERE stream = %s ORDER BY version DESC LIMIT 1"

NAMES = ("treadle_archives", "treadle_archived_streams")

TABLES = (
    "CREATE TABLE IF NOT EXISTS treadle_archives (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, "
    "directory text NOT NULL, file text NOT NULL, moved integer NOT NULL DEFAULT 0, events bigint, streams bigint, "
    "raw_bytes bigint, size_bytes bigint, sha256 text, index_offset bigint, index_sha256 text, first_position bigint, "
    "last_position bigint)",
    "CREATE TABLE IF NOT EXISTS treadle_archived_streams (stream text NOT NULL, version bigint NOT NULL, "
    '"after" bigint NOT NULL, hash text NOT NULL, archive bigint NOT NULL, positions text NOT NULL, '
    "PRIMARY KEY (stream, version))",
    "CREATE INDEX IF NOT EXISTS treadle_archived_streams_by_archive ON treadle_archived_streams (archive)",
    "INSERT INTO treadle_journal VALUES ('archives', 0) ON CONFLICT (key) DO NOTHING",
)
"""A step of `postgres_schema.py`."""

GUARDED = f"SELECT 1 FROM treadle_journal WHERE key = 'format' AND value >= {FORMAT}"
"""Whether what follows was done."""

GUARD = (
    """CREATE OR REPLACE FUNCTION treadle_refuse_archived() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF EXISTS (SELECT 1 FROM inserted JOIN treadle_archived_streams AS archived
                   ON archived.stream = inserted.originator_id WHERE inserted.originator_version = 1) THEN
            RAISE unique_violation USING MESSAGE = 'a stream of this name is in an archive';
        END IF;
        RETURN NULL;
    END $$""",
    "CREATE OR REPLACE TRIGGER treadle_versions_are_never_reused AFTER INSERT ON stored_events "
    "REFERENCING NEW TABLE AS inserted FOR EACH STATEMENT EXECUTE FUNCTION treadle_refuse_archived()",
    # Who may insert into the tables of tomorrow has nothing to insert into these: nodes read them.
    """DO $$
    DECLARE other text;
    BEGIN
        FOR other IN SELECT DISTINCT grantee FROM information_schema.role_table_grants
            WHERE table_schema = current_schema() AND table_name = 'treadle_archives'
            AND grantee NOT IN ('PUBLIC', current_user)
        LOOP
            EXECUTE format('REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON treadle_archives, treadle_archived_streams '
                           'FROM %I', other);
        END LOOP;
    END $$""",
    f"UPDATE treadle_journal SET value = {FORMAT} WHERE key = 'format' AND value < {FORMAT}",
)
"""What the first archiving does, in one transaction. Its role owns the tables."""
