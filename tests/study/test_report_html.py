"""The page: well formed, closed in itself, escaped, and saying what the answer says, number by number."""

import re
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser

import pytest

from globalconv.study.report.arms_table import slugs
from tests.study import fake_answers
from tests.study.fake_answers import written

VOID = {"meta", "link", "br", "img", "input", "hr"}
UNITS = {"": 1, "k": 1e3, "M": 1e6, "kB": 1e3, "MB": 1e6, "GB": 1e9, "s": 1, "ms": 1e-3, "µs": 1e-6}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str] = field(default_factory=dict)
    children: list["Node | str"] = field(default_factory=list)

    def find(self, tag: str = "", **attributes: str) -> list["Node"]:
        """Every descendant with this tag, and among its classes (class_) or as its id these."""
        found = []
        for child in self.children:
            if isinstance(child, Node):
                wanted = not tag or child.tag == tag
                wanted &= attributes.get("class_", "") in ["", *child.attributes.get("class", "").split()]
                wanted &= attributes.get("id", child.attributes.get("id")) == child.attributes.get("id")
                found += [child] * wanted + child.find(tag, **attributes)
        return found

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)


class Tree(HTMLParser):
    """Builds the tree, and fails where an element is closed that was not opened last."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Node("document")
        self.open = [self.root]

    def handle_starttag(self, tag, attrs):
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop().tag == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        self.open[-1].children.append(data)


@cache
def page_of(kind: str) -> str:
    return (written(kind) / "report.html").read_text(encoding="utf-8")


@cache
def tree_of(kind: str) -> Node:
    tree = Tree()
    tree.feed(page_of(kind))
    tree.close()
    assert tree.open == [tree.root]
    return tree.root


def squeezed(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def sections_of(kind: str):
    """(task, its section of the page) for each task."""
    answer = fake_answers.ALL[kind]()
    for task, slug in zip(answer.tasks, slugs(task.task for task in answer.tasks), strict=True):
        (section,) = tree_of(kind).find("section", id=slug)
        yield task, section


def rows_of(section: Node, name: str) -> list[list[str]]:
    (table,) = section.find("table", class_=name)
    (body,) = table.find("tbody")
    return [
        [squeezed(cell.text) for cell in row.children if isinstance(cell, Node) and cell.tag in ("th", "td")]
        for row in body.find("tr")
    ]


def shows(text: str, value: float) -> bool:
    """Whether ``text`` is ``value``, to half a unit of the last digit that it shows."""
    match = re.fullmatch(r"([+−]?)(\d+(?:\.(\d+))?(?:e-?\d+)?)(?: (\S+))?", text)
    if not match:
        return False
    sign, number, decimals, unit = match.groups()
    scale = UNITS[unit or ""]
    shown = float(number) * scale * (-1 if sign == "−" else 1)
    return abs(shown - value) <= 0.5001 * 10.0 ** -len(decimals or "") * scale


everywhere = pytest.mark.parametrize("kind", fake_answers.ALL)


@everywhere
def test_the_page_is_well_formed(kind):
    root = tree_of(kind)
    assert page_of(kind).startswith("<!DOCTYPE html>")
    assert len(root.find("h1")) == len(root.find("main")) == len(root.find("title")) == 1
    for table in root.find("table"):
        (head,) = table.find("thead")
        for row in table.find("tbody")[0].find("tr"):
            cells = [cell for cell in row.children if isinstance(cell, Node)]
            width = sum(int(cell.attributes.get("colspan", 1)) for cell in cells)
            assert width == len(head.find("th"))
    assert all(picture.attributes["aria-label"] for picture in root.find("svg", class_="figure"))


@everywhere
def test_ids_are_unique_and_links_inside_the_page_lead_somewhere(kind):
    nodes = tree_of(kind).find()
    ids = [node.attributes["id"] for node in nodes if "id" in node.attributes]
    assert len(ids) == len(set(ids))
    targets = {
        node.attributes["href"][1:] for node in nodes if node.attributes.get("href", "").startswith("#")
    }
    attributes = [value for node in nodes for name, value in node.attributes.items() if name != "aria-label"]
    targets |= set(re.findall(r"url\(#([^)]*)\)", "\n".join(attributes)))
    assert targets <= set(ids)


@everywhere
def test_the_page_needs_nothing_from_outside(kind):
    for node in tree_of(kind).find():
        assert node.tag not in ("script", "iframe", "object", "embed", "base", "img")
        for name, value in node.attributes.items():
            assert not name.startswith("on")
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                assert value.startswith(("#", "data:")), (node.tag, name, value)
    outside_of_text = re.sub(r">[^<]*<", "><", page_of(kind))
    assert "http" not in re.sub(r'aria-label="[^"]*"', "", outside_of_text)
    style = "".join(node.text for node in tree_of(kind).find("style"))
    assert "@import" not in style
    assert set(re.findall(r"url\(", style)) == set()


def test_what_the_user_wrote_is_text_and_nothing_else():
    evil = "<script>alert('x')</script>"
    root = tree_of("hostile")
    assert evil in root.find("h1")[0].text
    assert evil in root.find("title")[0].text
    assert evil not in page_of("hostile")
    assert "[bold]more[/bold]" in root.text
    assert any("a$b$ --> ]]>" in picture.text for picture in root.find("svg", class_="figure"))


def test_names_of_any_kind_are_shown_and_obeyed_nowhere():
    page, root = page_of("hostile"), tree_of("hostile")
    assert not {c for c in page if not c.isprintable()} - {"\n", "\t"}
    headings = [squeezed(node.text) for node in root.find("h2")]
    shown = [fake_answers.ODD_NAMES[5], r"tab\tline\nbell\x07escape\x1b[31m", r"caf\udce9 \u202egnp.\ufffe"]
    for name in shown:
        assert any(heading.startswith(squeezed(name)) for heading in headings)
    drawn = [picture.text for picture in root.find("svg", class_="figure")]
    assert any("tab\\tline" in text for text in drawn)
    assert any('id="x"' in text for text in drawn)  # as text, as it was written
    assert not any("hostile-id" in text or "-x&quot;" in text for text in drawn)


def test_what_the_models_wrote_stands_beside_source_and_reference():
    (table,) = tree_of("hostile").find("table", class_="written")
    answer = fake_answers.hostile().tasks[-1]
    rows = [squeezed(row.text) for row in table.find("tr")][1:]
    examples = answer.arms[0].inside.written
    assert len(rows) == len(examples) * (2 + len(answer.arms))
    for number, example in enumerate(examples):
        block = rows[number * (2 + len(answer.arms)) :]
        assert block[0].endswith(squeezed(example.source))
        assert block[1].endswith(squeezed(example.reference))
        assert block[2].endswith(squeezed(example.written) or "–")


@everywhere
def test_the_answers_come_first_with_sign_word_and_sentence(kind):
    answer = fake_answers.ALL[kind]()
    (header,) = tree_of(kind).find("header")
    items = header.find("ul", class_="answers")[0].find("li")
    for task, item in zip(answer.tasks, items, strict=True):
        sign = {"yes": "✓", "hybrid": "◐", "no": "✗", "undecided": "?", "nothing learned": "∅"}[task.verdict]
        assert squeezed(item.find("span", class_="badge")[0].text) == f"{sign} {task.verdict}"
        assert squeezed(item.find("p", class_="sentence")[0].text) == squeezed(task.sentence)
        assert task.task in item.text
    assert header.find("h1")[0].text == answer.question


@everywhere
def test_the_table_of_arms_shows_every_number(kind):
    for task, section in sections_of(kind):
        rows = rows_of(section, "arms")
        for arm, row in zip(task.arms, rows, strict=False):
            name, verdict, metric, difference, parameters, mflop, step, memory, rate = row
            assert name == arm.arm
            flagged = {0: "", 1: " 1 flag, see below"}.get(
                len(arm.flags), f" {len(arm.flags)} flags, see below"
            )
            assert verdict[1:] == f" {arm.verdict}{flagged}"
            check_estimate(metric, arm.metric, absent="no run finished")
            check_estimate(difference, arm.difference, absent="–", signed=True)
            assert shows(parameters, arm.parameters)
            assert shows(mflop, arm.flops_per_token / 1e6)
            assert shows(step, arm.seconds_per_step)
            assert shows(memory, arm.peak_memory_bytes)
            assert float(rate) == pytest.approx(arm.learning_rate, rel=0.005)
        for baseline, row in zip(task.baselines, rows[len(task.arms) :], strict=True):
            assert row[:2] == [baseline.name, "baseline"]
            assert shows(row[2], baseline.value)
        (head,) = section.find("table", class_="arms")[0].find("thead")
        assert ("higher" if task.higher_is_better else "lower") + " is better" in head.text
        assert task.rival in head.text


def check_estimate(text: str, estimate, *, absent: str, signed: bool = False) -> None:
    if estimate is None:
        assert text == absent
        return
    mean, rest = text.split(" ", 1)
    assert shows(mean, estimate.mean)
    if signed:
        assert (mean[0] == "+") == (float(f"{estimate.mean:.3f}") > 0)
    if estimate.low is None:
        assert rest == "(one seed)"
    elif estimate.low == estimate.high:
        assert rest == f"({estimate.num_seeds} equal seeds)"
    else:
        low, high = rest.strip("[]").split(", ")
        assert shows(low, estimate.low)
        assert shows(high, estimate.high)


@everywhere
def test_the_table_of_training_shows_every_number(kind):
    for task, section in sections_of(kind):
        for arm, row in zip(task.arms, rows_of(section, "training"), strict=True):
            name, blocks, width, steps, _, plateaued, source = row
            assert (name, source) == (arm.arm, arm.rate_source)
            assert all(mixer in blocks for mixer in arm.mixers)
            assert (int(width), int(steps)) == (arm.mlp_width, arm.steps)
            later = f" not before {arm.steps_to_plateau} steps" if arm.steps_to_plateau else ""
            assert plateaued == ("yes" if arm.plateaued else "no") + later


@everywhere
def test_each_verdict_is_explained_with_what_makes_it_doubtful(kind):
    for task, section in sections_of(kind):
        reasons = [squeezed(item.text) for item in section.find("ul", class_="reasons")[0].find("li")]
        for arm, reason in zip(task.arms, reasons, strict=True):
            assert reason.startswith(f"{squeezed(arm.arm)}, ")
            assert f"{arm.verdict}: {arm.because}" in reason
            assert all(flag in reason for flag in arm.flags)
            assert ("Flags" in reason) == bool(arm.flags)
            assert ("Diverged" in reason) == bool(arm.diverged_seeds)
            assert all(f"{seed}" in reason.split("Diverged")[-1] for seed in arm.diverged_seeds)


@everywhere
def test_the_rankings_show_values_and_places(kind):
    for task, section in sections_of(kind):
        rows = {row[0]: row[1:] for row in rows_of(section, "rankings")}
        for index, ranking in enumerate(task.rankings):
            for place, (name, value) in enumerate(ranking.values.items(), start=1):
                shown, number = rows[name][index].split(" no. ")
                assert int(number) == place
                assert shows(shown, value)
        for arm in task.arms:
            if not any(arm.arm in ranking.values for ranking in task.rankings):
                assert set(rows[arm.arm]) == {"–"}


@everywhere
def test_every_word_of_the_answer_is_on_the_page(kind):
    answer = fake_answers.ALL[kind]()
    text = squeezed(tree_of(kind).text)
    words = [answer.question, answer.globalconv_version, *answer.cuts, *answer.failures, *answer.methods]
    words += [word for pair in answer.environment.items() for word in pair]
    for task in answer.tasks:
        words += [task.task, task.description, task.sentence, *task.notices]
        words += [word for pair in task.left_out.items() for word in pair]
        words += [
            word for arm in task.arms for word in (arm.because, arm.rate_source, *arm.flags, *arm.mixers)
        ]
        words += [f"{arm.further_seeds} more seed" for arm in task.arms if arm.further_seeds]
    if answer.cost:
        words += [answer.cost.crossover, *[curve.stopped for curve in answer.cost.curves if curve.stopped]]
    assert [word for word in words if squeezed(word) not in text] == []
    assert [code.text for code in tree_of(kind).find("code")] == [answer.command]


def test_empty_sections_say_so_or_are_not_there():
    single, full = tree_of("single_task"), tree_of("default_study")
    for words in ("Nothing was cut.", "No run diverged, was redone or failed.", "Not swept"):
        assert words in single.text
    assert "Nothing was flagged." in tree_of("zero_differences").text
    assert "Nothing was cut." not in full.text
    assert "No run diverged" not in full.text
    headings = {squeezed(node.text) for node in single.find("h3") + single.find("h2")}
    assert headings.isdisjoint({"Cost against length", "Arms left out", "Does it look things up?"})
    headings = {squeezed(node.text) for node in full.find("h3") + full.find("h2")}
    assert headings >= {"Cost against length", "Arms left out", "Does it look things up?", "Worth knowing"}


def test_the_cost_table_shows_every_point():
    cost = fake_answers.default_study().cost
    (section,) = tree_of("default_study").find("section", id="cost-against-length")
    rows = {int(row[0]): row[1:] for row in rows_of(section, "cost")}
    for column, curve in enumerate(cost.curves):
        points = {point.length: point.seconds for point in curve.points}
        for length, row in rows.items():
            assert shows(row[column], points[length]) if length in points else row[column] == "–"


def test_a_study_without_any_arm_or_task_still_makes_a_page(tmp_path):
    from globalconv.study.report import write_report

    answer = fake_answers.single_task()
    lonely = answer.tasks[0].model_copy(update={"arms": answer.tasks[0].arms[:1], "rankings": []})
    for number, tasks in enumerate([[], [lonely]]):
        page = write_report(answer.model_copy(update={"tasks": tasks}), tmp_path / str(number))
        tree = Tree()
        tree.feed(page.read_text(encoding="utf-8"))
        assert "At a glance" not in tree.root.text


def test_the_page_ends_with_the_command_and_the_file_that_repeat_the_study():
    from globalconv.study.report.html import page

    bare = fake_answers.single_task().model_copy(update={"tasks": [], "cost": None})
    config = 'tasks = ["a<b.txt"]\nseeds = 2\n'
    for answer in (bare, bare.model_copy(update={"config": config})):
        reader = Tree()
        reader.feed(page(answer, []))
        (section,) = reader.root.find("section", id="again")
        said = [answer.command] if answer.config is None else [answer.command, config]
        assert [node.text for node in section.find("pre")] == said
