"""A program that uses the generated Python client as it is, without a credential. Prints a line for each call.

`generated_python.py` checks it by mypy, and runs it.
"""

import os

from housecount_client import AuthenticatedClient, Client
from housecount_client.api.operators import list_stages
from housecount_client.api.players import open_web_socket, send_heartbeat, send_heartbeats, send_leave
from housecount_client.models import BatchResponse, HeartbeatRequest, HeartbeatResponse, Problem, StagesResponse


def beat(viewer: str) -> HeartbeatRequest:
    return HeartbeatRequest(stage="generated-python", viewer=viewer)


with Client(base_url=os.environ["CLIENTS_URL"]) as client:
    answer: HeartbeatResponse | Problem | None = send_heartbeat.sync(client=client, body=beat("ada"))
    if isinstance(answer, HeartbeatResponse):
        print(f"heartbeat: viewers {answer.viewers}, complete {answer.complete}, next {answer.next_ms > 0}")
    batch = send_heartbeats.sync(client=client, body=[beat("bob"), beat("eve")])
    if isinstance(batch, BatchResponse):
        print(f"batch: accepted {batch.accepted}, rejected {len(batch.rejected)}")
    refused = send_heartbeat.sync(client=client, body=HeartbeatRequest(stage="", viewer="ada"))
    if isinstance(refused, Problem):
        print(f"refused: {refused.status} {refused.code}")
    left = send_leave.sync_detailed(client=client, body=beat("ada"))
    print(f"leave: {int(left.status_code)}")
    upgrade = open_web_socket.sync(client=client)
    if isinstance(upgrade, Problem):
        print(f"WebSocket by HTTP: {upgrade.status} {upgrade.code}")

with AuthenticatedClient(base_url=os.environ["CLIENTS_KEYED_URL"], token=os.environ["CLIENTS_KEY"]) as operator:
    stages = list_stages.sync(client=operator)
    if isinstance(stages, StagesResponse):
        print(f"stages with a key: {len(stages.stages) >= 0}")
