"""Counts viewers of HLS servers by their logs, hooks or APIs, on a housecount server."""

__version__ = "0.1.0"
