"""The scripts beside the package start: what they import is there under the name that they use."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPTS = [
    path.relative_to(ROOT)
    for folder in ("benchmarks", "studies")
    for path in sorted((ROOT / folder).glob("*.py"))
    if "__main__" in path.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_can_be_asked_what_it_does(script: Path) -> None:
    command = [sys.executable, str(ROOT / script), "--help"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "Traceback" not in ended.stderr, ended.stderr
    assert ended.stdout + ended.stderr
