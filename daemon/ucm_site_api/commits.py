"""Group commit: writers that wait at the same time share one transaction, and so one fsync.

On a flash card an fsync takes tens of milliseconds and a statement takes microseconds. Whoever arrives while one
group is being written makes up the next.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

R = TypeVar("R")

Statement = Callable[[sqlite3.Connection], Any]

# A group that failed as a whole is told to this many at most, and a caller waits for no more than this many others.
_LARGEST_GROUP = 128


class GroupCommit:
    """The one writer of a database. A call that fails undoes its own changes and nobody else's."""

    def __init__(self, db: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._db = db
        self._thread = thread
        self._waiting: list[tuple[Statement, asyncio.Future[Any]]] = []
        self._writing = False

    async def run(self, statement: Callable[[sqlite3.Connection], R]) -> R:
        """Run a statement; when this returns, what it wrote is on disk.

        Who is cancelled while waiting does not learn whether it was written.
        """
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((statement, done))
        self._begin()
        return await done

    def _begin(self) -> None:
        if self._writing or not self._waiting:
            return
        group, self._waiting = self._waiting[:_LARGEST_GROUP], self._waiting[_LARGEST_GROUP:]
        self._writing = True
        statements = [statement for statement, _ in group]
        running = asyncio.get_running_loop().run_in_executor(self._thread, commit_together, self._db, statements)
        running.add_done_callback(partial(self._settle, [done for _, done in group]))

    def _settle(self, group: list[asyncio.Future[Any]], running: asyncio.Future[list[Any]]) -> None:
        self._writing = False
        failure = running.exception()
        outcomes = [failure] * len(group) if failure else running.result()
        for done, outcome in zip(group, outcomes, strict=True):
            if done.cancelled():
                continue
            if isinstance(outcome, BaseException):
                done.set_exception(outcome)
            else:
                done.set_result(outcome)
        self._begin()


def commit_together(db: sqlite3.Connection, statements: Sequence[Statement]) -> list[Any]:
    """Run statements in one transaction; a result or an exception for each.

    Raises:
        sqlite3.Error: nothing of any of them was written.
    """
    # Immediate: a transaction that reads first and then wants to write could meet "busy" without a wait.
    db.execute("BEGIN IMMEDIATE")
    try:
        outcomes = [_alone(db, statement) for statement in statements]
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
    return outcomes


def _alone(db: sqlite3.Connection, statement: Statement) -> Any:
    db.execute("SAVEPOINT one_call")
    try:
        outcome = statement(db)
    except Exception as failure:
        if not db.in_transaction:  # a full disk ends the transaction of all
            raise
        db.execute("ROLLBACK TO one_call")
        outcome = failure
    db.execute("RELEASE one_call")
    return outcome
