"""The tables of the memory store. The conformance suite compares the other stores with them."""

from __future__ import annotations

from attrs import field, frozen

from streamwarm.backlog.core.survey import Page
from streamwarm.backlog.memory.attempts import MemoryAttempts
from streamwarm.backlog.memory.jobs import MemoryJobs
from streamwarm.backlog.memory.media import MemoryMedia
from streamwarm.backlog.memory.shared import MemoryShared


@frozen(eq=False)
class MemoryTables:
    """The `Tables` of a fresh store."""

    jobs: MemoryJobs = field(factory=MemoryJobs)
    attempts: MemoryAttempts = field(init=False)
    media: MemoryMedia = field(factory=MemoryMedia)
    shared: MemoryShared = field(factory=MemoryShared)

    @attempts.default
    def _attempts_of_these_jobs(self) -> MemoryAttempts:
        return MemoryAttempts(self.jobs.get)

    def survey(self, page: Page) -> Page | None:
        """Every row is a value of this process: none is odd."""
        return None
