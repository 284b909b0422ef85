"""Counts who watches a live stream, on a housecount server. `Client` waits, `AsyncClient` is for asyncio."""

from ._async_client import AsyncClient, AsyncPages
from ._client import Client, Pages
from ._errors import HousecountError
from ._models import *  # noqa: F403
from ._models import __all__ as _models
from ._tokens import sign_token
from ._watch import AsyncWatch, TokenSource, Watch
from ._wire import Heartbeat, LiveCount, LiveLabels, LiveReset, Time

__version__ = "0.1.0"
__all__ = [
    "AsyncClient",
    "AsyncPages",
    "AsyncWatch",
    "Client",
    "Heartbeat",
    "HousecountError",
    "LiveCount",
    "LiveLabels",
    "LiveReset",
    "Pages",
    "Time",
    "TokenSource",
    "Watch",
    "sign_token",
]
__all__ += _models
