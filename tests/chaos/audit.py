"""The witness: triggers of the chaos run's database that write down every change of a job's state.

A second outcome of one job, which the row itself would hide, stands there.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.databases import Place

_TABLE = """
CREATE TABLE chaos_audit (
    id {number}, job_id VARCHAR NOT NULL,
    old_status VARCHAR, new_status VARCHAR, old_retries INTEGER, new_retries INTEGER
);
"""
_CHANGED = """NEW.status {differs} OLD.status OR NEW.completed_at {differs} OLD.completed_at
    OR NEW.retry_count {differs} OLD.retry_count OR (NEW.status IN ('completed', 'error') AND (
        {new_output} {differs} {old_output} OR NEW.error_message {differs} OLD.error_message))"""
_NOTE = """
    INSERT INTO chaos_audit (job_id, old_status, new_status, old_retries, new_retries)
    VALUES (NEW.job_id, OLD.status, NEW.status, OLD.retry_count, NEW.retry_count);
"""
_NOTE_DELETION = """
    INSERT INTO chaos_audit (job_id, old_status, new_status, old_retries, new_retries)
    VALUES (OLD.job_id, OLD.status, 'deleted', OLD.retry_count, OLD.retry_count);
"""
_OF_A_FILE = (
    _TABLE.format(number="INTEGER PRIMARY KEY AUTOINCREMENT")
    + f"""
CREATE TRIGGER chaos_audit AFTER UPDATE ON jobs
WHEN {_CHANGED.format(differs="IS NOT", new_output="NEW.output", old_output="OLD.output")}
BEGIN {_NOTE} END;
CREATE TRIGGER chaos_audit_deletion AFTER DELETE ON jobs
BEGIN {_NOTE_DELETION} END;
"""
)
_DIFFERS_THERE = {
    "differs": "IS DISTINCT FROM",
    "new_output": "NEW.output::text",  # the type JSON has no equality
    "old_output": "OLD.output::text",
}
_OF_A_SERVER = (
    _TABLE.format(number="SERIAL PRIMARY KEY")
    + f"""
CREATE FUNCTION chaos_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {_NOTE} RETURN NULL; END $$;
CREATE FUNCTION chaos_audit_deletion() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {_NOTE_DELETION} RETURN NULL; END $$;
CREATE TRIGGER chaos_audit AFTER UPDATE ON jobs FOR EACH ROW
WHEN ({_CHANGED.format(**_DIFFERS_THERE)}) EXECUTE FUNCTION chaos_audit();
CREATE TRIGGER chaos_audit_deletion AFTER DELETE ON jobs FOR EACH ROW EXECUTE FUNCTION chaos_audit_deletion();
"""
)


def install(place: Place) -> None:
    """Have the database write down every change from now on."""
    if isinstance(place, Path):
        with closing(sqlite3.connect(place)) as connection:
            connection.executescript(_OF_A_FILE)
        return
    with place.connect() as server:
        server.execute(_OF_A_SERVER.encode())
