"""The page: one file that opens from a mail, without network, fonts or scripts of its own."""

from collections.abc import Sequence

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from globalconv.display import numbers
from globalconv.display.palette import THEME
from globalconv.study.report import wording
from globalconv.study.report.figures import cost_groups, for_page, groups_of
from globalconv.study.report.looks import looks_of
from globalconv.study.schema import Estimate, StudyAnswer


def page(answer: StudyAnswer, slugs: Sequence[str]) -> str:
    """The whole report as HTML; ``slugs`` names the tasks in anchors. All text of the answer is escaped."""
    looks = looks_of(answer)
    environment = Environment(
        loader=PackageLoader("globalconv.study.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        write=wording,
        numbers=numbers,
        look=looks.__getitem__,
        tone=wording.VERDICT_TONES.__getitem__,
        sign=wording.VERDICT_SIGNS.__getitem__,
        theme=THEME,
        band=_band,
    )
    return environment.get_template("template.html.j2").render(
        answer=answer,
        tasks=[
            (task, slug, for_page(groups_of(task, looks), f"{slug}-"))
            for task, slug in zip(answer.tasks, slugs, strict=True)
        ],
        cost_pictures=for_page(cost_groups(answer, looks), ""),
        flagged=[(task.task, arm.arm, arm.flags) for task in answer.tasks for arm in task.arms if arm.flags],
    )


def _band(estimate: Estimate, decimals: int, *, sign: bool = False) -> Markup:
    """An estimate for a table cell: the mean, and its interval on a line of its own."""
    mean = numbers.signed(estimate.mean, decimals) if sign else numbers.plain(estimate.mean, decimals)
    bounds = wording.interval(estimate, decimals, sign=sign)
    return Markup('<span class="mean">{}</span> <span class="bounds">{}</span>').format(mean, bounds)
