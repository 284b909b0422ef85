"""websockets: subprotocols, compression, and a heartbeat over each connection."""

import json

import websockets
from websockets.sync.client import connect

from checks import URL, Checks

checks = Checks("websockets", websockets.__version__)


def chosen(*offered, path="/v1/ws"):
    """The subprotocol that the server chose, after a heartbeat that was answered."""
    address = URL.replace("http://", "ws://") + path
    with connect(address, subprotocols=list(offered) or None, open_timeout=10) as socket:
        socket.send(json.dumps(checks.beat()))
        answer = json.loads(socket.recv(timeout=10))
        if answer.get("stage") != "clients" or answer.get("viewers", 0) < 1:
            raise AssertionError(f"the heartbeat was answered {answer}")
        return socket.subprotocol


checks.equal("WebSocket without subprotocols", None, chosen)
checks.equal("WebSocket, housecount.1", "housecount.1", lambda: chosen("housecount.1"))
checks.equal("WebSocket, another and housecount.1", "housecount.1", lambda: chosen("graphql-ws", "housecount.1"))
checks.equal("WebSocket, only another", None, lambda: chosen("graphql-ws"))
