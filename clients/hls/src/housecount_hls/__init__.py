"""Counts viewers of HLS servers on a housecount server, by their logs, hooks or APIs."""

__version__ = "0.1.0"
