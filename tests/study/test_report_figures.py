"""The pictures: they show the answer's numbers, hide none of them, and look the same wherever an arm appears."""

import re
from itertools import combinations
from random import Random
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.figure import Figure

from globalconv.display.palette import THEME
from globalconv.study.report.curves import curve_limits, plot_cost, plot_curves, plot_rates
from globalconv.study.report.figures import cost_groups, for_page, groups_of
from globalconv.study.report.intervals import difference_limits, plot_differences, plot_split
from globalconv.study.report.looks import looks_of
from tests.study import fake_answers
from tests.study.fake_answers import arm, estimate, task, written

TASKS = [one for make in fake_answers.ALL.values() for one in make().tasks]


def axes():
    return Figure().add_subplot()


def looks(tasks):
    return looks_of(fake_answers.study(list(tasks)))


def lines_at(drawn, color, height):
    """The x ends of what is drawn in ``color`` on the row ``height``."""
    return [
        line.get_xdata()
        for line in drawn.lines
        if line.get_color() == color and set(line.get_ydata()) == {height}
    ]


@pytest.mark.parametrize("one", TASKS, ids=lambda one: one.task[:12])
def test_differences_are_drawn_where_they_are(one):
    drawn, styles = axes(), looks([one])
    plot_differences(drawn, one, styles)
    low, high = drawn.get_xlim()
    rows = [arm for arm in one.arms if arm.arm != one.rival]
    for row, competitor in enumerate(rows):
        at = lines_at(drawn, styles[competitor.arm].color, row)
        if competitor.difference is None:
            assert at == []
            continue
        difference = competitor.difference
        assert low < difference.mean < high
        assert any(list(xs) == [difference.mean] for xs in at)
        (span,) = [xs for xs in at if len(xs) == 2]
        for end, wanted in zip(span, (difference.low, difference.high), strict=True):
            wanted = difference.mean if wanted is None else wanted
            if low < wanted < high:
                assert end == pytest.approx(wanted, abs=0.05 * (high - low))
            else:
                assert [end] in [list(xs) for xs in at]  # the arrow stands where the line is cut
    bands = [patch.get_extents() for patch in drawn.patches]
    (band,) = [box.transformed(drawn.transData.inverted()) for box in bands] or [None]
    assert (band.x0, band.x1) == pytest.approx((-one.margin, one.margin), abs=1e-9)
    assert -0.9 < drawn.get_ylim()[1] < 0 <= len(rows) - 1 < drawn.get_ylim()[0]


def random_task(random: Random, *, higher: bool = True):
    """A task with differences, spreads, margin and seeds over many orders of magnitude."""
    scale, num_seeds = 10.0 ** random.uniform(-4, 3), random.choice([1, 2, 3, 5])
    arms = [arm("attention", estimate(scale, 0.1 * scale, num_seeds), None, "rival", random=random)]
    for number in range(random.randint(1, 8)):
        difference = estimate(random.gauss(0, scale), abs(random.gauss(0, scale)), num_seeds)
        arms.append(
            arm(f"arm {number}", estimate(scale, scale, num_seeds), difference, "undecided", random=random)
        )
    return task("made up", arms, "undecided", "?", margin=scale * random.choice([0, 0.01, 1]), higher=higher)


@pytest.mark.parametrize("_", range(20))
def test_no_difference_is_out_of_sight_and_none_is_pressed_flat(seed, _):
    one = random_task(Random(seed))
    low, high = difference_limits(one)
    means = [arm.difference.mean for arm in one.arms if arm.difference]
    assert low < min(*means, -one.margin, 0) <= max(*means, one.margin, 0) < high
    # However wide the intervals are: the largest mean or margin takes a fourteenth of the axis or more.
    assert max(one.margin, *map(abs, means)) > (high - low) / 14


