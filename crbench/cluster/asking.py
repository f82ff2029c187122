"""Asks workers for tasks, goes on with what they give, and asks again for what was lost."""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import attrs

from crbench.api.context import RunContext
from crbench.cluster.request import ClusterSpec
from crbench.errors import CrbenchError, SystemFaultError

if TYPE_CHECKING:
    from distributed import Client, Future

LOOK_S = 1.0
"""Seconds between two looks at the workers, while no task ends."""

_NOBODY_S = 15.0
"""Seconds without any worker after which that is said."""


@attrs.define(eq=False)
class _Task:
    """A task that was asked for.

    Attributes:
        step: what it does, in a word.
        then: called with it when it has ended well.
        killed: called where its worker died too often; None = that is an error.
        tries: how often it may be done again.
    """

    step: str
    then: Callable[[Future[Any]], None]
    killed: Callable[[], None] | None
    tries: int


class Asking:
    """The tasks of one request.

    Args:
        smaller: the option that makes tasks take less memory, for messages.
    """

    def __init__(self, client: Client, cluster: ClusterSpec, context: RunContext, *, smaller: str) -> None:
        self._token, self._smaller = secrets.token_hex(4), smaller
        self._client, self._cluster, self._context = client, cluster, context
        self._ended: queue.Queue[Future[Any]] = queue.Queue()
        self._tasks: dict[Future[Any], _Task] = {}
        self._counted = (0, -LOOK_S)
        self._alone_s = 0.0

    def submit(
        self,
        step: str,
        name: str,
        work: Callable[..., Any],
        *arguments: Any,
        then: Callable[[Future[Any]], None] | None,
        killed: Callable[[], None] | None = None,
        **options: Any,
    ) -> Future[Any]:
        """Ask for a task, whose arguments may be tasks.

        Args:
            name: tells it from others of its step.
            then: called by `wait` when the task has ended well; None = it matters to other tasks only.
            killed: called by `wait` where its worker died too often; None = that is an error.
            options: of ``Client.submit``. With ``retries`` the scheduler does it again, else `wait` does, and only
                where the system refused something.
        """
        future = self._client.submit(work, *arguments, key=f"{step}-{name}, {self._token}", pure=False, **options)
        if then is not None:
            tries = 0 if "retries" in options else self._cluster.retries
            self._tasks[future] = _Task(step, then, killed, tries)
            future.add_done_callback(self._ended.put)
        return future

    @property
    def resources(self) -> dict[str, float] | None:
        """What a task takes of its worker's, where it computes."""
        return dict(self._cluster.resources) or None

    @property
    def open(self) -> bool:
        """Whether there are tasks that have not ended."""
        return bool(self._tasks)

    def wait(self, look: Callable[[], None]) -> None:
        """Go on with a task that ends, or look at the workers where none does."""
        try:
            future = self._ended.get(timeout=LOOK_S)
        except queue.Empty:
            self._note_absence()
            look()
            return
        self._end(future)

    def release(self) -> None:
        """Ask no more."""
        for future in self._tasks:
            future.release()
        self._tasks.clear()

    def workers(self) -> int:
        """How many there are, or were a second ago: asking takes a message to the scheduler and back."""
        now = time.monotonic()
        if now - self._counted[1] >= LOOK_S:
            self._counted = len(self._client.scheduler_info(n_workers=-1)["workers"]), now
        return self._counted[0]

    def _end(self, future: Future[Any]) -> None:
        """Go on with what a task gave, or do it again."""
        task = self._tasks.get(future)
        if task is None or not future.done():
            return
        error = future.exception()
        if error is None:
            del self._tasks[future]
            task.then(future)
        elif isinstance(error, SystemFaultError):
            self._again(future, task, error)
        elif isinstance(error, CrbenchError):
            raise error
        else:
            self._broken(future, task, error)

    def _broken(self, future: Future[Any], task: _Task, error: BaseException) -> None:
        """A task that ended without an outcome: its worker died, or the scheduler did, or it has a fault of ours."""
        from distributed import CancelledError, KilledWorker

        if isinstance(error, CancelledError):
            raise SystemFaultError("the Dask scheduler is lost; what is finished is kept, run again to continue")
        if not isinstance(error, KilledWorker):
            raise error
        if task.killed is None:
            raise SystemFaultError(
                f"{task.step}: its worker died {self._cluster.retries + 1} times, perhaps for want of memory; give "
                f"workers more (--memory-limit), or choose a smaller {self._smaller}"
            ) from error
        del self._tasks[future]
        task.killed()

    def _again(self, future: Future[Any], task: _Task, error: SystemFaultError) -> None:
        if task.tries == 0:
            raise error
        task.tries -= 1
        self._context.logger.warning("%s; once more", error)
        future.retry()
        future.add_done_callback(self._ended.put)

    def _note_absence(self) -> None:
        self._alone_s = 0.0 if self.workers() else self._alone_s + LOOK_S
        if _NOBODY_S <= self._alone_s < _NOBODY_S + LOOK_S:
            self._context.logger.warning("no worker has come so far; start some with: dask worker ADDRESS --nthreads 1")
