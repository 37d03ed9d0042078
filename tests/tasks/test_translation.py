"""Parallel text from every kind of file, its subwords, its scores by sacrebleu, and what cannot be used."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import polib
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st

from globalconv.errors import InputError
from globalconv.tasks import Translation
from globalconv.tasks.parallel_text import locate, read_parallel_text
from globalconv.tasks.subwords import Subwords
from globalconv.tasks.translation_scores import tally_translations, translation_metrics
from tests.tasks.examples import write_parallel_text

MESSAGES = [("Open %s", "Ouvrir %s"), ("  two\nlines ", "deux lignes"), ("été", "summer"), ("Same", "")]
SENTENCES = st.text("abc d.,", max_size=12)


@pytest.fixture
def pairs(tmp_path: Path, seed: int) -> Path:
    return write_parallel_text(tmp_path / "pairs.tsv", np.random.default_rng(seed))


def catalogue() -> polib.POFile:
    made = polib.POFile()
    made.metadata = {"Content-Type": "text/plain; charset=utf-8"}
    made += [polib.POEntry(msgid=message, msgstr=translation) for message, translation in MESSAGES]
    made.append(
        polib.POEntry(
            msgid="one file", msgid_plural="%d files", msgstr_plural={0: "un fichier", 1: "%d fichiers"}
        )
    )
    made.append(polib.POEntry(msgid="guess", msgstr="devine", flags=["fuzzy"]))
    made.append(polib.POEntry(msgid="old", msgstr="vieux", obsolete=True))
    return made


def read(data: Path | str) -> dict[str, str]:
    return dict(read_parallel_text(locate(str(data))).pairs)


def test_every_kind_of_file_gives_the_same_pairs(tmp_path: Path):
    catalogue().save(str(tmp_path / "a.po"))
    (tmp_path / "compiled").mkdir()
    catalogue().save_as_mofile(str(tmp_path / "compiled" / "a.mo"))
    expected = {
        "Open %s": "Ouvrir %s",
        "two lines": "deux lignes",
        "été": "summer",
        "one file": "un fichier",
        "%d files": "%d fichiers",
    }
    (tmp_path / "a.tsv").write_text("".join(f"{s}\t{t}\n" for s, t in expected.items()))
    for number, language in enumerate(("en", "fr")):
        (tmp_path / language).write_text("".join(f"{pair[number]}\n" for pair in expected.items()))
    for data in ("a.po", "compiled/a.mo", "compiled", "a.tsv"):
        assert read(tmp_path / data) == expected
    assert read(f"{tmp_path / 'en'},{tmp_path / 'fr'}") == expected


def test_what_is_left_out_is_counted(tmp_path: Path):
    file = tmp_path / "a.tsv"
    file.write_text("a\tb\n\nc\t\n \td\na\te\n")
    found = read_parallel_text((file,))
    assert found.pairs == [("a", "b")]
    assert [notice.split()[0] for notice in found.notices] == ["2", "1"]


def test_the_order_of_the_file_does_not_matter(pairs: Path):
    before = Translation(str(pairs), 24, 300)
    lines = pairs.read_text().splitlines()
    pairs.write_text("\n".join(reversed(lines)))
    after = Translation(str(pairs), 24, 300)
    assert before.digest == after.digest


def test_batches_hold_one_length_and_an_epoch_holds_every_pair(pairs: Path, seed: int):
    task = Translation(str(pairs), 24, 300)
    num = int(task.description.split(": ")[1].split()[0])
    batch_size = 10
    seen: Counter[bytes] = Counter()
    spread = []
    for step in range(num // batch_size // 16 * 16):
        batch = task.train_batch(step, seed=seed, batch_size=batch_size)
        lengths = (batch.source > 0).sum(1).numpy()
        spread.append(lengths.max() - lengths.min())
        seen.update(row[:n].numpy().tobytes() for row, n in zip(batch.source, lengths, strict=True))
    assert set(seen.values()) == {1}
    everything = np.concatenate(
        [(task.train_batch(s, seed=0, batch_size=64).source > 0).sum(1) for s in range(5)]
    )
    assert np.mean(spread) < 0.5 * (everything.max() - everything.min())


def test_there_and_back(seed: int):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("aé \t中 %😀"), size=20)) for _ in range(50)]
    subwords = Subwords(texts, 280)
    assert subwords.decode(row.tolist() for row in subwords.encode(texts)) == texts
    unseen = ["zZ∀ \N{SNOWMAN}", ""]
    assert subwords.decode(row.tolist() for row in subwords.encode(unseen)) == unseen
    assert min(row.min() for row in subwords.encode(texts)) >= 3


@given(pairs=st.lists(st.tuples(SENTENCES, SENTENCES), min_size=1, max_size=12), cut=st.integers(0, 12))
def test_scores_added_up_are_those_of_sacrebleu(pairs: list[tuple[str, str]], cut: int):
    said, due = [list(side) for side in zip(*pairs, strict=True)]
    parts = [part for part in (pairs[:cut], pairs[cut:]) if part]
    added: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for part in parts:
        for name, (one, other) in tally_translations(*map(list, zip(*part, strict=True))).items():
            added[name] += one
            totals[name] += other
    found = translation_metrics({name: (added[name], totals[name]) for name in totals})
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(said, [due]).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(said, [due]).score)


def test_a_perfect_translation_scores_100_and_the_source_does_not(pairs: Path):
    task = Translation(str(pairs), 24, 300)
    guess, copied = (baseline.value for baseline in task.baselines())
    assert 0 <= guess <= copied < 5
    (guessing,) = (baseline.name for baseline in task.baselines() if baseline.guess)
    assert guessing == "the commonest target", "a model below the copied source may have learned much"
    for batch in task.evaluation_batches("test", batch_size=64):
        assert task.metrics(task.tally_written(batch.targets, batch))["bleu"] == pytest.approx(100)
        assert task.metrics(task.tally_written(batch.source, batch))["bleu"] < 5


def test_catalogues_are_found_on_a_machine(tmp_path: Path, monkeypatch):
    from globalconv.tasks import gettext_catalogues

    monkeypatch.setattr(gettext_catalogues, "SYSTEM", tmp_path / "none")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(gettext_catalogues.sysconfig, "get_path", lambda name: str(tmp_path / "packages"))
    with pytest.raises(InputError, match="--data"):
        locate(None)
    for language, times in (("fr", 1), ("de", 3), ("en_GB", 9)):
        folder = tmp_path / "share" / "locale" / language / "LC_MESSAGES"
        folder.mkdir(parents=True)
        for number in range(times):
            catalogue().save_as_mofile(str(folder / f"{number}.mo"))
    assert locate(None) == (tmp_path / "share" / "locale" / "de",)


@pytest.mark.parametrize(
    ("files", "data", "told"),
    [
        ({"a": "1\n2\n", "b": "1\n"}, "a,b", "2 lines .* has 1[.]"),
        ({"a": "1\n", "b": "1\n2\n"}, "a,b", "1 line and .* has 2[.]"),
        ({"a": "1\n", "b": ""}, "a,b", "b' is empty"),
        ({"a": "", "b": ""}, "a,b", "a' is empty"),
        ({"a.tsv": ""}, "a.tsv", "a.tsv' is empty"),
        ({"a.txt": "1\n2\n"}, "a.txt", "has one column, .* give both: --data SOURCE,TARGET"),
        ({"a.tsv": "\n \n\t\n"}, "a.tsv", "no pairs: all of its lines are empty"),
        ({"a.tsv": "1\t2\n3\n"}, "a.tsv", "line 2: 1 column,"),
        ({"a.tsv": "1\t2\t3\n"}, "a.tsv", "line 1: 3 columns,"),
        (
            {"a.tsv": b"\xe9t\xe9\tsummer\n"},
            "a.tsv",
            "line 1, byte 1 holds the byte 0xe9, which is not UTF-8.*iconv",
        ),
        ({"a.tsv": "1\t2\n"}, "a.tsv", r"1 pair is too few; at least 200 are needed\.$"),
        (
            {"a.tsv": "1\t2\n" * 150 + "3\t4\n" + "5\t\n" * 70},
            "a.tsv",
            "2 pairs are too few; .* 70 of 221 pairs lack a source or a target .* 149 pairs with a repeated source",
        ),
        ({"a.po": "nonsense\n"}, "a.po", "not a readable catalogue"),
        ({"a.mo": b"nonsense"}, "a.mo", "not a readable catalogue"),
        ({"readme.txt": "x"}, ".", "no gettext catalogue"),
        ({}, "missing.tsv", "there is no file"),
        ({"a": "1\n", "b": "1\n", "c": "1\n"}, "a,b,c", "one path, or two"),
    ],
)
def test_what_is_no_parallel_text_is_refused(files, data, told, tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=told):
        Translation(data)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"vocabulary": 100_000}, "Use at most"),
        ({"vocabulary": 100}, "bytes alone"),
        ({"beams": 0}, "greedy"),
        ({"length": 1}, "at least 2"),
        ({"length": 2, "vocabulary": 300}, "larger length"),
        ({"max_pairs": 10}, "at least 200"),
    ],
)
def test_impossible_options_are_refused(options, told, pairs: Path):
    with pytest.raises(InputError, match=told):
        Translation(str(pairs), **options)


def test_the_vocabulary_is_what_the_text_can_train(pairs: Path):
    asked = Translation(str(pairs), 24, 300).signature
    most = Translation(str(pairs), 24, max_vocabulary=310).signature
    free = Translation(str(pairs), 24).signature
    assert (asked.vocabulary, most.vocabulary) == (300, 310)
    assert 310 < free.vocabulary < 4000
    assert free.num_outputs == free.vocabulary


def test_long_pairs_are_counted(pairs: Path):
    whole, part = Translation(str(pairs), 60, 300), Translation(str(pairs), 15, 300)
    assert not any("longer" in notice for notice in whole.notices)
    (notice,) = (notice for notice in part.notices if "longer" in notice)
    assert 0 < int(notice.split()[0]) < 700


def test_without_its_libraries_the_way_to_them_is_told(pairs: Path):
    code = f"""
import sys
sys.modules["tokenizers"] = None
from globalconv.tasks import Translation
from globalconv.errors import InputError
try:
    Translation({str(pairs)!r})
except InputError as error:
    assert "globalconv[translation]" in str(error)
else:
    raise SystemExit(1)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("library", ["tokenizers", "sacrebleu"])
def test_a_library_that_is_not_installed_is_told_before_any_work(library: str, pairs: Path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(InputError, match=rf"{library}.*pip install 'globalconv\[translation\]'"):
        Translation(str(pairs), 24, 300)
