"""The one clock: this machine's, which is also Redis's. And the end of tasks."""

import asyncio
import time


def now_ms():
    return int(time.time() * 1000)


async def stop(tasks):
    """Cancels tasks until they have ended: `wait_for` may swallow a single cancellation."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        left = (await asyncio.wait(left, timeout=0.5))[1]
