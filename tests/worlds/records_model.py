"""What a person would expect look-ups to answer, told as naively as possible: the version that was seen last."""

from __future__ import annotations

from attrs import define, field

Name = tuple[str, str]
"""An account and an object's key."""


@define
class Reference:
    """A file id, and when its version was last seen in the bucket: when it was opened, or compared."""

    file_id: str
    version: int
    has_digest: bool
    seen_at: float
    etag: str | None


@define
class Expected:
    """The references of each name, by version. A version that nobody read is kept apart from one that was."""

    names: dict[Name, dict[tuple[int, bool], Reference]] = field(factory=dict)

    def by_key(self, account: str, key: str) -> Reference | None:
        found = self.names.get((account, key), {}).values()
        return max(found, key=lambda one: one.seen_at, default=None)

    def by_digest(self, account: str, version: int) -> Reference | None:
        alike = [
            (reference.seen_at, key, reference)
            for (owner, key), found in self.names.items()
            for reference in found.values()
            if owner == account and reference.version == version and reference.has_digest
        ]
        return min(alike, key=lambda one: (-one[0], one[1]), default=(0, "", None))[2]

    def deliver(self, account: str, key: str, new: Reference) -> None:
        found = self.names.setdefault((account, key), {})
        before = found.get((new.version, new.has_digest))
        new.seen_at = max(new.seen_at, before.seen_at if before else 0)
        found[new.version, new.has_digest] = new

    def take_word(self, account: str, key: str, version: int, etag: str | None) -> None:
        """A pusher says that this object, which nobody here has seen, has these bytes."""
        known = self.by_digest(account, version)
        if known is not None and not self.names.get((account, key)):
            self.names[account, key] = {(version, True): Reference(known.file_id, version, True, 0, etag)}

    def compare(self, key: str, version: int | None, asked_at: float) -> None:
        """The bucket had this version, or none, when it was asked."""
        for (account, name), found in self.names.items():
            answering = self.by_key(account, name)
            if name != key or answering is None or answering.seen_at > asked_at or version is None:
                continue
            alike = [one for one in found.values() if one.etag == f"e{version}"]
            again = answering if answering in alike else max(alike, key=lambda one: one.seen_at, default=None)
            if again is not None:
                again.seen_at = asked_at

    def forget(self, account: str, key: str) -> None:
        self.names.pop((account, key), None)
