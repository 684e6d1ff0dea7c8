"""Names made from jobs: a text with `{r2_key}`, `{sha256}` and `{kind}` in it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from streamwarm.errors import DestinationError, ErrorCode, InvalidJob
from streamwarm.model import NewJob
from streamwarm.send.destination import Media
from streamwarm.settings.placeholders import BRACED, check_placeholders, uses


@frozen
class Template:
    """`text` with its placeholders, known to be right. `encode` is applied to each value, not to the text."""

    text: str
    encode: Callable[[str], str]

    @classmethod
    def parse(cls, text: str, encode: Callable[[str], str] = str) -> Template:
        """Raises `BadValue` for an unknown placeholder or an unpaired brace."""
        check_placeholders(text)
        return cls(text, encode)

    def uses(self, name: str) -> bool:
        return uses(self.text, name)

    def check(self, job: NewJob) -> None:
        """Raise `InvalidJob` where the template names something that the job does not."""
        if job.sha256 is None and self.uses("sha256"):
            raise InvalidJob(
                f"destination {job.destination} names objects by their sha256, and this job has none: push it with one"
            )

    def fill(self, media: Media) -> str:
        """The name for one object. Raises `DestinationError` as `check` does, for jobs older than the template."""
        if media.sha256 is None and self.uses("sha256"):
            raise DestinationError(
                ErrorCode.DESTINATION_REFUSED,
                "the destination names objects by their sha256, and this job has none: push it with one",
            )
        return self.render(media)

    def render(self, named: NewJob | Media) -> str:
        """The name, with nothing where the job has no digest."""
        values = {"r2_key": named.r2_key, "sha256": named.sha256 or "", "kind": named.kind.value}
        # One pass over the template: what a value brings along is never looked at again.
        return BRACED.sub(lambda braced: self.encode(values[braced[1]]), self.text)