@pytest.mark.parametrize("axis", ["steps", "seconds", "flops"])
@pytest.mark.parametrize("one", TASKS, ids=lambda one: one.task[:12])
def test_learning_curves_are_drawn_where_they_are(one, axis):
    drawn, styles = axes(), looks([one])
    plot_curves(drawn, one, axis, styles)
    position = {"steps": "step", "seconds": "seconds", "flops": "flops"}[axis]
    curves = {line.get_color(): line for line in drawn.lines if line.get_marker() != "None"}
    assert len(curves) == sum(bool(competitor.curve) for competitor in one.arms)
    scales = set()
    for competitor in one.arms:
        if not competitor.curve:
            continue
        line = curves[styles[competitor.arm].color]
        assert list(line.get_ydata()) == [point.value.mean for point in competitor.curve]
        wanted = np.array([getattr(point, position) for point in competitor.curve])
        scales |= {round(float(np.log10(wanted[0] / line.get_xdata()[0])), 6)}
        assert np.allclose(line.get_xdata() / line.get_xdata()[-1], wanted / wanted[-1])
        assert drawn.get_ylim()[0] < competitor.curve[-1].value.mean < drawn.get_ylim()[1]
        assert drawn.get_xlim()[0] <= 0 < line.get_xdata()[-1] <= drawn.get_xlim()[1]
    (scale,) = scales
    units = {-6: "", 0.0: "", 6.0: "MFLOP", 9.0: "GFLOP", 12.0: "TFLOP", 15.0: "PFLOP"}
    assert units[scale] in drawn.get_xlabel()
    assert ("FLOP" in drawn.get_xlabel()) == (scale > 0)
    dashed = {line.get_ydata()[0] for line in drawn.lines if line.get_marker() == "None"}
    low, high = drawn.get_ylim()
    assert dashed == {baseline.value for baseline in one.baselines if low <= baseline.value <= high}


def test_bands_are_the_intervals():
    one = fake_answers.default_study().tasks[0]
    drawn = axes()
    plot_curves(drawn, one, "steps", looks([one]))
    for band, competitor in zip(drawn.collections, one.arms, strict=True):
        corners = {(round(x), round(y, 9)) for x, y in band.get_paths()[0].vertices}
        for point in competitor.curve:
            assert {
                (point.step, round(point.value.low, 9)),
                (point.step, round(point.value.high, 9)),
            } <= corners


def test_baselines_that_decide_are_in_the_picture_and_far_ones_do_not_press_the_curves():
    one = fake_answers.default_study().tasks[2]
    far = one.model_copy(
        update={"baselines": [fake_answers.BaselineAnswer(name="order 0", value=900.0), *one.baselines]}
    )
    assert curve_limits(far) == curve_limits(one)
    low, high = curve_limits(one)
    assert all(low < baseline.value < high for baseline in one.baselines)
    assert high < max(point.value.mean for arm in one.arms for point in arm.curve)


def test_the_rate_that_was_taken_has_a_ring_and_diverged_ones_a_cross():
    one = fake_answers.default_study().tasks[0]
    drawn, styles = axes(), looks([one])
    plot_rates(drawn, one, styles)
    for competitor in one.arms:
        mine = [line for line in drawn.lines if line.get_color() == styles[competitor.arm].color]
        (ring,) = [line for line in mine if line.get_fillstyle() == "none"]
        taken = next(point for point in competitor.rates if point.learning_rate == competitor.learning_rate)
        assert (*ring.get_xdata(), *ring.get_ydata()) == (taken.learning_rate, taken.value)
        crosses = [line.get_xdata()[0] for line in mine if line.get_marker() == "x"]
        assert crosses == [point.learning_rate for point in competitor.rates if point.value is None]
    crossed = [line for line in drawn.lines if line.get_marker() == "x"]
    places = {(line.get_xdata()[0], line.get_ydata()[0]) for line in crossed}
    assert len(places) == len(crossed)
    assert all(y < 0.5 for _, y in places), "worse is below where higher is better"


def test_bars_and_costs_are_the_answers_numbers():
    answer = fake_answers.default_study()
    text = answer.tasks[2]
    drawn = axes()
    plot_split(drawn, text, "bits_recall", looks_of(answer))
    assert [bar.get_width() for bar in drawn.patches] == [
        a.extra_metrics["bits_recall"].mean for a in text.arms
    ]
    assert drawn.get_xlim()[0] == 0
    drawn = axes()
    plot_cost(drawn, answer.cost, looks_of(answer))
    for line, band, curve in zip(drawn.lines, drawn.collections, answer.cost.curves, strict=True):
        assert list(zip(line.get_xdata(), line.get_ydata(), strict=True)) == [
            (point.length, point.seconds) for point in curve.points
        ]
        heights = {round(y, 12) for _, y in band.get_paths()[0].vertices}
        assert {round(point.high, 12) for point in curve.points} <= heights
    assert (drawn.get_xscale(), drawn.get_yscale()) == ("log", "log")
    assert sum(text.get_text() == "stopped" for text in drawn.texts) == 2


