"""What code from outside raises is told in one line and the user's own lines, and none of it hangs."""

import signal
import time

import pytest

from globalconv.errors import InputError
from globalconv.mixers import build_mixer, find_mixer
from globalconv.registry.outside import code_of

MODULES = {
    "syntax": "class X(:\n",
    "name": "\nraise NameError('zz')\n",
    "exit": "import sys; sys.exit(5)\n",
    "assertion": "assert False\n",
    "base": "raise BaseException('odd')\n",
    "attribute": "import torch\nX = torch.no_such_thing\n",
    "library": "import no_such_library\n",
    "deeper": "def f():\n    return 1 / 0\n\n\nf()\n",
}


def written(folder, name: str, code: str, monkeypatch) -> str:
    """A module of its own name, importable for one test."""
    module = f"outside_{name}_{abs(hash(str(folder)))}"
    (folder / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(folder)
    return module


@pytest.mark.parametrize("kind", MODULES)
def test_a_module_that_cannot_be_imported_is_told_with_its_own_lines(kind, tmp_path, monkeypatch):
    module = written(tmp_path, kind, MODULES[kind], monkeypatch)
    with pytest.raises(InputError) as refused:
        find_mixer(f"{module}:X")
    first, *frames = str(refused.value).splitlines()
    assert f"'{module}:X' cannot be imported: " in first
    assert all(frame.startswith(f'  File "{tmp_path / module}.py", line ') for frame in frames)
    assert len(frames) == (2 if kind == "deeper" else 1)
    last = MODULES[kind].strip().splitlines()[-1 if kind != "deeper" else 1].strip()
    assert frames[-1].endswith(f": {last}")


def test_a_module_that_lacks_a_library_is_not_taken_for_missing(tmp_path, monkeypatch):
    module = written(tmp_path, "lacks", MODULES["library"], monkeypatch)
    with pytest.raises(InputError, match="No module named 'no_such_library'"):
        find_mixer(f"{module}:X")


CLASSES = """
from globalconv.mixers import GlobalConv

class Refuses(GlobalConv):
    def __init__(self, width, length, *, causal=False):
        raise ValueError("not today")

class NoCausal(GlobalConv):
    def __init__(self, width, length):
        super().__init__(width, length)

class Needs(GlobalConv):
    def __init__(self, width, length, heads, *, causal=False):
        super().__init__(width, length, causal=causal)
"""


def test_a_constructor_that_fails_is_told_with_its_own_lines(tmp_path, monkeypatch):
    module = written(tmp_path, "classes", CLASSES, monkeypatch)
    with pytest.raises(InputError, match=r"as Refuses\(4, 6, causal=True\): ValueError: not today\n  File"):
        build_mixer(f"{module}:Refuses", 4, 6, causal=True)
    with pytest.raises(InputError, match=r"NoCausal\(4, 6, causal=True\): .*argument 'causal'"):
        build_mixer(f"{module}:NoCausal", 4, 6, causal=True)
    with pytest.raises(InputError, match="missing a required argument: 'heads'"):
        build_mixer(f"{module}:Needs", 4, 6, causal=False)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_what_does_not_end_is_ended_also_within_a_shorter_limit_that_was_kept():
    started = time.monotonic()
    around = signal.getitimer(signal.ITIMER_REAL)[0]  # of pytest's own limit, which goes on
    with pytest.raises(InputError, match=r"'m:X' was tried: that takes more than 0\.2 seconds"):
        _loop_within(0.2)
    assert time.monotonic() - started < 30
    assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) == bool(around)


def _loop_within(seconds: float) -> None:
    end = time.monotonic() + 60
    with code_of("m:X", doing="was tried", seconds=seconds):
        with code_of("m:X", doing="is imported", seconds=30):
            pass
        with code_of("m:X", doing="is called"):
            while time.monotonic() < end:
                try:
                    time.sleep(0.001)
                except Exception:
                    continue


def test_an_interrupt_and_a_users_error_pass_as_they_are():
    for error in (KeyboardInterrupt(), InputError("width 7 does not suit me")):
        with pytest.raises(type(error)) as raised, code_of("m:X", doing="was tried"):
            raise error
        assert raised.value is error


def test_nothing_of_ours_or_of_torchs_is_shown():
    from torch import nn

    class Needy(nn.Module):
        def forward(self):
            raise AssertionError

    with pytest.raises(InputError) as refused, code_of("m:X", doing="was tried"):
        Needy()(1)
    assert "modules" not in str(refused.value).partition("\n")[2]
    assert __file__ in str(refused.value)
