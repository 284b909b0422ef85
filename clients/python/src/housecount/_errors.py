"""Errors of the calls."""

from __future__ import annotations

from collections.abc import Sequence

from ._models import ActiveStream

__all__ = ["HousecountError"]


class HousecountError(Exception):
    """A node refused a call, or no node answered it."""

    code: str
    """For programs, such as `stage_not_found`. `""` if no housecount node answered."""
    detail: str
    """For people: what is wrong, and what to do."""
    status: int | None
    """The HTTP status. None without an answer, or for an error in a stream."""
    retry_after: float | None
    """Seconds that the node asked to wait for."""
    active: Sequence[ActiveStream]
    """Streams of the viewer, where the code is `too_many_streams`, oldest first."""

    def __init__(
        self,
        detail: str,
        *,
        code: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        active: Sequence[ActiveStream] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.active = active

    def __str__(self) -> str:
        head = " ".join(str(part) for part in (self.status, self.code) if part)
        return f"{head}: {self.detail}" if head else self.detail
