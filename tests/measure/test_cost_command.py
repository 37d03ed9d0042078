"""`globalconv cost` as a user meets it: the table, the files, mistakes, and Ctrl-C."""

import csv
import json
import platform
import re
from dataclasses import fields
from pathlib import Path

import pytest

from globalconv.measure import roofline
from globalconv.measure.cost import run
from globalconv.measure.cost.contenders import usual_heads
from globalconv.measure.cost.request import CostRequest
from globalconv.measure.record import record_from_json, record_to_json
from tests.study.small_studies import globalconv

ROOT = Path(__file__).parents[2]
# Without the fused kernels, which would have to be compiled.
WORDS = "--lengths 8,16,32 --widths 8 --rounds 2 --budget 20s --mixers attention,reference,spectral"
TINY = WORDS.split()
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
    *("roofline_ms", "flops", "moved_bytes", "activation_bytes", "parameters", "peak_bytes"),
    *("over_roofline", "flops_per_second", "bytes_per_second"),
]


@pytest.fixture(autouse=True)
def small_speeds(monkeypatch):
    monkeypatch.setattr(roofline, "COPIED_NUMBERS", 1 << 12)
    monkeypatch.setattr(roofline, "MATRIX_SIDE", 32)


def test_a_small_run_prints_tables_and_writes_its_files(tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    ended = globalconv("cost", *TINY, "--decode", "--out", tmp_path)
    assert ended.code == 0, ended
    for word in (
        "circular, forward, width 8",
        "causal, decoding, one token",
        "GFlop/s",
        "GB/s",
        "peak",
        "lengths, done",
    ):
        assert word in ended.out, word
    text = (tmp_path / "cost.json").read_text()
    record = json.loads(text)
    assert record["ended"] == "complete"
    assert record["absent"] == {}
    assert record["left_out"] == []
    assert record_to_json(record_from_json(text)) == text
    assert platform.node() not in text
    assert str(Path.home()) not in text
    assert [list(row) for row in record["results"]] == [COLUMNS] * len(record["results"])
    points = {(row["phase"], row["subject"], row["length"]) for row in record["results"]}
    assert points == {
        *(("forward", name, n) for name in ("attention", "reference", "spectral") for n in (8, 16, 32)),
        *(("decode", name, n) for name in ("attention", "global_conv") for n in (8, 16, 32)),
    }
    for row in record["results"]:
        assert 0 < row["ms_low"] <= row["ms"] <= row["ms_high"]
        assert row["flops_per_second"] == pytest.approx(row["flops"] / row["ms"] * 1e3, rel=1e-2)
        assert row["peak_bytes"] > 0
        if row["phase"] == "decode":
            assert row["moved_bytes"] is row["roofline_ms"] is None
        else:
            assert row["bytes_per_second"] == pytest.approx(row["moved_bytes"] / row["ms"] * 1e3, rel=1e-2)
            assert row["over_roofline"] == pytest.approx(row["ms"] / row["roofline_ms"], rel=1e-2)
    crossings = {(c["phase"], c["subject"], c["by"]) for c in record["crossovers"]}
    assert crossings == {
        *(
            ("forward", name, by)
            for name in ("reference", "spectral")
            for by in ("flops", "bytes", "seconds")
        ),
        *(("decode", "global_conv", by) for by in ("flops", "seconds")),
    }
    assert len(record["scaling"]) == 5
    of_flops = {(e["phase"], e["subject"]): e["flops"] for e in record["scaling"]}
    assert of_flops["forward", "reference"] == pytest.approx(2, abs=0.05)
    assert 0.9 < of_flops["decode", "global_conv"] < 1  # inside a block; beyond, tiles take over
    with (tmp_path / "cost.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["ms"]) for row in rows] == [row["ms"] for row in record["results"]]
    for phase in ("forward", "decode"):
        assert (tmp_path / f"cost-{phase}.png").read_bytes().startswith(b"\x89PNG")
    picture = (tmp_path / "cost-forward.svg").read_text()
    for word in ("attention", "reference", "spectral", "width 8"):
        assert word in picture


def test_backward_is_measured_in_its_place_and_costs_more(tmp_path):
    ended = globalconv(
        "cost", *TINY, "--backward", "--heads", "2", "--mode", "causal", "--batch", "2", "--out", tmp_path
    )
    assert ended.code == 0, ended
    record = record_from_json((tmp_path / "cost.json").read_text())
    assert {row.case.phase for row in record.results} == {"training"}
    forward = CostRequest((8,), (8,), mode="causal", batch=2, heads=2, mixers=("attention",))
    (sweep,), _ = forward.sweeps()
    once = sweep.cost("attention", 8).flops
    (row,) = (row for row in record.results if (row.subject, row.case.length) == ("attention", 8))
    assert 2.9 * once < row.flops < 3.5 * once


def test_who_cannot_take_part_is_named_with_the_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("globalconv.measure.cost.request.USUAL", ("attention", "spectral", "token_mlp"))
    ended = globalconv("cost", *TINY[:-2], "--mode", "causal", "--decode", "--out", tmp_path)
    assert ended.code == 0, ended
    record = record_from_json((tmp_path / "cost.json").read_text())
    assert record.absent == {"token_mlp": "token_mlp mixes all positions and cannot be causal"}
    assert "Not measured: token_mlp" in ended.out


def test_a_mixer_from_outside_has_seconds_but_no_bytes_in_theory(tmp_path, monkeypatch):
    (tmp_path / "outside_cost.py").write_text(
        "from globalconv.mixers import GlobalConv\n\nclass Mine(GlobalConv):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    names = "attention,outside_cost:Mine"
    ended = globalconv("cost", *TINY[:-1], names, "--out", tmp_path / "out")
    assert ended.code == 0, ended
    record = record_from_json((tmp_path / "out" / "cost.json").read_text())
    mine = [row for row in record.results if row.subject == "outside_cost:Mine"]
    assert [row.case.length for row in mine] == [8, 16, 32]
    assert all(row.moved_bytes is None and row.flops > 0 for row in mine)
    assert [c.by for c in record.crossovers] == ["flops", "seconds"]


def test_a_curve_that_stops_is_said_and_drawn(tmp_path):
    lengths = ["--lengths", "8:4096"]
    ended = globalconv("cost", *lengths, *TINY[2:], "--memory", "300kB", "--out", tmp_path)
    assert ended.code == 0, ended
    record = record_from_json((tmp_path / "cost.json").read_text())
    assert {left.subject for left in record.left_out} >= {"reference"}
    assert "Left out: reference at" in ended.out
    assert "stopped" in (tmp_path / "cost-forward.svg").read_text()


def test_ctrl_c_keeps_what_was_measured(tmp_path, monkeypatch):
    grow = run.grow_curves

    def interrupted(*args, **options):
        for number, curves in enumerate(grow(*args, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield curves

    monkeypatch.setattr(run, "grow_curves", interrupted)
    ended = globalconv("cost", *TINY, "--out", tmp_path)
    assert ended.code == 130
    record = record_from_json((tmp_path / "cost.json").read_text())
    assert record.ended == "interrupted"
    assert "2 of 3 lengths are kept" in ended.err
    assert {row.case.length for row in record.results} >= {8, 16}
    assert (tmp_path / "cost-forward.png").exists()


def test_ctrl_c_before_anything_was_measured_leaves_an_older_record_alone(tmp_path, monkeypatch):
    (tmp_path / "cost.json").write_text("older")
    monkeypatch.setattr(run, "measure_speeds", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    ended = globalconv("cost", *TINY, "--out", tmp_path)
    assert ended.code == 130
    assert "Nothing had been measured" in ended.err
    assert [path.name for path in tmp_path.iterdir()] == ["cost.json"]
    assert (tmp_path / "cost.json").read_text() == "older"


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        ("--lengths 0", "from 1 on"),
        ("--lengths 64:8", "smaller first"),
        ("--widths -64", "from 1 on"),
        ("--widths 0", "from 1 on"),
        ("--mixers atention", "'attention'"),
        ("--mixers ,", "commas"),
        ("--mixers token_mlp --mode causal", "cannot be causal"),
        ("--mixers nowhere:Mixer", "cannot load"),
        ("--mode casual", "'causal'"),
        ("--heads 3", "does not divide the width 64"),
        ("--heads 0", "does not divide"),
        ("--widths 8 --heads 8", "head width must be even"),
        ("--batch 0", "at least 1"),
        ("--rounds 1", "at least 2"),
        ("--threads 100000", "cores"),
        ("--threads 0", "cores"),
        ("--device nowhere", "Known: auto, cpu, cuda"),
        ("--device meta", "Known: auto, cpu, cuda"),
        ("--budget 5x", "5m"),
        ("--budget 0.001s", "--budget 2s"),
        ("--memory 5x", "4GB"),
        ("--memory 10kB", "nothing fits at length 64"),
        ("--mixers token_mlp --decode", "none of --mixers can decode"),
        ("--lengths 1:99999999999999999999", "too many digits"),
        ("--lengths 1:99999999999", "--lengths 68719476736: give at most"),
        ("--widths 99999999999", "give at most"),
        ("--batch 99999999999999999999", "as much as the memory holds"),
        ("--lengths 64,1000000000 --batch 1000", "as much as the memory holds"),
        ("--rounds 1000000000", "give at most"),
        ("--memory 1000000TB", "give at most that"),
        ("--budget 99999999999999999999", "longer than"),
    ],
)
def test_a_mistake_is_told_in_one_line_before_any_work(arguments, fix, tmp_path):
    ended = globalconv("cost", *arguments.split(), "--out", tmp_path / "out")
    assert ended.code == 2, ended
    (line,) = ended.err.strip().splitlines()
    assert line.startswith("Error: ")
    assert fix in line
    assert not (tmp_path / "out").exists()


def test_a_device_that_is_not_here(tmp_path, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    ended = globalconv("cost", "--device", "cuda", "--out", tmp_path / "out")
    assert ended.code == 2
    assert "sees no CUDA device" in ended.err


def test_a_directory_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    ended = globalconv("cost", *TINY, "--out", tmp_path / "file" / "out")
    assert ended.code == 2
    assert "directory" in ended.err


def test_heads_follow_the_width():
    assert [usual_heads(width) for width in (8, 64, 256, 768, 100)] == [1, 1, 4, 12, 1]


def test_the_help_names_every_option():
    words = set(re.findall(r"--(\w+)", globalconv("cost", "--help").out))
    for field in fields(CostRequest):
        assert field.name.removesuffix("_seconds") in words


@pytest.mark.skipif(not (ROOT / "benchmarks").is_dir(), reason="no benchmarks here (an sdist)")
def test_the_page_shows_what_is_recorded(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import mixer_cost

    page = mixer_cost.PAGE.read_text()
    assert page.split(mixer_cost.BEGIN)[1].split(mixer_cost.END)[0] == mixer_cost.figures_block()
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page):
        assert (mixer_cost.PAGE.parent / picture).exists()
    for mode in mixer_cost.RUNS:
        record = record_from_json(mixer_cost.recorded(mode).read_text())
        assert (record.ended, record.settings["mode"]) == ("complete", mode)
