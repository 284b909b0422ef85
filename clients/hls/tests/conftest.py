"""Real nodes, and what they count. clients/with-nodes starts the nodes."""

import os
import time
import uuid

import pytest

from housecount import Client, HousecountError

DEADLINE_S = 40


@pytest.fixture(scope="session")
def url():
    return os.environ["CLIENTS_URL"]


@pytest.fixture
def client(url):
    with Client(url) as client:
        yield client


@pytest.fixture
def stage():
    """A stage that no other test knows."""
    return f"stage-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def viewers_of(client):
    """Returns the ids of a stage's online viewers."""

    def viewers_of(stage):
        try:
            return sorted(each.viewer for each in client.list_stage_viewers(stage))
        except HousecountError as error:
            if error.code == "stage_not_found":
                return []
            raise

    return viewers_of


def until(holds):
    """Returns what `holds` returns, once that is true."""
    end = time.monotonic() + DEADLINE_S
    while not (seen := holds()):
        assert time.monotonic() < end, f"did not come true within {DEADLINE_S} s"
        time.sleep(0.1)
    return seen
