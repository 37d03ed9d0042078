"""Parts as they are written with their options, and values that are no options of theirs."""

from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.filters import FreeTaps
from globalconv.mixers import MIXERS, build_mixer
from globalconv.mixers.catalogue import known_options, mixer_options
from globalconv.registry.options import check_options, options_of
from globalconv.registry.spelling import spell, spelled, split_outside_brackets

WORDS = st.text("abcxyz_:.0123456789+-/", min_size=1)


@given(WORDS, st.dictionaries(WORDS, WORDS))
def test_what_is_spelt_is_read_again(name, options):
    assert spelled(spell(name, options)) == (name, options)


@given(st.lists(st.tuples(WORDS, st.dictionaries(WORDS, WORDS)), min_size=1))
def test_a_list_of_parts_is_split_between_them(parts):
    texts = [spell(*part) for part in parts]
    assert split_outside_brackets(",".join(texts), ",") == texts


@pytest.mark.parametrize(
    "text", ["a[", "a[]", "a[b]", "a[b=]", "a[=c]", "a[b=c", "[b=c]", "a[b=c]d", "a[b=c,]"]
)
def test_what_is_not_written_like_that_is_refused(text):
    with pytest.raises(InputError, match=r"name\[option=value"):
        spelled(text)


def test_an_option_is_given_once():
    with pytest.raises(InputError, match="twice"):
        spelled("a[b=1,b=2]")


class Part:
    def __init__(
        self,
        size: int,
        *,
        count: int | None = 3,
        rate: float = 0.5,
        on: bool = False,
        kind: Literal["near", "far"] = "near",
        note: str = "",
        anything="x",
        **more: int,
    ) -> None: ...


KNOWN = options_of(Part, besides=("size",))


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("count", "7", 7),
        ("count", "none", None),
        ("rate", "1e-3", 1e-3),
        ("rate", "2", 2.0),
        ("on", "true", True),
        ("kind", "far", "far"),
        ("note", "12", "12"),
        ("anything", "12", 12),
        ("anything", "word", "word"),
    ],
)
def test_text_becomes_the_value_that_the_constructor_takes(option, text, value):
    (converted,) = check_options("part", {option: text}, KNOWN).values()
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("count", "many", "count of part is a whole number, and 'many' is not"),
        ("rate", "fast", "rate of part is a number"),
        ("rate", "nan", "rate of part is a number"),
        ("rate", "-inf", "rate of part is a number"),
        ("on", "perhaps", "on of part is true or false"),
        ("kind", "fare", "Did you mean 'far'"),
        ("cuont", "3", "unknown option of part 'cuont'. Did you mean 'count'"),
    ],
)
def test_what_is_no_value_is_refused(option, text, message):
    with pytest.raises(InputError, match=message):
        check_options("part", {option: text}, KNOWN)


def test_what_takes_no_options_says_so():
    with pytest.raises(InputError, match="none_at_all takes no options"):
        check_options("none_at_all", {"taps": "3"}, {})


@pytest.mark.parametrize("name", MIXERS)
def test_a_mixer_is_built_with_what_is_written_behind_its_name(name):
    for option in known_options(name):
        with pytest.raises(InputError, match=f"'{option}x'"):
            mixer_options(f"{name}[{option}x=1]")


def test_options_in_the_name_reach_mixer_and_filter():
    mixer = build_mixer("global_conv[filter=free,init=flat,mode=bidirectional]", 6, 5, causal=False)
    assert (mixer.filter.init, mixer.mode) == ("flat", "bidirectional")
    assert build_mixer("attention[num_heads=3]", 6, 5, causal=False, options={"num_heads": 2}).num_heads == 3


def test_options_stand_behind_the_filters_own_name_too():
    """Which is the way to one whose name the mixer has as well."""
    mixer = build_mixer("hyena[order=3,filter=ema[order=5]]", 6, 5, causal=True)
    assert (mixer.order, *(each.order for each in mixer.filters)) == (3, 5, 5)
    assert build_mixer("global_conv[filter=free[taps=3]]", 6, 5, causal=True).filter.num_lags == 3
    for wrong in ("free[tapz=3]", "free[taps=many]", "free[taps=3],taps=3"):
        with pytest.raises(InputError, match="tap"):
            mixer_options(f"global_conv[filter={wrong}]")


@pytest.mark.parametrize("size", ["9" * 12, "9" * 30])
@pytest.mark.parametrize(
    "text", ["global_conv[filter=toeplitz,hidden={}]", "hyena[order={}]", "global_conv[filter=ema,order={}]"]
)
def test_a_size_beyond_all_memory_is_told(text, size):
    with pytest.raises(InputError, match="too large"):
        build_mixer(text.format(size), 6, 5, causal=True)


class ForgetsMode(FreeTaps):
    def __init__(self, channels, length, *, mode="causal"):
        super().__init__(channels, length)


def test_a_filter_has_the_size_and_mode_that_it_is_given():
    with pytest.raises(InputError, match=r"mode 'causal', and was given .*super\(\).__init__"):
        build_mixer(f"global_conv[filter={__name__}:ForgetsMode]", 6, 5, causal=False)
