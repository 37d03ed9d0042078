"""Where things are computed: `auto` is what is here, and every command names it in its first line."""

import re

import pytest
import torch

from globalconv.errors import InputError
from globalconv.host.devices import device_line, device_memory, resolve_device
from tests.study.small_studies import globalconv


def test_auto_is_cuda_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [resolve_device(name) for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert [resolve_device(name) for name in ("auto", "cpu")] == ["cpu", "cpu"]
    with pytest.raises(InputError, match="sees no CUDA device"):
        resolve_device("cuda")


def test_a_gpu_is_called_by_its_name(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    assert device_line("cuda") == "Device: cuda (Some GPU)."
    assert device_line("cpu") == "Device: cpu."


def test_there_is_memory():
    assert device_memory("cpu") > 2**28


@pytest.mark.parametrize("command", ["compare", "probe", "generate", "cost", "backends"])
def test_auto_is_the_default_and_the_help_says_so(command):
    words = " ".join(globalconv(command, "--help").out.replace("│", " ").split())
    assert re.search(r"Default: auto \(cuda if available\); or cpu, cuda\.", words)


WORDS = {
    "compare": "digits",
    "probe": "global_conv --length 4 --width 8 --depth 1 --limit 2",
    "cost": "--lengths 8,16 --widths 8 --rounds 2 --mixers attention,spectral",
    "bench": "--lengths 8 --widths 8 --elements 64 --rounds 2 --modes causal --peers spectral --backend spectral",
}


@pytest.mark.parametrize("command", WORDS)
def test_the_first_line_names_the_device(command, tmp_path, monkeypatch):
    monkeypatch.setattr("globalconv.probing.pictures.pictures", lambda *_, **__: [])
    monkeypatch.setattr(
        "globalconv.study.run.compare", lambda *_, **__: (_ for _ in ()).throw(InputError("no"))
    )
    ended = globalconv(command, *WORDS[command].split(), "--out", tmp_path / "out")
    assert ended.out.startswith(device_line("cpu" if command == "bench" else resolve_device("auto"))), ended
