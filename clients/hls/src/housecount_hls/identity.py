"""Names of viewers. HLS has no answer of its own: a name in the address or a cookie, or else address and player."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

__all__ = ["VIEWER_BYTES_MAX", "Identity", "read_salt"]

VIEWER_BYTES_MAX = 128
"""Bytes of a viewer's id that a node takes."""

SALT_BYTES = 32


class Identity:
    """Names viewers: by the query parameter `parameter` if a request has it, else by a keyed hash of address and player."""

    def __init__(self, salt: bytes, parameter: str) -> None:
        self._salt = salt
        self.parameter = parameter

    def of_query(self, query: str) -> str | None:
        """Returns the viewer that a query names; None if it names none, or none that a node would take."""
        return self.taken((parse_qs(query).get(self.parameter) or [""])[0])

    @staticmethod
    def taken(viewer: str) -> str | None:
        """Returns an id if a node takes it, else None."""
        is_taken = 0 < len(viewer.encode(errors="replace")) <= VIEWER_BYTES_MAX and viewer.isprintable()
        return viewer if is_taken else None

    def of_address(self, address: str, player: str) -> str:
        """Returns an id of an address and a player. The salt keeps others from trying addresses until one fits."""
        text = f"{address}\n{player}".encode(errors="replace")
        return "address-" + hmac.new(self._salt, text, hashlib.sha256).hexdigest()[:20]


def read_salt(file: Path) -> bytes:
    """Reads the salt, or makes one. Viewers without a name keep their ids as long as the file stays.

    Raises:
        OSError: the file can be neither read nor written.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        salt = secrets.token_bytes(SALT_BYTES)
        file.touch(mode=0o600, exist_ok=False)
        file.write_bytes(salt)
        return salt


def first(fields: Mapping[str, object], *names: str) -> str:
    """Returns the first of these fields that is a text or number and not empty; `""` if there is none."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, (str, int)) and value != "":
            return str(value)
    return ""
