"""The shim's event loop: epoll, timers, child exits. One thread, nothing else; a callback that raises is a bug and ends the shim's work on
that descriptor with a line in its log, never the shim itself: its death would kill every container of the node.
"""

from __future__ import annotations

import heapq
import os
import select
import signal
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

READ = select.EPOLLIN
WRITE = select.EPOLLOUT


def log(text: str) -> None:
    """A line in the shim's own log (its stderr)."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"{stamp} shim[{os.getpid()}] {text}\n")
    sys.stderr.flush()


class Timer:
    __slots__ = ("callback", "when")

    def __init__(self, when: float, callback: Callable[[], None]) -> None:
        self.when = when
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None

    def __lt__(self, other: Timer) -> bool:
        return self.when < other.when


class Loop:
    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}
        self._timers: list[Timer] = []
        self._running = False
        self._wakeup = -1

    def add(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """`callback(events)` whenever `fd` is ready (level-triggered; EPOLLHUP and EPOLLERR come unasked)."""
        self._epoll.register(fd, events)
        self._handlers[fd] = callback

    def modify(self, fd: int, events: int) -> None:
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Before the descriptor is closed: a closed one can't be unregistered by number."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(time.monotonic() + seconds, callback)
        heapq.heappush(self._timers, timer)
        return timer

    def watch_children(self, callback: Callable[[], None]) -> None:
        """`callback()` after SIGCHLD; several exits may come as one call."""
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._wakeup = reader
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)

        def drain(_events: int) -> None:
            os.read(reader, 4096)
            callback()

        self.add(reader, READ, drain)

    def stop(self) -> None:
        self._running = False

    def run(self) -> None:
        self._running = True
        while self._running:
            for fd, events in self._epoll.poll(self._timeout()):
                handler = self._handlers.get(fd)
                if handler is not None:
                    self._guard(handler, events)
            self._run_timers()

    def _timeout(self) -> float:
        return max(0.0, self._timers[0].when - time.monotonic()) if self._timers else -1

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0].when <= now:
            callback = heapq.heappop(self._timers).callback
            if callback is not None:
                self._guard(callback)

    @staticmethod
    def _guard(callback: Callable[..., None], *arguments: object) -> None:
        try:
            callback(*arguments)
        except Exception:
            import traceback

            log("bug: " + traceback.format_exc())
