"""Replays clients/scenarios.json against the state machine."""

import json
import os
from pathlib import Path

import httpx
import pytest

from housecount._stay import CountOutcome, Failure, RefusalOutcome, RetryOutcome, Stay, Token
from housecount._watch import answer_of

SCENARIOS = json.loads((Path(__file__).parents[2] / "scenarios.json").read_text())["scenarios"]
START = 1_790_000_000_000


def event_of(step, now):
    if step["event"] == "answer":
        headers = {"retry-after": step["retryAfter"]} if "retryAfter" in step else {}
        return answer_of(httpx.Response(step["status"], headers=headers, json=step["body"]))
    if step["event"] == "failure":
        return Failure("as the scenario has it")
    if step["event"] == "token":
        expires_at = now + step["expiresIn"] if "expiresIn" in step else None
        return Token(expires_at, now - step["issuedAgo"] if "issuedAgo" in step else None)
    return step["event"]


def report_of(outcome):
    if isinstance(outcome, CountOutcome):
        return f"count {outcome.answer.viewers}"
    if isinstance(outcome, RefusalOutcome):
        return f"refused {outcome.why.code}"
    return "retry" if isinstance(outcome, RetryOutcome) else None


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario["name"])
def test_scenario(scenario, outcomes):
    options = scenario["options"]
    stay = Stay(has_own_session=options["ownSession"], has_tokens=options["tokens"], chance=lambda: options["chance"])
    row = []
    for step in scenario["steps"]:
        now = START + step["at"]
        if step["event"] == "timer":
            assert stay.due_at == now, "the timer goes off when the scenario says"
        effects = stay.handle(now, event_of(step, now))
        seen = {
            "requests": effects.requests,
            "reported": report_of(effects.outcome),
            "timer": None if stay.due_at is None else stay.due_at - now,
            "state": stay.state.value,
        }
        assert seen == {name: step[name] for name in seen}, step
        # As a page shows it, which is silent about retries and orders no requests of one moment.
        requests = "+".join(sorted(seen["requests"])) or "-"
        reported = "-" if seen["reported"] in (None, "retry") else seen["reported"]
        row.append(f"{requests}/{reported}/{'-' if seen['timer'] is None else round(seen['timer'])}")
    outcomes.append(f"{scenario['name']}\t{' '.join(row)}")


@pytest.fixture(scope="module")
def outcomes():
    """The outcome table, which clients/outcomes compares with the other clients'."""
    rows = []
    yield rows
    if "CLIENTS_OUTCOMES" in os.environ:
        Path(os.environ["CLIENTS_OUTCOMES"]).write_text("\n".join(rows) + "\n")
