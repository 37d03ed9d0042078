"""The answer in a notebook's cell: each task's verdict and sentence, its arms, and the picture of the answer."""

import base64

from jinja2 import Environment, StrictUndefined

from globalconv.display.numbers import decimals_for
from globalconv.study.report import wording
from globalconv.study.report.terminal import difference_text, metric_text
from globalconv.study.schema import StudyAnswer

_CELL = """
<div>
{% for task in answer.tasks %}
<p><strong>{{ task.task }}: {{ sign(task.verdict) }} {{ task.verdict }}.</strong> {{ task.sentence }}</p>
{% set digits = decimals_for(task.margin) %}
<table>
<thead><tr><th>arm</th><th>{{ task.metric }}</th><th>against {{ task.rival }} (+ is better)</th>
<th>verdict</th></tr></thead>
<tbody>
{% for arm in task.arms %}
<tr><td>{{ arm.arm }}</td><td>{{ metric_text(arm, digits) }}</td><td>{{ difference_text(arm, digits) }}</td>
<td>{{ sign(arm.verdict) }} {{ arm.verdict }}</td></tr>
{% endfor %}
</tbody>
</table>
{% endfor %}
{% if summary %}
<img alt="Each arm's difference to {{ answer.tasks[0].rival }}" src="data:image/svg+xml;base64,{{ summary }}">
{% endif %}
{% if answer.unfinished %}<p>Unfinished: {{ answer.unfinished }}</p>{% endif %}
</div>
"""


def notebook_html(answer: StudyAnswer, summary: bytes | None) -> str:
    """The cell's HTML; ``summary`` is the picture as SVG. All text of the answer is escaped."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return environment.from_string(_CELL).render(
        answer=answer,
        summary=base64.b64encode(summary).decode() if summary else "",
        sign=wording.VERDICT_SIGNS.__getitem__,
        decimals_for=decimals_for,
        metric_text=metric_text,
        difference_text=difference_text,
    )
