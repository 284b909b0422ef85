"""Drivers of the state machine of a stay: for asyncio, and in a thread for other programs."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Union
from uuid import uuid4

import httpx

from ._errors import HousecountError
from ._models import HeartbeatResponse
from ._stay import Answer, CountOutcome, Effects, Event, Failure, RefusalOutcome, RetryOutcome, State, Stay, Token
from ._tokens import token_times_ms
from ._wire import active_of, seconds_of

__all__ = ["AsyncWatch", "TokenSource", "Watch"]

TokenSource = Union[str, Callable[[], Union[str, Awaitable[str]]]]
"""A viewer's token, or what returns one."""

LEAVE_S_MAX = 10.0
"""A leave is a hint: it has this long to be sent, and is not repeated."""


class AsyncWatch:
    """A viewer who is counted until `leave()`. Make it with `AsyncClient.watch`, in a running event loop."""

    def __init__(
        self,
        url: str,
        beat: dict[str, Any],
        *,
        token: TokenSource | None,
        timeout: float,
        http: httpx.AsyncClient,
        on_count: Callable[[HeartbeatResponse], object] | None,
        on_retry: Callable[[HousecountError, float], object] | None,
        on_error: Callable[[HousecountError], object] | None,
    ) -> None:
        self._url = url
        self._ids = beat
        self._token_source = token
        self._timeout = timeout
        self._http = http
        self._on_count = on_count
        self._on_retry = on_retry
        self._on_error = on_error
        self._token = token if isinstance(token, str) else None
        self._loop = asyncio.get_running_loop()
        self._under_way: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        # Leaves that are being sent: the loop keeps no strong reference to a task.
        self._leaves: set[asyncio.Task[None]] = set()
        self._over = asyncio.Event()
        self._begin()

    def _begin(self) -> None:
        """Begins a stay. Its session's name is never used again, unless the caller gave it."""
        self._beat = {**self._ids, "session": self._ids.get("session") or uuid4().hex[:16]}
        self._stay = Stay(has_own_session="session" in self._ids, has_tokens=callable(self._token_source))
        self._over.clear()
        self._handle("start")

    async def __aenter__(self) -> AsyncWatch:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.leave()

    async def leave(self) -> None:
        """Says that the viewer has stopped, and waits until that is sent. May be called twice."""
        self._handle("leave")
        await self._over.wait()
        if self._leaves:
            await asyncio.wait(self._leaves)

    def resume(self) -> None:
        """Counts the viewer again after `leave()`, in a new session unless the session was named."""
        if self._stay.state is State.OVER:
            self._begin()

    def online(self) -> None:
        """Says that the network is back: the next heartbeat goes at once."""
        self._handle("online")

    def _handle(self, event: Event | Answer | Failure | Token) -> None:
        now = 1_000 * time.time()
        effects = self._stay.handle(now, event)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._stay.due_at is not None:
            self._timer = self._loop.call_later(max(0.0, self._stay.due_at - now) / 1_000, self._handle, "timer")
        self._do(effects)
        if self._stay.state is State.OVER:
            self._over.set()

    def _do(self, effects: Effects) -> None:
        for request in effects.requests:
            if request == "abandon":
                if self._under_way is not None:
                    self._under_way.cancel()
                    self._under_way = None
            elif request == "leave":
                leave = self._loop.create_task(self._send_leave())
                self._leaves.add(leave)
                leave.add_done_callback(self._leaves.discard)
            else:
                self._under_way = self._loop.create_task(self._run(request == "token"))
        outcome = effects.outcome
        if isinstance(outcome, CountOutcome) and self._on_count:
            self._on_count(outcome.answer)
        elif isinstance(outcome, RetryOutcome) and self._on_retry:
            self._on_retry(_error_of(outcome.why), outcome.wait_ms / 1_000)
        elif isinstance(outcome, RefusalOutcome) and self._on_error:
            self._on_error(_error_of(outcome.why))

    async def _run(self, is_for_token: bool) -> None:
        event = await (self._ask_for_token() if is_for_token else self._send_heartbeat())
        self._under_way = None
        self._handle(event)

    async def _ask_for_token(self) -> Token | Failure:
        assert callable(self._token_source)
        try:
            token = self._token_source()
            self._token = await token if inspect.isawaitable(token) else token
        except Exception as error:  # It is the caller's function, and may raise anything.
            return Failure(f"no token could be had: {error!r}")
        return Token(*token_times_ms(self._token))

    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"} if self._token else {}

    async def _send_heartbeat(self) -> Answer | Failure:
        try:
            response = await self._http.post(
                self._url + "/v1/heartbeat", json=self._beat, headers=self._headers(), timeout=self._timeout
            )
        except httpx.HTTPError as error:
            return Failure(f"no answer: {error!r}")
        return answer_of(response)

    async def _send_leave(self) -> None:
        # A leave has no use for the rest of the heartbeat.
        leave = {field: self._beat[field] for field in ("stage", "viewer", "session")}
        try:
            await self._http.post(self._url + "/v1/leave", json=leave, headers=self._headers(), timeout=LEAVE_S_MAX)
        except httpx.HTTPError:
            pass  # A leave is a hint: without it the session ends a ttl after its last heartbeat.