def test_an_arm_looks_the_same_in_every_picture_and_no_two_look_alike():
    for make in fake_answers.ALL.values():
        answer = make()
        styles = looks_of(answer)
        names = {arm.arm for task in answer.tasks for arm in task.arms}
        assert names <= styles.keys()
        assert len({(style.color, style.marker) for style in styles.values()}) == len(styles)
    usual = looks_of(fake_answers.default_study())
    alone = looks_of(fake_answers.single_task())
    assert {name: usual[name] for name in alone} == alone


def test_forty_arms_can_be_told_apart():
    random = Random(0)
    arms = [arm(f"arm {n}", estimate(1), None, "undecided", random=random) for n in range(40)]
    styles = looks([task("many", arms, "no", "No.")])
    assert len({(style.color, style.marker) for style in styles.values()}) == 40
    few = [styles[f"arm {n}"] for n in range(6)]
    assert len({style.color for style in few}) == len({style.marker for style in few}) == 6


def linear(color: str) -> np.ndarray:
    values = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b* of linear sRGB, white point D65."""
    matrix = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    x, y, z = np.cbrt(np.clip(matrix @ np.clip(rgb, 0, 1), 1e-4, None) / np.array([0.9505, 1, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


# Machado, Oliveira and Fernandes (2009), A physiologically-based model for simulation of color vision
# deficiency, table 1, severity 1.0.
EYES = {
    "trichromat": np.eye(3),
    "protanope": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranope": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("eye", EYES)
def test_the_colours_of_arms_can_be_told_apart_by_every_eye(eye, ground):
    colors = {f"arm-{n}": lab(EYES[eye] @ linear(THEME[f"arm-{n}"][ground])) for n in range(7)}
    distances = {
        pair: float(np.linalg.norm(colors[pair[0]] - colors[pair[1]])) for pair in combinations(colors, 2)
    }
    # About 2.3 is the smallest difference that can be seen; lines that lie beside each other need more.
    assert min(distances.values()) > 11, min(distances.items(), key=lambda item: item[1])


@pytest.mark.parametrize("ground", [0, 1], ids=["light", "dark"])
def test_words_and_lines_stand_out_from_the_ground(ground):
    paper = ("#ffffff", "#14181e")[ground]
    style = (written("one_seed") / "report.html").read_text(encoding="utf-8")
    assert f"--paper: {paper}" in style

    def luminance(color: str) -> float:
        return float(linear(color) @ np.array([0.2126, 0.7152, 0.0722]))

    for name, colors in THEME.items():
        bright, dim = sorted([luminance(colors[ground]), luminance(paper)], reverse=True)
        contrast = (bright + 0.05) / (dim + 0.05)
        # WCAG 2.2: 4.5 for words, 3 for graphics; grid and band are meant to stay behind.
        needed = 1.05 if name in ("rule", "band") else 3 if name.startswith("arm") else 4.5
        assert contrast >= needed, (name, contrast)


@pytest.mark.parametrize("kind", ["default_study", "hostile", "diverged"])
def test_pictures_in_the_page_follow_its_colours_and_share_no_id(kind):
    answer = fake_answers.ALL[kind]()
    styles = looks_of(answer)
    pictures = [
        picture
        for number, one in enumerate(answer.tasks)
        for group in for_page(groups_of(one, styles), f"t{number}-").values()
        for picture in group
    ]
    pictures += [picture for group in for_page(cost_groups(answer, styles), "").values() for picture in group]
    ids: list[str] = []
    for picture in pictures:
        root = ElementTree.fromstring(picture)  # well formed, or this raises
        ids += [node.get("id") for node in root.iter() if node.get("id")]
        styling = " ".join(node.get("style", "") for node in root.iter())
        assert not re.search(r"#[0-9a-fA-F]{3,8}\b", re.sub(r"url\(#[^)]*\)", "", styling))
        assert set(re.findall(r"var\(--([\w-]+)\)", styling)) <= {*THEME, "paper"}
        assert not list(root.iter("style"))
        assert "<path" in picture
    assert len(ids) == len(set(ids))
    words = [node.text or "" for picture in pictures for node in ElementTree.fromstring(picture).iter()]
    assert any("a$b$" in word for word in words) == (kind == "hostile")


def test_pictures_as_files_are_documents_with_white_ground():
    for path in (written("default_study") / "figures").glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag.endswith("svg")
        assert "var(--" not in path.read_text(encoding="utf-8")
        (ground, *_) = [node for node in root.iter() if node.get("style", "").startswith("fill: #ffffff")]
        assert ground is not None
