"""`globalconv bench` as a user meets it: the table, the files, mistakes, and Ctrl-C; and the recorded page."""

import csv
import json
import platform
import re
from pathlib import Path

import pytest

from globalconv.errors import InputError
from globalconv.measure import roofline
from globalconv.measure.bench import measuring
from globalconv.measure.bench.request import BenchRequest, parse_elements
from globalconv.measure.record import record_from_json, record_to_json
from globalconv.ops import available_backends
from globalconv.options import parse_lengths, parse_names, parse_numbers
from tests.study.small_studies import globalconv

ROOT = Path(__file__).parents[2]
WORDS = "--lengths 8,16 --widths 64 --elements 2**10 --rounds 2 --backend spectral --budget 20s"
TINY = WORDS.split()
FEW_PEERS = ["--peers", "torch_dim1,attention,scipy"]
COLUMNS = [
    *(
        "phase",
        "mode",
        "gated",
        "threads",
        "batch",
        "width",
        "length",
        "subject",
        "rounds",
        "ms",
        "ms_low",
        "ms_high",
    ),
    *("roofline_ms", "baseline", "ratio", "ratio_low", "ratio_high", "error", "over_roofline"),
]


@pytest.fixture(autouse=True)
def small_speeds(monkeypatch):
    monkeypatch.setattr(roofline, "COPIED_NUMBERS", 1 << 12)
    monkeypatch.setattr(roofline, "MATRIX_SIDE", 32)


def test_a_small_bench_prints_a_table_and_writes_its_files(tmp_path):
    ended = globalconv("bench", *TINY, *FEW_PEERS, "--gated", "--out", tmp_path)
    assert ended.code == 0, ended
    for word in ("spectral, ms", "x roofline", "error", "torch_dim1", "attention", "GB/s", "cases, done"):
        assert word in ended.out, word
    for mode in ("circular", "causal"):
        for gated in ("", ", gated"):
            for both in ("", " and backward"):
                assert f"{mode}{gated}, forward{both}, width 64, 1 thread" in ended.out
    assert "scipy at 8 to 16, width 64: it has no gradient" in " ".join(ended.out.split())
    text = (tmp_path / "bench.json").read_text()
    record = json.loads(text)
    assert list(record) == [
        *("question", "machine", "settings", "subjects", "absent", "speeds", "results", "left_out", "ended"),
        *("crossovers", "scaling"),
    ]
    assert record["ended"] == "complete"
    assert [list(row) for row in record["results"]] == [COLUMNS] * len(record["results"])
    # Two lengths, two modes: spectral and torch_dim1 in 4 kinds of case, attention in 2, scipy in 2.
    assert len(record["results"]) == 2 * 2 * (4 + 4 + 2 + 2)
    assert all(row["error"] < 1e-6 for row in record["results"] if row["subject"] != "attention")
    assert all(row["error"] is None for row in record["results"] if row["subject"] == "attention")
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert record_to_json(record_from_json(text)) == text
    with (tmp_path / "bench.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["ratio"]) for row in rows] == [row["ratio"] for row in record["results"]]
    name = "speed-width64-threads1"
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    picture = (tmp_path / f"{name}.svg").read_text()
    for word in (
        "torch.fft, dim 1",
        "scipy.fft",
        "attention&#x27;s core|attention's core",
        "causal, gated, forward",
    ):
        assert re.search(word, picture), word


def test_what_is_not_installed_is_named_once(tmp_path, monkeypatch):
    monkeypatch.setattr("globalconv.measure.bench.peers.find_spec", lambda _: None)
    # Compiling the kernels would take longer than all the rest.
    others = tuple(backend for backend in available_backends() if backend.name != "fused_cpu")
    monkeypatch.setattr("globalconv.measure.bench.backends.available_backends", lambda: others)
    ended = globalconv("bench", *TINY, "--no-backward", "--modes", "causal", "--out", tmp_path)
    assert ended.code == 0, ended
    for name in ("ducc0", "jax"):
        assert ended.out.count(f"{name}, not installed: pip install {name}") == 1
        assert name in json.loads((tmp_path / "bench.json").read_text())["absent"]


def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch):
    drawn, problem_of = [], measuring.problem_of

    def interrupted(case, **options):
        drawn.append(case)
        if len(drawn) > 3:
            raise KeyboardInterrupt
        return problem_of(case, **options)

    monkeypatch.setattr(measuring, "problem_of", interrupted)
    ended = globalconv("bench", *TINY, *FEW_PEERS, "--out", tmp_path)
    assert ended.code == 130
    assert "3 of 8 cases are kept" in ended.err
    record = record_from_json((tmp_path / "bench.json").read_text())
    assert record.ended == "interrupted"
    assert list(dict.fromkeys(row.case for row in record.results)) == drawn[:3]


