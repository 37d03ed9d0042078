"""The page: one file that opens from a mail, without network, fonts or scripts of its own. And a notebook's cell."""

import base64
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from globalconv.display import numbers
from globalconv.display.palette import THEME
from globalconv.study.report import terminal, wording
from globalconv.study.report.figures import cost_groups, for_page, groups_of
from globalconv.study.report.looks import looks_of
from globalconv.study.schema import Estimate, StudyAnswer


def page(answer: StudyAnswer, slugs: Sequence[str]) -> str:
    """The whole report as HTML; ``slugs`` names the tasks in anchors. All text of the answer is escaped."""
    looks = looks_of(answer)
    return _rendered(
        "template.html.j2",
        answer,
        look=looks.__getitem__,
        tone=wording.VERDICT_TONES.__getitem__,
        theme=THEME,
        band=_band,
        tasks=[
            (task, slug, for_page(groups_of(task, looks), f"{slug}-"))
            for task, slug in zip(answer.tasks, slugs, strict=True)
        ],
        cost_pictures=for_page(cost_groups(answer, looks), ""),
        flagged=[(task.task, arm.arm, arm.flags) for task in answer.tasks for arm in task.arms if arm.flags],
    )


def notebook_html(answer: StudyAnswer, summary: bytes | None) -> str:
    """A notebook's cell: each task's verdict, sentence and arms, and the picture of the answer, ``summary``, an SVG."""
    picture = base64.b64encode(summary).decode() if summary else ""
    return _rendered("cell.html.j2", answer, summary=picture, cell=terminal)


def _rendered(template: str, answer: StudyAnswer, **names: Any) -> str:
    """A template beside this module, with all text escaped."""
    environment = Environment(
        loader=PackageLoader("globalconv.study.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(
        write=wording, numbers=numbers, sign=wording.VERDICT_SIGNS.__getitem__, **names
    )
    return environment.get_template(template).render(answer=answer)


def _band(estimate: Estimate, decimals: int, *, sign: bool = False) -> Markup:
    """An estimate for a table cell: the mean, and its interval on a line of its own."""
    mean = numbers.signed(estimate.mean, decimals) if sign else numbers.plain(estimate.mean, decimals)
    bounds = wording.interval(estimate, decimals, sign=sign)
    return Markup('<span class="mean">{}</span> <span class="bounds">{}</span>').format(mean, bounds)
