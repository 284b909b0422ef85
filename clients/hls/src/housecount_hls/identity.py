"""Viewer ids. HLS itself has none: they come from the URL or a cookie, or from the client's address and player."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qs

__all__ = ["VIEWER_BYTES_MAX", "Identity", "read_salt"]

VIEWER_BYTES_MAX = 128
"""Longest viewer id, in bytes, that a node accepts."""

SALT_BYTES = 32


class Identity:
    """Derives viewer ids: from the query parameter `parameter` if a request has it, else as a keyed hash of address and player."""

    def __init__(self, salt: bytes, parameter: str) -> None:
        self._salt = salt
        self.parameter = parameter

    def from_query(self, query: str) -> str | None:
        """Returns the viewer id in a query; None if it has no valid one."""
        return self.valid_id((parse_qs(query).get(self.parameter) or [""])[0])

    @staticmethod
    def valid_id(viewer: str) -> str | None:
        """Returns an id if it is valid, else None."""
        is_valid = 0 < len(viewer.encode(errors="replace")) <= VIEWER_BYTES_MAX and viewer.isprintable()
        return viewer if is_valid else None

    def from_address(self, address: str, player: str) -> str:
        """Returns the id of an address and a player. The salt prevents a search for the address behind an id."""
        text = f"{address}\n{player}".encode(errors="replace")
        return "address-" + hmac.new(self._salt, text, hashlib.sha256).hexdigest()[:20]


def read_salt(file: Path) -> bytes:
    """Reads the salt, or creates one. Unnamed viewers keep their ids as long as the file exists.

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
    """Returns the first of these fields that is a non-empty string or a number; `""` otherwise."""
    for name in names:
        value = fields.get(name)
        if isinstance(value, (str, int)) and value != "":
            return str(value)
    return ""