def answer_of(response: httpx.Response) -> Answer:
    """Reads what a heartbeat was answered, which may be anything where no node answered."""
    retry_after = seconds_of(response.headers.get("retry-after"))
    answer: dict[str, Any] = {"retry_after_ms": None if retry_after is None else 1_000 * retry_after}
    try:
        body = response.json()
        if response.is_success:
            answer["count"] = HeartbeatResponse.from_json(body)
        else:
            answer |= {"code": str(body["code"]), "detail": str(body["detail"]), "active": active_of(body)}
    except (ValueError, KeyError, TypeError, AttributeError):
        answer["detail"] = f"no housecount node answered, but something with status {response.status_code}"
    return Answer(response.status_code, **answer)


def _error_of(why: Answer | Failure) -> HousecountError:
    if isinstance(why, Failure):
        return HousecountError(why.detail)
    retry_after = None if why.retry_after_ms is None else why.retry_after_ms / 1_000
    return HousecountError(why.detail, code=why.code, status=why.status, retry_after=retry_after, active=why.active)


class Watch:
    """A viewer who is counted until `leave()`, by a thread of its own. Make it with `Client.watch`.

    Callbacks are called in that thread.
    """

    def __init__(
        self,
        url: str,
        beat: dict[str, Any],
        *,
        token: TokenSource | None,
        timeout: float,
        http: httpx.Client,
        on_count: Callable[[HeartbeatResponse], object] | None,
        on_retry: Callable[[HousecountError, float], object] | None,
        on_error: Callable[[HousecountError], object] | None,
    ) -> None:
        del http  # It belongs to callers that wait; the thread has an asyncio client.
        self._loop = asyncio.new_event_loop()
        self._has_ended = False

        async def begin() -> tuple[httpx.AsyncClient, AsyncWatch]:
            client = httpx.AsyncClient()
            return client, AsyncWatch(
                url,
                beat,
                token=token,
                timeout=timeout,
                http=client,
                on_count=on_count,
                on_retry=on_retry,
                on_error=on_error,
            )

        self._thread = threading.Thread(target=self._loop.run_forever, name="housecount-watch", daemon=True)
        self._thread.start()
        self._http, self._watch = self._call(begin())

    def __enter__(self) -> Watch:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def leave(self) -> None:
        """Says that the viewer has stopped, and waits until that is sent. May be called twice."""
        if not self._has_ended:
            self._call(self._watch.leave())

    def resume(self) -> None:
        """Counts the viewer again after `leave()`, in a new session unless the session was named."""
        self._call(self._now(self._watch.resume))

    def online(self) -> None:
        """Says that the network is back: the next heartbeat goes at once."""
        self._call(self._now(self._watch.online))

    def close(self) -> None:
        """Leaves, and ends the thread. `with` does so by itself."""
        if self._has_ended:
            return
        self.leave()
        self._has_ended = True
        self._call(self._http.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, what: Coroutine[Any, Any, Any]) -> Any:
        if self._has_ended and not self._thread.is_alive():
            what.close()
            raise RuntimeError("this watch is closed: make another one")
        done: Future[Any] = asyncio.run_coroutine_threadsafe(what, self._loop)
        return done.result()

    @staticmethod
    async def _now(call: Callable[[], None]) -> None:
        call()
