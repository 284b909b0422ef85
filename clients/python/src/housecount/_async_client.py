"""The client for asyncio. `_client.py` is made from this file by tools/make_sync.py."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from datetime import timedelta
from types import TracebackType
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import urlsplit

import httpx

from ._errors import HousecountError
from ._models import (
    BatchResponse,
    CostResponse,
    HeartbeatResponse,
    HistoryResponse,
    LabelWatchResponse,
    OnlineViewer,
    ReportResponse,
    RestoreResponse,
    SaveSnapshotsResponse,
    Snapshot,
    Stage,
    StageChangeResponse,
    StageDeletionResponse,
    StageResponse,
    StageSnapshotsResponse,
    StagesResponse,
    StageViewersResponse,
    StageWatch,
    StageWatchResponse,
    StageWatchTotal,
    StatsResponse,
    ViewerResponse,
    ViewerWatch,
    ViewerWatchResponse,
    WatchTotalsResponse,
)
from ._watch import AsyncWatch, TokenSource
from ._wire import (
    RETRIED,
    STAGES_MAX,
    Backoff,
    BatchSum,
    Heartbeat,
    LiveCount,
    LiveEvents,
    LiveLabels,
    LiveReset,
    Time,
    batch_answer,
    batches,
    beat_json,
    error_of,
    parsed,
    query,
)

__all__ = ["AsyncClient", "AsyncPages"]

T = TypeVar("T")
Page = TypeVar("Page")
Item = TypeVar("Item")

SILENCE_S_MAX = 45.0
"""A stream of counts has a comment every 15 s. One that is silent for so long is dead."""


class AsyncPages(Generic[Page, Item]):
    """A list that is read page by page. Iterate over it for its items, or over `pages()` for what else a page says."""

    def __init__(
        self,
        fetch: Callable[[str | None], Awaitable[Page]],
        items: Callable[[Page], list[Item]],
        cursor: Callable[[Page], str | None],
    ) -> None:
        self._fetch = fetch
        self._items = items
        self._cursor = cursor

    async def pages(self) -> AsyncIterator[Page]:
        """Yields the pages."""
        page = await self._fetch(None)
        yield page
        while (cursor := self._cursor(page)) is not None:
            page = await self._fetch(cursor)
            yield page

    async def __aiter__(self) -> AsyncIterator[Item]:
        """Yields the items of all pages."""
        async for page in self.pages():
            for item in self._items(page):
                yield item


class AsyncClient:
    """Calls a housecount server. One client serves a whole program, many calls at once."""

    def __init__(
        self,
        url: str,
        *,
        key: str | None = None,
        retry_for: float = 30.0,
        timeout: float = 10.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Makes a client; it connects with its first call.

        Args:
            url: where housecount answers, such as `https://count.example.org`; a path is kept.
            key: an operator's key, where the server asks for one.
            retry_for: a call that fails for now (no answer, 408, 429, 502, 503, 504) is tried again for so many seconds.
            timeout: seconds that one try may take.
            http: an httpx client of your own, for proxies or certificates. You close it.
        """
        if urlsplit(url).scheme not in ("http", "https"):
            raise ValueError(f"url {url!r} is not an address such as https://count.example.org")
        self._url = url.rstrip("/")
        self._key = key
        self._retry_for = retry_for
        self._timeout = timeout
        self._is_own_http = http is None
        self._http = http or httpx.AsyncClient()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._is_own_http:
            await self._http.aclose()

    # Heartbeats

    async def send_heartbeat(
        self,
        stage: str,
        viewer: str,
        session: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        replaces: str | None = None,
        token: str | None = None,
    ) -> HeartbeatResponse:
        """Says that a viewer watches a stage now. The answer's `next_ms` says when to say so again; `watch` does all of this.

        Args:
            stage: the stage.
            viewer: the viewer.
            session: this player, where it has a name of its own.
            labels: labels by the keys of the node's setting `labels`; only those of a session's first heartbeat count.
            replaces: session on the same stage whose place this one takes, where a viewer's streams are limited.
            token: a viewer's token, where the server asks for one.
        """
        body = beat_json(Heartbeat(stage, viewer, session, labels, replaces))
        response = await self._send("POST", "/v1/heartbeat", json=body, token=token)
        return parsed(response, HeartbeatResponse.from_json)

    async def send_heartbeats(self, beats: Iterable[Heartbeat]) -> BatchResponse:
        """Sends heartbeats of many viewers, in as few calls as a node takes. Needs a key with the scope `beats`.

        Heartbeats that a node refuses are in `rejected`, each with its index. After an error all may be sent again: to repeat a
        heartbeat changes nothing but its time.
        """
        outcome = BatchSum()
        for first, body in batches(beats):
            response = await self._send(
                "POST", "/v1/heartbeats", content=body, content_type="application/x-ndjson", is_batch=True
            )
            outcome.add(first, batch_answer(response))
        return outcome.response()

    async def send_leave(
        self, stage: str, viewer: str, session: str | None = None, *, token: str | None = None
    ) -> None:
        """Says that a session has stopped; without a session all of the viewer's on that stage."""
        await self._send("POST", "/v1/leave", json=beat_json(Heartbeat(stage, viewer, session)), token=token)

    def watch(
        self,
        stage: str,
        viewer: str,
        session: str | None = None,
        *,
        labels: Mapping[str, str] | None = None,
        replaces: str | None = None,
        token: TokenSource | None = None,
        on_count: Callable[[HeartbeatResponse], object] | None = None,
        on_retry: Callable[[HousecountError, float], object] | None = None,
        on_error: Callable[[HousecountError], object] | None = None,
    ) -> AsyncWatch:
        """Keeps a viewer counted, by a heartbeat whenever one is due, until `leave()`.

        Args:
            stage: the stage.
            viewer: the viewer.
            session: this player, where it has a name of its own.
            labels: labels by the keys of the node's setting `labels`; only those of a session's first heartbeat count.
            replaces: session on the same stage whose place this one takes, where a viewer's streams are limited.
            token: a viewer's token, or what returns one; the latter is asked again before the token ends and after a 401.
            on_count: called with the count of each heartbeat's answer.
            on_retry: called with why a heartbeat failed, and the seconds until the next try.
            on_error: called with why the server refuses the viewer for good. No more is sent.
        """
        return AsyncWatch(
            self._url,
            beat_json(Heartbeat(stage, viewer, session, labels, replaces)),
            token=token,
            timeout=self._timeout,
            http=self._http,
            on_count=on_count,
            on_retry=on_retry,
            on_error=on_error,
        )

    # Counts

    async def show_stats(self, *, by: str | None = None) -> StatsResponse:
        """Returns how many watch altogether; a viewer of two stages counts once. `by`: also by this label."""
        return parsed(await self._send("GET", "/v1/stats", query(by=by)), StatsResponse.from_json)

    def list_stages(self, *, limit: int | None = None) -> AsyncPages[StagesResponse, Stage]:
        """Lists the active and the configured stages, sorted by id. `limit`: how many a page has."""

        async def fetch(cursor: str | None) -> StagesResponse:
            response = await self._send("GET", "/v1/stages", query(limit=limit, cursor=cursor))
            return parsed(response, StagesResponse.from_json)

        return AsyncPages(fetch, lambda page: page.stages, lambda page: page.cursor)

    async def show_stage(self, stage: str, *, by: str | None = None) -> StageResponse:
        """Returns a stage's count and configuration. `by`: the count also by this label."""
        return parsed(await self._send("GET", "/v1/stage", query(stage=stage, by=by)), StageResponse.from_json)

    def list_stage_viewers(
        self, stage: str, *, limit: int | None = None
    ) -> AsyncPages[StageViewersResponse, OnlineViewer]:
        """Lists who watches a stage now. A page is sorted by id, the whole is not."""

        async def fetch(cursor: str | None) -> StageViewersResponse:
            response = await self._send("GET", "/v1/stage/viewers", query(stage=stage, limit=limit, cursor=cursor))
            return parsed(response, StageViewersResponse.from_json)

        return AsyncPages(fetch, lambda page: page.viewers, lambda page: page.cursor)

    async def show_viewer(self, viewer: str) -> ViewerResponse:
        """Returns where a viewer is online."""
        return parsed(await self._send("GET", "/v1/viewer", query(viewer=viewer)), ViewerResponse.from_json)

    async def stream_counts(
        self, *stages: str, totals: bool = False, by: str | None = None, token: str | None = None
    ) -> AsyncIterator[LiveCount | LiveLabels | StatsResponse | LiveReset]:
        """Yields live counts: at once, and when they change, at most once a second each. Connects again by itself.

        Without a stage it yields all; with `totals` also a `StatsResponse` of all together. After a `LiveReset` forget the earlier counts.
        `by` adds a `LiveLabels`: the viewers of each stage, or with `totals` of all together, by this label.

        Raises:
            HousecountError: the server refuses, or has ended the stream since the token or key is no longer good.
        """
        if len(stages) > STAGES_MAX:
            raise ValueError(f"{len(stages)} stages; a stream tells {STAGES_MAX} at most, or all if none is named")
        events = LiveEvents()
        backoff = self._backoff()
        while True:
            headers = self._headers(token)
            if events.last_event_id is not None:
                headers["last-event-id"] = events.last_event_id
            error = HousecountError("the stream was interrupted")
            parameters = query(stage=list(stages), totals=totals or None, by=by)
            times = httpx.Timeout(self._timeout, read=SILENCE_S_MAX)
            try:
                async with self._http.stream(
                    "GET", self._url + "/v1/live", params=parameters, headers=headers, timeout=times
                ) as response:
                    if response.is_success:
                        async for line in response.aiter_lines():
                            event = events.line(line)
                            if event is not None:
                                backoff = self._backoff()
                                yield event
                    else:
                        await response.aread()
                        error = error_of(response)
                        if response.status_code not in RETRIED:
                            raise error
            except httpx.TransportError as failure:
                error = HousecountError(f"no answer: {failure!r}")
            events.clear()
            wait = backoff.wait(error.retry_after)
            if wait is None:
                raise error
            await asyncio.sleep(wait)

    # Watch time

    async def show_history(
        self,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        step: timedelta | str | None = None,
        by: str | None = None,
    ) -> HistoryResponse:
        """Returns how many watched at once, all stages together. `step` is such as `5m` or a timedelta. `by`: also by this label."""
        response = await self._send("GET", "/v1/history", query(from_=from_, to=to, step=step, by=by))
        return parsed(response, HistoryResponse.from_json)

    async def show_stage_history(
        self,
        stage: str,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        step: timedelta | str | None = None,
        by: str | None = None,
    ) -> HistoryResponse:
        """Returns how many watched a stage at once. `by`: also by this label."""
        parameters = query(stage=stage, from_=from_, to=to, step=step, by=by)
        return parsed(await self._send("GET", "/v1/stage/history", parameters), HistoryResponse.from_json)

    async def show_report(
        self, *, from_: Time | None = None, to: Time | None = None, by: str | None = None
    ) -> ReportResponse:
        """Returns unique viewers, watch time, joins, leaves, views and more of all stages together. `by`: also by this label."""
        response = await self._send("GET", "/v1/report", query(from_=from_, to=to, by=by))
        return parsed(response, ReportResponse.from_json)

    async def show_stage_report(
        self, stage: str, *, from_: Time | None = None, to: Time | None = None, by: str | None = None
    ) -> ReportResponse:
        """Returns the same of a stage."""
        response = await self._send("GET", "/v1/stage/report", query(stage=stage, from_=from_, to=to, by=by))
        return parsed(response, ReportResponse.from_json)

    async def show_watch_by_label(
        self, by: str, *, from_: Time | None = None, to: Time | None = None
    ) -> LabelWatchResponse:
        """Returns how much was watched by each value of a label, all stages together."""
        response = await self._send("GET", "/v1/watch", query(from_=from_, to=to, by=by))
        return parsed(response, LabelWatchResponse.from_json)

    async def show_stage_watch_by_label(
        self, stage: str, by: str, *, from_: Time | None = None, to: Time | None = None
    ) -> LabelWatchResponse:
        """Returns how much a stage was watched by each value of a label."""
        response = await self._send("GET", "/v1/stage/watch", query(stage=stage, from_=from_, to=to, by=by))
        return parsed(response, LabelWatchResponse.from_json)

    def list_stage_watch(
        self,
        stage: str,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        intervals: bool = False,
        limit: int | None = None,
    ) -> AsyncPages[StageWatchResponse, ViewerWatch]:
        """Lists who watched a stage and how long, sorted by viewer. `intervals`: also when exactly."""

        async def fetch(cursor: str | None) -> StageWatchResponse:
            parameters = query(stage=stage, from_=from_, to=to, intervals=intervals or None, limit=limit, cursor=cursor)
            return parsed(await self._send("GET", "/v1/stage/watch", parameters), StageWatchResponse.from_json)

        return AsyncPages(fetch, lambda page: page.watch, lambda page: page.cursor)

    def list_viewer_watch(
        self,
        viewer: str,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        intervals: bool = False,
        limit: int | None = None,
    ) -> AsyncPages[ViewerWatchResponse, StageWatch]:
        """Lists what a viewer watched and how long, sorted by stage."""

        async def fetch(cursor: str | None) -> ViewerWatchResponse:
            parameters = query(
                viewer=viewer, from_=from_, to=to, intervals=intervals or None, limit=limit, cursor=cursor
            )
            return parsed(await self._send("GET", "/v1/viewer/watch", parameters), ViewerWatchResponse.from_json)

        return AsyncPages(fetch, lambda page: page.watch, lambda page: page.cursor)

    def list_watch(
        self,
        *,
        from_: Time | None = None,
        to: Time | None = None,
        step: timedelta | str | None = None,
        limit: int | None = None,
    ) -> AsyncPages[WatchTotalsResponse, StageWatchTotal]:
        """Lists how much each stage was watched; with `step` also how many watched on average, step by step."""

        async def fetch(cursor: str | None) -> WatchTotalsResponse:
            parameters = query(from_=from_, to=to, step=step, limit=limit, cursor=cursor)
            return parsed(await self._send("GET", "/v1/watch", parameters), WatchTotalsResponse.from_json)

        return AsyncPages(fetch, lambda page: page.watch, lambda page: page.cursor)

    def list_stage_snapshots(
        self, stage: str, *, from_: Time | None = None, to: Time | None = None
    ) -> AsyncPages[StageSnapshotsResponse, Snapshot]:
        """Lists the counts of a stage that were saved, oldest first."""

        async def fetch(cursor: str | None) -> StageSnapshotsResponse:
            parameters = query(stage=stage, from_=from_ if cursor is None else cursor, to=to)
            return parsed(await self._send("GET", "/v1/stage/snapshots", parameters), StageSnapshotsResponse.from_json)

        return AsyncPages(
            fetch, lambda page: page.snapshots, lambda page: None if page.next_from is None else str(page.next_from)
        )

    # Configuration and administration

    async def create_stage(
        self,
        stage: str,
        *,
        name: str | None = None,
        customer: str | None = None,
        tags: Mapping[str, str] | None = None,
        public_count: Literal["exact", "rounded", "hidden"] | None = None,
    ) -> StageChangeResponse:
        """Configures a stage. `public_count` is the count that players see.

        A call whose answer was lost is not repeated, since it may have been carried out.
        """
        fields = {"stage": stage, "name": name, "customer": customer, "tags": tags, "publicCount": public_count}
        body = {field: value for field, value in fields.items() if value is not None}
        response = await self._send("POST", "/v1/stages", json=body, is_repeatable=False)
        return parsed(response, StageChangeResponse.from_json)

    async def change_stage(self, stage: str, changes: Mapping[str, object]) -> StageChangeResponse:
        """Changes `name`, `customer`, `tags` or `publicCount`. What is missing stays; None removes it, or a tag."""
        response = await self._send("PATCH", "/v1/stage", query(stage=stage), json=dict(changes))
        return parsed(response, StageChangeResponse.from_json)

    async def delete_stage(self, stage: str) -> StageDeletionResponse:
        """Deletes a stage's configuration, never its history."""
        response = await self._send("DELETE", "/v1/stage", query(stage=stage), is_repeatable=False)
        return parsed(response, StageDeletionResponse.from_json)

    async def show_cost(self) -> CostResponse:
        """Returns what this node's own calls have cost."""
        return parsed(await self._send("GET", "/v1/cost"), CostResponse.from_json)

    async def save_snapshots(self) -> SaveSnapshotsResponse:
        """Saves every active stage's count now."""
        return parsed(await self._send("POST", "/v1/admin/snapshot"), SaveSnapshotsResponse.from_json)

    async def restore_counts(self) -> RestoreResponse:
        """Lets the last snapshot's counts stand in for one ttl."""
        return parsed(await self._send("POST", "/v1/admin/restore"), RestoreResponse.from_json)

    # One call

    def _headers(self, token: str | None) -> dict[str, str]:
        credential = token or self._key
        return {"authorization": f"Bearer {credential}"} if credential else {}

    def _backoff(self) -> Backoff:
        return Backoff(self._retry_for, time.monotonic)

    async def _send(
        self,
        method: str,
        path: str,
        parameters: httpx.QueryParams | None = None,
        *,
        json: Any = None,
        content: bytes | None = None,
        content_type: str | None = None,
        token: str | None = None,
        is_batch: bool = False,
        is_repeatable: bool = True,
    ) -> httpx.Response:
        headers = self._headers(token)
        if content_type is not None:
            headers["content-type"] = content_type
        backoff = self._backoff()
        while True:
            try:
                response = await self._http.request(
                    method,
                    self._url + path,
                    params=parameters,
                    headers=headers,
                    json=json,
                    content=content,
                    timeout=self._timeout,
                )
                if response.is_success or (is_batch and response.status_code == 400):
                    return response
                error = error_of(response)
                if response.status_code not in (RETRIED if is_repeatable else (429, 503)):
                    raise error
            except httpx.TransportError as failure:
                error = HousecountError(f"no answer: {failure!r}")
                if not (is_repeatable or isinstance(failure, httpx.ConnectError)):
                    raise error from failure
            wait = backoff.wait(error.retry_after)
            if wait is None:
                raise error
            await asyncio.sleep(wait)
