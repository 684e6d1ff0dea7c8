"""Templates for names made from jobs: a text with `{r2_key}`, `{sha256}` and `{kind}` in it. Pure."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from streamwarm.errors import DestinationError, ErrorCode, InvalidJob
from streamwarm.model import NewJob
from streamwarm.send.destination import Media
from streamwarm.settings.placeholders import BRACED, check_placeholders, uses


@frozen
class Template:
    """A text whose placeholders were checked. `encode` is applied to each value, not to the text."""

    text: str
    encode: Callable[[str], str]

    @classmethod
    def parse(cls, text: str, encode: Callable[[str], str] = str) -> Template:
        """Check the placeholders. Raises `BadValue` for an unknown one or an unpaired brace."""
        check_placeholders(text)
        return cls(text, encode)

    def uses(self, name: str) -> bool:
        return uses(self.text, name)

    def check(self, job: NewJob) -> None:
        """Raise `InvalidJob` if the template uses something that the job lacks."""
        if job.sha256 is None and self.uses("sha256"):
            raise InvalidJob(
                f"destination {job.destination} names objects by their sha256, and this job has none: push it with one"
            )

    def fill(self, media: Media) -> str:
        """Return the name for one object. Raises `DestinationError` for what `check` refuses: the job may be older."""
        if media.sha256 is None and self.uses("sha256"):
            raise DestinationError(
                ErrorCode.DESTINATION_REFUSED,
                "the destination names objects by their sha256, and this job has none: push it with one",
            )
        return self.render(media)

    def render(self, named: NewJob | Media) -> str:
        """Return the name. A missing digest is left out."""
        values = {"r2_key": named.r2_key, "sha256": named.sha256 or "", "kind": named.kind.value}
        # One pass over the template, so braces inside a value are not replaced again.
        return BRACED.sub(lambda braced: self.encode(values[braced[1]]), self.text)
