"""The line on stderr that says what runs and how long it will still take."""

import contextlib
import sys
import time

REWRITE = "\r\x1b[K"  # to the start of the line, and clear it


class Progress:
    """Counts planned seconds down, and corrects the plan by how long its steps really take."""

    def __init__(self, planned_seconds):
        self.planned_left, self.planned_done, self.took = planned_seconds, 0.0, 0.0
        self.terminal = sys.stderr.isatty()

    @contextlib.contextmanager
    def step(self, label, seconds):
        """One step, of 0 seconds when it is not in the plan; on a terminal rewritten in place."""
        if self.terminal:
            print(f"{REWRITE}{label}, {self.left()} left", end="", file=sys.stderr, flush=True)
        start = time.monotonic()
        yield
        if seconds:
            self.took += time.monotonic() - start
            self.planned_done += seconds
            self.planned_left -= seconds

    def note(self, label):
        """A line of its own where lines can't be rewritten."""
        if not self.terminal:
            print(f"{label}, {self.left()} left", file=sys.stderr, flush=True)

    def end(self):
        if self.terminal:
            print(REWRITE, end="", file=sys.stderr, flush=True)

    def left(self):
        pace = self.took / self.planned_done if self.planned_done > 5 else 1
        seconds = max(round(self.planned_left * pace), 0)
        return f"{seconds // 60} min {seconds % 60} s" if seconds >= 60 else f"{seconds} s"