def test_ctrl_c_before_anything_was_measured_leaves_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "problem_of", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    ended = globalconv("bench", *TINY, "--out", tmp_path)
    assert ended.code == 130
    assert "Nothing had been measured" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ("--lengths 0", "from 1 on"),
        ("--lengths 64:8", "smaller first"),
        ("--lengths 0:8", "from 1 on"),
        ("--lengths 4:x", "4:x: give whole numbers"),
        ("--lengths ,", "commas"),
        ("--lengths 1:999999999999999", "--lengths"),
        ("--widths -64", "from 1 on"),
        ("--threads 100000", "cores"),
        ("--modes casual", "'causal'"),
        ("--peers scipi", "'scipy'"),
        ("--backend fused", "'fused_cpu'"),
        ("--backend scipy", "Known"),
        ("--elements 2**50", "--elements"),
        ("--elements many", "2**23"),
        ("--elements 0", "from 1 on"),
        ("--rounds 1", "at least 2"),
        ("--rounds 1000000000", "--rounds 1000000000: give at most"),
        ("--elements 999999999999999999**99", "give at most"),
        ("--lengths 1:99999999999999999999", "too many digits"),
        ("--widths 99999999999", "give at most"),
        ("--budget 5x", "5m"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_any_work(arguments, fix, tmp_path):
    ended = globalconv("bench", *arguments.split(), "--out", tmp_path / "out")
    assert ended.code == 2, ended
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("Error: ")
    assert fix in line
    assert not (tmp_path / "out").exists()


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    ended = globalconv("bench", *TINY, "--out", tmp_path / "file" / "out")
    assert ended.code == 2
    assert "directory" in ended.err


def test_a_peer_asked_for_by_name_must_be_here(monkeypatch):
    monkeypatch.setattr("globalconv.measure.bench.peers.find_spec", lambda _: None)
    with pytest.raises(InputError, match="pip install jax"):
        BenchRequest((8,), peers=("jax",)).implementations()


def test_options_are_read_as_people_write_them():
    assert parse_lengths("64:1024") == (64, 128, 256, 512, 1024)
    assert parse_lengths("60:500") == (60, 120, 240, 480)
    assert parse_lengths("7:7") == (7,)
    assert parse_lengths("1000, 60,100,60") == (60, 100, 1000)
    assert parse_numbers("--threads", "2,1") == (1, 2)
    assert parse_names("--peers", "scipy, jax,scipy") == ("scipy", "jax")
    assert parse_elements("2**23") == parse_elements("2^23") == parse_elements("8388608") == 2**23


def test_cases_are_all_that_was_asked_for_and_lengths_grow():
    request = BenchRequest((16, 64), (8, 4), modes=("causal", "circular"), elements=2**10, gated=True)
    cases = request.cases()
    assert len(set(cases)) == len(cases) == 2 * 2 * 2 * 2 * 2
    assert all(case.numbers == 2**10 for case in cases)
    (long,) = BenchRequest((64,), (64,), modes=("causal",), elements=2**10, backward=False).cases()
    assert long.batch == 1


def test_the_help_names_every_option():
    help_text = globalconv("bench", "--help").out
    for field in BenchRequest.__dataclass_fields__:
        if field != "seed":
            assert f"--{field.removesuffix('_seconds')}" in help_text


@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="no benchmarks here (an sdist)")
def test_the_page_shows_what_is_recorded(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import operator_cpu

    page = operator_cpu.PAGE.read_text()
    assert page.split(operator_cpu.BEGIN)[1].split(operator_cpu.END)[0] == operator_cpu.figures_block()
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
        assert (operator_cpu.PAGE.parent / picture).exists()
    assert operator_cpu.TUNABLES in page
    for regime in operator_cpu.REGIMES:
        record = record_from_json(operator_cpu.recorded(regime).read_text())
        assert record.settings["allocator"] == regime
        assert record.ended == "complete"
