"""``--device``: tests that depend on it run there, the others are skipped; and the script for a GPU, on a CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.ops.laws import LAWS, Case

ROOT = Path(__file__).parents[2]


def pytest_ends(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_device_that_is_not_there_is_refused():
    ended = pytest_ends("--device", "nowhere", "tests/ops/test_conventions.py")
    assert ended.returncode != 0
    assert "--device nowhere" in ended.stderr + ended.stdout


def test_on_another_device_only_what_depends_on_it_runs():
    ended = pytest_ends("--device", "meta", "-rs", "tests/filters/test_free_taps.py", "-k", "flat_prefers")
    assert "does not depend on the device; --device meta" in ended.stdout
    assert "1 skipped" in ended.stdout


@pytest.mark.parametrize("law", LAWS)
def test_a_law_stays_on_the_device_of_its_case(law):
    """No tensor of a law is made elsewhere: seen on a device that refuses to be mixed with others and holds nothing."""
    seen = set()

    def op(x, taps, mode):
        seen.update((x.device.type, taps.device.type))
        return x * taps.sum()

    mode = LAWS[law][1][0]
    case = Case(mode, 1, 4, 1, 2, 3, 5, device="meta")
    with pytest.raises(
        Exception, match=r"[Mm]eta|item|data"
    ):  # it comes as far as the first comparison of values
        LAWS[law][0](op, case)
    assert seen == {"meta"}


@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="no benchmarks here (an sdist)")
def test_the_script_for_a_gpu_runs_on_a_cpu(tmp_path):
    output = tmp_path / "record.json"
    command = [sys.executable, "benchmarks/gpu.py", "--device", "cpu", "--output", str(output)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert ended.returncode == 0, ended.stderr
    record = json.loads(output.read_text())
    assert record["suite"]["passed"], record["suite"]
    assert "no GPU" in record["skipped"][0]
    assert "skipped: no GPU" in ended.stdout
    backends = {"reference", "spectral", "fused_cpu"}
    assert len(record["results"]) == 8
    for row in record["results"]:
        assert set(row["milliseconds"]) == backends | {"attention"}
        assert set(row["attention_over"]) == backends
    assert record["machine"]["torch"] == torch.__version__
