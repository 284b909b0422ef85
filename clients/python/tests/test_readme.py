"""The README's programs, each pasted into an empty folder as it is. Only the server's URL, the key and the secret differ."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.M | re.S)
OUTPUTS = ["2 []", "NO 1", "LiveCount(stage='match-1'", "eyJ"]


def test_every_program_is_run():
    assert len(BLOCKS) == len(OUTPUTS)


@pytest.mark.parametrize(("program", "output"), list(zip(BLOCKS, OUTPUTS, strict=False)), ids=OUTPUTS)
def test_program(program, output, tmp_path, url, key, secret):
    for placeholder, value in (("https://count.example.org", url), ("hck_…", key), ("secret:…", secret)):
        program = program.replace(placeholder, value)
    (tmp_path / "main.py").write_text(program)
    command = [sys.executable, "-u", "main.py"]
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith(output):
                break
        else:
            pytest.fail(f"{output!r} is missing in {lines}")
        if "asyncio.run" in program:
            process.kill()  # It runs until someone stops it.
        else:
            process.communicate()
            assert process.returncode == 0
