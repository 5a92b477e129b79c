"""Messages that wait for the broker, on disk: what was stored survives a crash, a kill and a power cut.

SQLite in WAL mode with synchronous=FULL: a commit is on the disk when it returns. A row goes when the broker has
acknowledged it, never before.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from edgevc.errors import ConfigError, SessionError
from edgevc.relay.mqtt.message import Message

_LOG = logging.getLogger(__name__)

MAX_BYTES = 64 << 20
"""Of the file; a command has about 500."""
_VERSION = 1
_SCHEMA = """
CREATE TABLE message (row INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL,
                      command TEXT NOT NULL, expires REAL NOT NULL);
CREATE TABLE announced (component TEXT PRIMARY KEY, platform TEXT NOT NULL);
CREATE TABLE kept (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class DiskQueue:
    """One file; one process at a time. All methods are called by one thread at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make it. A damaged file is kept under another name and a new one made.

        Raises:
            ConfigError: it cannot be written.
            SessionError: another relay uses it.
        """
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            # what was said at home is nobody else's business
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"the queue {path} cannot be written: {reason}; name another file with --mqtt-queue"
            ) from error
        try:
            self._database = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise self._refusal(error) from error
            damaged = path.with_name(f"{path.name}.damaged")
            _LOG.warning("the queue %s is damaged (%s); it is kept as %s and begun anew", path, error, damaged)
            for ending in ("", "-wal", "-shm"):
                with contextlib.suppress(OSError):
                    path.with_name(path.name + ending).replace(damaged.with_name(damaged.name + ending))
            try:
                self._database = self._open()
            except sqlite3.DatabaseError as again:
                raise self._refusal(again) from again
        self._gone: set[int] = set()
        """Rows that were acknowledged while the disk took no change."""

    def _refusal(self, error: sqlite3.DatabaseError) -> ConfigError | SessionError:
        if "locked" in str(error):
            return SessionError(
                f"another relay uses the queue {self.path}; end it, or name another file (--mqtt-queue)"
            )
        return ConfigError(f"the queue {self.path} cannot be used: {error}; name another file with --mqtt-queue")

    def _open(self) -> sqlite3.Connection:
        # the relay's loop makes it, a thread of its executor uses it
        database = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            # before the mode, so that no shared memory is made, which a second process could join
            database.execute("PRAGMA locking_mode=EXCLUSIVE")
            database.execute("PRAGMA journal_mode=WAL")
            database.execute("PRAGMA synchronous=FULL")
            page = database.execute("PRAGMA page_size").fetchone()[0]
            database.execute(f"PRAGMA max_page_count={MAX_BYTES // page}")
            database.execute("BEGIN IMMEDIATE")
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA user_version={_VERSION}")
            elif version != _VERSION:
                raise sqlite3.DataError(f"it is of version {version}, this edgevc has {_VERSION}")
            database.execute("COMMIT")
            # reads every page of it
            if database.execute("PRAGMA quick_check").fetchone()[0] != "ok":
                raise sqlite3.DataError("it does not hold together")
        except BaseException:
            database.close()
            raise
        return database

    def load(self) -> list[Message]:
        """Return what an earlier process left, the oldest first."""
        rows = self._database.execute("SELECT row, topic, payload, command, expires FROM message ORDER BY row")
        return [
            Message(str(topic), bytes(payload), str(command), float(expires), int(row))
            for row, topic, payload, command, expires in rows.fetchall()
        ]

    def store(self, messages: Sequence[Message]) -> None:
        """Store all or none, and give each its row; they are on the disk when this returns.

        Raises:
            sqlite3.Error: the disk takes nothing.
        """
        rows: list[int] = []

        def insert() -> None:
            rows.clear()
            for message in messages:
                values = (message.topic, message.payload, message.command, message.expires)
                cursor = self._database.execute(
                    "INSERT INTO message (topic, payload, command, expires) VALUES (?, ?, ?, ?)", values
                )
                rows.append(int(cursor.lastrowid or 0))

        self._change(insert)
        for message, row in zip(messages, rows, strict=True):
            message.row = row

    def remove(self, rows: Iterable[int]) -> None:
        """Take rows away; where the disk takes no change, they go with the next one."""
        self._gone.update(rows)
        if self._gone:
            with contextlib.suppress(sqlite3.Error):
                self._change(lambda: None)

    def announced(self) -> dict[str, str]:
        """Return the components that Home Assistant was told of, with their platforms."""
        return self._pairs("announced")

    def announce(self, components: Mapping[str, str]) -> None:
        """Remember the components that Home Assistant knows now.

        Raises:
            sqlite3.Error: the disk takes nothing.
        """
        self._replace("announced", components)

    def kept(self) -> dict[str, str]:
        """Return how the controls were set."""
        return self._pairs("kept")

    def keep(self, values: Mapping[str, str]) -> None:
        """Remember how the controls are set.

        Raises:
            sqlite3.Error: the disk takes nothing.
        """
        self._replace("kept", values)

    def _pairs(self, table: str) -> dict[str, str]:
        return {str(name): str(value) for name, value in self._database.execute(f"SELECT * FROM {table}")}  # noqa: S608

    def _replace(self, table: str, values: Mapping[str, str]) -> None:
        def replace() -> None:
            self._database.execute(f"DELETE FROM {table}")  # noqa: S608 (one of two names)
            self._database.executemany(f"INSERT INTO {table} VALUES (?, ?)", values.items())  # noqa: S608

        self._change(replace)

    def _change(self, change: Callable[[], None]) -> None:
        """Run a change, and the removals that wait, in one transaction."""
        try:
            self._transaction(change)
        except sqlite3.Error:
            # a full disk may have room again once the log is merged into the file
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._transaction(change)

    def _transaction(self, change: Callable[[], None]) -> None:
        gone = list(self._gone)
        try:
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("DELETE FROM message WHERE row = ?", [(row,) for row in gone])
            change()
            self._database.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._database.execute("ROLLBACK")
            raise
        self._gone.difference_update(gone)

    def close(self) -> None:
        """Close the file; may be called twice."""
        with contextlib.suppress(sqlite3.Error):
            self._database.close()
