"""Viewers' tokens, signed as a node's `auth.viewer_keys` wants them (HS256)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from datetime import timedelta

__all__ = ["sign_token", "token_times_ms"]

SECRET_BYTES_MIN = 32


def sign_token(
    secret: str | bytes,
    *,
    viewer: str,
    ttl: float | timedelta,
    stage: str | None = None,
    stage_prefix: str | None = None,
    session: str | None = None,
    audience: str | None = None,
    not_before: float | None = None,
    labels: Mapping[str, str] | None = None,
    streams: int | None = None,
    kid: str | None = None,
) -> str:
    """Signs a viewer's token.

    `secret` is the text of the node's key file (`secret:TEXT`), or the bare secret; of a JWK, its decoded bytes and its `kid`.
    `ttl` is in seconds. A token needs `stage` or `stage_prefix` and not both; the prefix `""` is all stages.
    `labels` are the viewer's, such as `{"country": "NO"}`: they win over those in heartbeats. `streams` overrides the node's
    `limits.streams_per_viewer`.
    Call it in a backend only: a program with the secret can be any viewer.

    Raises:
        ValueError: the secret is shorter than 32 bytes, or not exactly one of `stage` and `stage_prefix` is given.
    """
    if isinstance(secret, str):
        secret = secret.strip().removeprefix("secret:").encode()
    if len(secret) < SECRET_BYTES_MIN:
        raise ValueError(f"the secret has {len(secret)} bytes; a node takes {SECRET_BYTES_MIN} or more")
    if (stage is None) == (stage_prefix is None):
        raise ValueError("give a stage or a stage_prefix, and not both")
    seconds = ttl.total_seconds() if isinstance(ttl, timedelta) else ttl
    now = time.time()
    claims: dict[str, str | int | dict[str, str] | None] = {
        "sub": viewer,
        "stage": stage,
        "stagePrefix": stage_prefix,
        "session": session,
        "aud": audience,
        "nbf": None if not_before is None else int(not_before),
        "iat": int(now),
        "exp": int(now + seconds),
        "labels": None if labels is None else dict(labels),
        "streams": streams,
    }
    head = {"alg": "HS256", "typ": "JWT", "kid": kid}
    signed = ".".join(_encode(_json(part)) for part in (head, claims))
    return f"{signed}.{_encode(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def token_times_ms(token: str) -> tuple[float | None, float | None]:
    """Returns a token's `exp` and `iat` in Unix milliseconds, unverified; None for what cannot be read."""
    try:
        claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
        times = [claims.get("exp"), claims.get("iat")]
    except (IndexError, AttributeError, ValueError):
        return None, None
    exp, iat = (1_000 * float(each) if isinstance(each, (int, float)) else None for each in times)
    return exp, iat


def _json(part: Mapping[str, object]) -> bytes:
    text = json.dumps({name: value for name, value in part.items() if value is not None}, separators=(",", ":"))
    return text.encode()


def _encode(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()
