"""Viewers from the lists of a server's API."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
from housecount import Heartbeat

from .identity import Identity, first

__all__ = ["KINDS", "PAGES_MAX", "PollError", "mediamtx", "owncast"]

PAGES_MAX = 1_000
"""Most pages of a list that are read."""

PAGE_ITEMS = 1_000


class PollError(Exception):
    """A server did not respond, or not with a list of viewers."""


def owncast(http: httpx.Client, url: str, identity: Identity, stage: str | None) -> Iterator[Heartbeat]:
    """Reads Owncast's `/api/admin/viewers`: clients that fetched the playlist recently, by a hash of address and player."""
    viewers = _get(http, f"{url}/api/admin/viewers")
    if not isinstance(viewers, list):
        raise PollError("/api/admin/viewers is not a list")
    for each in viewers:
        client = first(each, "clientID") if isinstance(each, dict) else ""
        if client:
            yield Heartbeat(stage or "owncast", identity.from_address(client, ""))


def mediamtx(http: httpx.Client, url: str, identity: Identity, stage: str | None) -> Iterator[Heartbeat]:
    """Reads MediaMTX's `/v3/hlssessions/list`: the HLS players, by the query's viewer, the user, or the session.

    A session of a CDN (`hlsCDNSecret`) stands for any number of players, and is left out.
    """
    for page in range(PAGES_MAX):
        page_body = _get(http, f"{url}/v3/hlssessions/list?itemsPerPage={PAGE_ITEMS}&page={page}")
        items, pages = (
            (page_body.get("items"), page_body.get("pageCount")) if isinstance(page_body, dict) else (None, None)
        )
        if not isinstance(items, list):
            raise PollError("/v3/hlssessions/list has no items")
        for each in items:
            session, path = (first(each, "id"), first(each, "path")) if isinstance(each, dict) else ("", "")
            if session and path and each.get("isCDN") is not True:
                viewer = identity.from_query(first(each, "query")) or identity.valid_id(first(each, "user"))
                yield Heartbeat(stage or path, viewer or identity.from_address(session, ""), session)
        if not isinstance(pages, int) or page + 1 >= pages:
            return


KINDS = {"owncast": owncast, "mediamtx": mediamtx}


def _get(http: httpx.Client, url: str) -> object:
    try:
        response = http.get(url)
        response.raise_for_status()
        body: object = response.json()
    except (httpx.HTTPError, ValueError) as error:
        raise PollError(f"no list of viewers: {error}") from error
    return body
