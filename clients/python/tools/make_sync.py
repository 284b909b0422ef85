"""Makes src/housecount/_client.py from _async_client.py: the same client, which waits instead of awaiting.

make_sync.py            writes it
make_sync.py --check    exits 1 if the file differs from what would be written
"""

import re
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "src" / "housecount" / "_async_client.py"
RULES = [
    (
        r'"""The client for asyncio\..*?"""',
        '"""The client for programs that wait. Made from _async_client.py by tools/make_sync.py: do not edit."""',
    ),
    (r"import asyncio\n", ""),
    (r"asyncio\.sleep", "time.sleep"),
    (r"Callable\[\[str \| None\], Awaitable\[Page\]\]", "Callable[[str | None], Page]"),
    (r"AsyncIterator, Awaitable, Callable, Iterable", "Callable, Iterable, Iterator"),
    (r"\basync (def|for|with)\b", r"\1"),
    (r"\bawait ", ""),
    (r"\bAsync(Client|Pages|Watch|Iterator)\b", r"\1"),
    (r"__a(enter|exit|iter)__", r"__\1__"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_lines\b", "iter_lines"),
    (r"from \._watch import Watch, TokenSource", "from ._watch import TokenSource, Watch"),
]


def main():
    text = SOURCE.read_text()
    for pattern, by in RULES:
        text = re.sub(pattern, by, text, flags=re.S if pattern.startswith('"') else 0)
    # Lines are shorter than in the source, so that they break elsewhere.
    text = subprocess.run(["ruff", "format", "-"], input=text, capture_output=True, text=True, check=True).stdout
    made = SOURCE.with_name("_client.py")
    if sys.argv[1:] == ["--check"]:
        if made.read_text() != text:
            sys.exit(f"{made} differs from what tools/make_sync.py makes: run it")
    else:
        made.write_text(text)


main()
