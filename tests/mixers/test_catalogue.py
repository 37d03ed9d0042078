"""Mixers by name, from this package and from elsewhere."""

import pytest

from globalconv.errors import InputError
from globalconv.mixers import MIXERS, Attention, build_mixer, find_mixer
from globalconv.mixers.catalogue import looks_one_way
from tests.mixers.builds import BACKWARD

ELSEWHERE = """
from globalconv.mixers import GlobalConv, Mixer

class Louder(GlobalConv):
    def __init__(self, width, length, *, causal=False, gain=2.0):
        super().__init__(width, length, causal=causal)
        self.gain = gain

class NoMixer:
    pass

class Unfinished(Mixer):
    pass

a_function = len
"""


@pytest.fixture
def elsewhere(tmp_path, monkeypatch, request) -> str:
    """The name of a module outside the package, importable for one test."""
    name = f"elsewhere_{abs(hash(request.node.name))}"
    (tmp_path / f"{name}.py").write_text(ELSEWHERE)
    monkeypatch.syspath_prepend(tmp_path)
    return name


@pytest.mark.parametrize("name", MIXERS)
def test_every_name_is_found_and_built(name):
    causal = name in BACKWARD
    mixer = build_mixer(name, 8, 12, causal=causal)
    assert type(mixer) is find_mixer(name) is MIXERS[name]
    assert (mixer.width, mixer.length, mixer.causal) == (8, 12, causal)


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [("attenton", "attention"), ("globalconv", "global_conv"), ("mlp_token", "token_mlp")],
)
def test_the_nearest_name_is_suggested(wrong, nearest):
    with pytest.raises(InputError, match=f"Did you mean '{nearest}'"):
        find_mixer(wrong)


def test_a_mixer_from_elsewhere(elsewhere):
    mixer = build_mixer(f"{elsewhere}:Louder", 4, 6, causal=True, options={"gain": 3.0})
    assert mixer.gain == 3.0
    assert mixer.causal


@pytest.mark.parametrize("name", ["NoMixer", "a_function", "Unfinished"])
def test_what_is_no_finished_mixer_is_refused(elsewhere, name):
    with pytest.raises(InputError, match=f":{name}' is not"):
        find_mixer(f"{elsewhere}:{name}")


@pytest.mark.parametrize(
    "name", ["no_such_module_at_all:Mixer", ":Mixer", "{}:", "..x:Y", "./{}.py:X", "a/b:C", "{}:A:B"]
)
def test_what_cannot_be_loaded_is_refused(elsewhere, name):
    with pytest.raises(InputError, match=r"package\.module:Class"):
        find_mixer(name.format(elsewhere))


def test_of_a_module_the_nearest_class_is_suggested(elsewhere):
    with pytest.raises(InputError, match=r"unknown class of .*'Lauder'\. Did you mean 'Louder'"):
        find_mixer(f"{elsewhere}:Lauder")
    with pytest.raises(InputError, match=r"keyword \(.*keyword\.py\) has no Nothing"):
        find_mixer("keyword:Nothing")  # a module of Python's, which hides one of the user's


def test_options_reach_the_mixer():
    mixer = build_mixer("attention", 8, 12, causal=False, options={"num_heads": 2, "positions": "none"})
    assert isinstance(mixer, Attention)
    assert (mixer.num_heads, mixer.positions) == (2, "none")


@pytest.mark.parametrize(("option", "nearest"), [("heads", "num_heads"), ("position", "positions")])
def test_an_unknown_option_is_refused(option, nearest):
    with pytest.raises(InputError, match=f"unknown option of attention '{option}'. Did you mean '{nearest}'"):
        build_mixer("attention", 8, 12, causal=False, options={option: 2})


@pytest.mark.parametrize("option", ["width", "length", "causal"])
def test_what_the_model_decides_is_no_option(option):
    with pytest.raises(InputError, match=f"unknown option of attention '{option}'"):
        build_mixer("attention", 8, 12, causal=False, options={option: 2})


def test_some_mixers_look_one_way_only():
    def one_way(*, causal):
        return {name for name in MIXERS if looks_one_way(name, width=8, length=6, causal=causal)}

    assert one_way(causal=True) == {"token_mlp", "fnet", "circulant_attention"}
    assert one_way(causal=False) == {"gated_delta"}
    assert not looks_one_way("attention[num_heads=3]", width=8, length=6, causal=True), "another fault"
    assert looks_one_way("global_conv[mode=circular]", width=8, length=6, causal=True)
