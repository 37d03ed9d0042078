"""Before anything is measured: mixers from outside keep their promises, and no arm sees what it may not."""

import re
from pathlib import Path

import pytest
import torch

from globalconv.errors import InputError
from globalconv.filters import FreeTaps
from globalconv.mixers import Mixer
from globalconv.study.design import check_arms as checks
from globalconv.study.design.build import _sizes as cached_sizes
from globalconv.study.design.build import sizes
from globalconv.study.design.check_arms import check_arms, check_outside_mixers
from globalconv.study.spec import DecoderSpec, ModelSpec
from globalconv.tasks.base import Signature
from tests.mixers.builds import AHEAD, BACKWARD, EITHER
from tests.study.broken_mixers import BROKEN, LEAKS, MIXED_ROWS, SOUND
from tests.study.small_studies import FEW, globalconv, prose

TEXT = Signature("next_token", causal=True, length=40, num_outputs=256, vocabulary=256)
CLASSES = Signature("classification", causal=False, length=40, num_outputs=3, channels=2)
PAIRS = Signature("sequence_to_sequence", causal=True, length=24, num_outputs=9, vocabulary=9)


def model(*mixers: str, decoder: str | None = None, cross: str = "attention") -> ModelSpec:
    return ModelSpec(
        mixers=mixers,
        mixer_options={},
        width=8,
        mlp_width=16,
        decoder=decoder
        and DecoderSpec(mixers=(decoder,), cross=cross, heads=2, design="original", dropout=0.1),
    )


@pytest.fixture
def arm(monkeypatch):
    """Puts a class where ``package.module:Class`` names it."""

    def named(mixer: type[Mixer]) -> str:
        monkeypatch.setattr("tests.study.broken_mixers.Tried", mixer, raising=False)
        return "tests.study.broken_mixers:Tried"

    return named


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_promise_is_named(kind, arm, monkeypatch):
    monkeypatch.setattr(checks, "LONGEST", 1.0 if kind == "hangs" else 60.0)
    mixer, words = BROKEN[kind]
    with pytest.raises(InputError, match=rf"'tests.study.broken_mixers:Tried'.*{words}"):
        check_outside_mixers({"arm": model("attention", arm(mixer))}, TEXT)


def _filter(compute):
    return type("Broken", (FreeTaps,), {"forward": compute, "__module__": __name__})


BROKEN_FILTERS = {
    "shape": (_filter(lambda self, n: self.taps[0]), r"raises on .*taps must be \(channels, num_taps\)"),
    "channels": (_filter(lambda self, n: self.taps[:3]), "raises on .*cannot be shared evenly"),
    "none": (_filter(lambda self, n: None), "raises on "),
    "nan": (_filter(lambda self, n: self.taps * float("nan")), "makes NaN or infinity"),
    "detached": (_filter(lambda self, n: self.taps.detach()), "no parameter of its filter gets a gradient"),
}


@pytest.mark.parametrize("kind", BROKEN_FILTERS)
def test_what_a_filter_from_outside_breaks_is_said_with_the_arms_name(kind, arm):
    filter_, words = BROKEN_FILTERS[kind]
    name = f"gated_conv[filter={arm(filter_)}]"
    with pytest.raises(InputError, match=rf"'{re.escape(name)}'.*{words}"):
        check_outside_mixers({"arm": model("attention", name)}, TEXT)


@pytest.mark.parametrize("mixer", SOUND)
@pytest.mark.parametrize("signature", [TEXT, CLASSES], ids=["causal", "not causal"])
def test_a_sound_mixer_passes_and_the_generator_stays_as_it_was(mixer, signature, arm):
    models = {"arm": model(arm(mixer))}
    cached_sizes.cache_clear()  # every Tried has one name
    before = torch.get_rng_state()
    check_outside_mixers(models, signature)
    check_arms(models, signature)
    assert all(number >= 0 for number in sizes(models["arm"], signature))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", LEAKS)
def test_an_arm_that_sees_the_future_is_refused(kind, arm):
    mixer, words = LEAKS[kind]
    models = {"attention": model("attention"), "mine": model("global_conv", arm(mixer))}
    check_outside_mixers(models, TEXT)
    with pytest.raises(InputError, match=rf"arm 'mine' is refused: tests\S+:Tried {words}"):
        check_arms(models, TEXT)
    check_arms({"mine": model(arm(mixer))}, CLASSES)  # where there is no future, all of them may look


@pytest.mark.parametrize("kind", MIXED_ROWS)
@pytest.mark.parametrize("signature", [TEXT, CLASSES], ids=["causal", "not causal"])
def test_an_arm_that_mixes_rows_is_refused(kind, signature, arm):
    mixer, words = MIXED_ROWS[kind]
    with pytest.raises(InputError, match=words):
        check_arms({"mine": model(arm(mixer))}, signature)


def test_the_place_of_the_leak_is_told(arm):
    with pytest.raises(InputError) as refused:
        check_arms({"mine": model(arm(LEAKS["one_ahead"][0]))}, TEXT)
    token, later = map(int, re.findall(r"token (\d+)", str(refused.value)))
    assert later == token + 1


def test_our_own_mixers_and_their_twins_pass():
    causal = [*EITHER, *BACKWARD]
    check_arms({name: model(name) for name in causal}, TEXT)
    check_arms({name: model(name) for name in AHEAD}, CLASSES)
    for cross in ("attention", "aligned_conv"):
        check_arms({name: model("token_mlp", decoder=name, cross=cross) for name in causal}, PAIRS)


def test_a_decoder_may_not_look_ahead_and_an_encoder_may(arm):
    name = arm(LEAKS["mean"][0])
    check_arms({"mine": model(name, decoder="attention")}, PAIRS)
    with pytest.raises(InputError, match="sees the future"):
        check_arms({"mine": model("attention", decoder=name)}, PAIRS)


@pytest.mark.parametrize("kind", ["raises", "list"])
def test_a_study_refuses_it_before_anything_is_measured(kind, arm, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("globalconv.study.compare.over_the_cores", None)
    mixer = BROKEN[kind][0]
    text = prose(tmp_path)
    ended = globalconv(
        "compare", text, "--length", "16", "--arms", arm(mixer), *FEW, "--out", tmp_path / "out"
    )
    assert ended.code == 2
    assert BROKEN[kind][1].split(" .*")[0] in ended.err
    assert not (tmp_path / "out").exists()


def test_a_study_refuses_a_leak_before_anything_is_measured(arm, tmp_path: Path, monkeypatch):
    monkeypatch.setattr("globalconv.study.compare.over_the_cores", None)
    text, name = prose(tmp_path), arm(LEAKS["one_ahead"][0])
    ended = globalconv("compare", text, "--length", "16", "--arms", name, *FEW, "--out", tmp_path / "out")
    assert ended.code == 2
    assert "sees the future" in ended.err
    assert not (tmp_path / "out").exists()
