"""A program that uses the client, for the type checker: it is never run."""

from datetime import timedelta

from housecount import AsyncClient, Client, Heartbeat, HousecountError, LiveCount, sign_token


def synchronous() -> list[tuple[str, int]]:
    token: str = sign_token("secret:…", viewer="ann", stage="match-1", ttl=timedelta(hours=1))
    with Client("https://count.example.org", key="hck_…") as client:
        try:
            next_ms: int = client.send_heartbeat("match-1", "ann", token=token).next_ms
            rejected: list[str] = [each.code for each in client.send_heartbeats([Heartbeat("match-1", "ann")]).rejected]
        except HousecountError as error:
            status: int | None = error.status
            print(error.code, status)
        else:
            print(next_ms, rejected)
        with client.watch("match-1", "ann", token=lambda: token, on_count=lambda count: print(count.viewers)) as watch:
            watch.leave()
        complete: list[bool] = [page.complete for page in client.list_stages().pages()]
        print(complete)
        return [(row.viewer, row.watch_ms) for row in client.list_stage_watch("match-1", from_="2026-11-01")]


async def asynchronous() -> int:
    async def token() -> str:
        return "…"

    async with AsyncClient("https://count.example.org") as client:
        async for event in client.stream_counts("match-1"):
            if isinstance(event, LiveCount):
                return event.viewers or 0
        async with client.watch("match-1", "ann", token=token):
            pass
        names: list[str | None] = [stage.name async for stage in client.list_stages(limit=1_000)]
        return len(names)
