"""Prints the rows as a table, then a line for each client. Exits 1 if a row failed, or if there are none."""

import sys
from collections import Counter

HEAD = ["client", "version", "call", "expected", "seen", "ok"]
rows = [line.rstrip("\n").split("\t") for line in sys.stdin]
widths = [max(len(row[at]) for row in [HEAD, *rows]) for at in range(len(HEAD))]
for row in [HEAD, *rows]:
    print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())

print()
of_client = Counter((row[0], row[1]) for row in rows)
good = Counter((row[0], row[1]) for row in rows if row[5] == "ok")
for client, version in of_client:
    print(f"| {client} | {version} | {good[client, version]} of {of_client[client, version]} |")
failed = sum(row[5] != "ok" for row in rows)
print(f"\n{len(rows) - failed} passed, {failed} failed")
sys.exit(1 if failed or not rows else 0)
