"""The witness: triggers of the chaos run's database that write down every change of a job's state.

A second outcome of one job, which the row itself would hide, stands there.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

_SCRIPT = """
CREATE TABLE chaos_audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, job_id VARCHAR NOT NULL,
    old_status VARCHAR, new_status VARCHAR, old_retries INTEGER, new_retries INTEGER
);
CREATE TRIGGER chaos_audit AFTER UPDATE ON jobs
WHEN NEW.status IS NOT OLD.status OR NEW.completed_at IS NOT OLD.completed_at
    OR NEW.retry_count IS NOT OLD.retry_count OR (NEW.status IN ('completed', 'error') AND (
        NEW.output IS NOT OLD.output OR NEW.error_message IS NOT OLD.error_message))
BEGIN
    INSERT INTO chaos_audit (job_id, old_status, new_status, old_retries, new_retries)
    VALUES (NEW.job_id, OLD.status, NEW.status, OLD.retry_count, NEW.retry_count);
END;
CREATE TRIGGER chaos_audit_deletion AFTER DELETE ON jobs
BEGIN
    INSERT INTO chaos_audit (job_id, old_status, new_status, old_retries, new_retries)
    VALUES (OLD.job_id, OLD.status, 'deleted', OLD.retry_count, OLD.retry_count);
END;
"""


def install(database: Path) -> None:
    """Have the database write down every change from now on."""
    with closing(sqlite3.connect(database)) as connection:
        connection.executescript(_SCRIPT)
