"""openapi-python-client: generates from the running server's document; the use beside it has right types, and works."""

import importlib.metadata
import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

from checks import URL, Checks

HERE = Path(__file__).parent
WORK = Path(os.environ["CLIENTS_WORK"])
CLIENT = WORK / "python" / "housecount_client"
BIN = Path(sys.executable).parent
# The generator formats by ruff, which it looks for in PATH.
ENV = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONPATH": str(CLIENT.parent),
       "MYPYPATH": str(CLIENT.parent)}
checks = Checks("openapi-python-client", importlib.metadata.version("openapi-python-client"))


def run(*command):
    done = subprocess.run([str(each) for each in command], env=ENV, cwd=WORK, capture_output=True, text=True,
                          check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def last_line(code, text):
    return f"exit {code}" if code == 0 else f"exit {code}: {' '.join(text.split()[-20:])}"


def generate():
    CLIENT.parent.mkdir()
    return last_line(*run(BIN / "openapi-python-client", "generate", "--url", f"{URL}/openapi.json",
                          "--output-path", CLIENT, "--meta", "none"))


def operations():
    with urllib.request.urlopen(f"{URL}/openapi.json", timeout=10) as answer:
        paths = json.load(answer)["paths"]
    return sum(len(methods) for methods in paths.values())


def modules():
    return sum(1 for each in (CLIENT / "api").glob("*/*.py") if each.name != "__init__.py")


checks.equal("generate from /openapi.json", "exit 0", generate)
checks.equal("operations generated", operations(), modules)
checks.equal("mypy --strict of a use without AuthenticatedClient", "exit 0", lambda: last_line(*run(
    BIN / "mypy", "--strict", "--follow-imports=silent", "--cache-dir", WORK / "mypy", HERE / "generated_python_use.py")))
code, text = run(sys.executable, "-B", HERE / "generated_python_use.py")
said = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
for call, expected in [
    ("heartbeat", "viewers 1, complete True, next True"),
    ("batch", "accepted 2, rejected 0"),
    ("refused", "400 invalid_stage"),
    ("leave", "204"),
    ("WebSocket by HTTP", "426 upgrade_required"),
    ("stages with a key", "True"),
]:
    checks.equal(f"{call}, by the generated client", expected, lambda: said.get(call, last_line(code, text)))
