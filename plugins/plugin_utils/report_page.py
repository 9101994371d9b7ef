# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""A report as one page that needs nothing beside it, and the files of a report on the control node."""

from __future__ import annotations

import json
import os
import typing as t

import jinja2
from ansible.errors import AnsibleError

from .report import Chart, Report, verdict_words
from .role_facts import role_path

TEMPLATE = "report.html.j2"
# Of a curve, in the units of its drawing.
WIDTH, HEIGHT = 120.0, 24.0


def page(report: Report) -> str:
    """HTML. Everything that a server said is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(role_path("monitoring", "templates")),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    return environment.get_template(TEMPLATE).render(
        report=report,
        verdict=report.verdict,
        words=verdict_words(report),
        groups=[(severity, report.of(severity)) for severity in report.severities],
        charts=[drawn(chart) for chart in report.look.charts if chart.rows],
    )


def drawn(chart: Chart) -> dict[str, t.Any]:
    """A chart in numbers that a template only has to write down: percent of the width, points of a curve."""
    full = chart.full or max((max(row.value or 0, row.limit or 0) for row in chart.rows), default=0) or 1
    return {
        "title": chart.title,
        "about": chart.about,
        "curves": any(len(row.points) > 1 for row in chart.rows),
        "bars": any(row.value is not None for row in chart.rows),
        "rows": [
            {
                "label": row.label,
                "text": row.text,
                "severity": row.severity,
                "bar": None if row.value is None else _percent(row.value, full),
                "mark": None if row.limit is None else _percent(row.limit, full),
                "curve": curve(row.points, row.limit),
                "line": limit_line(row.points, row.limit),
            }
            for row in chart.rows
        ],
    }


def _percent(value: float, full: float) -> float:
    return round(100 * max(0.0, min(value / full, 1.0)), 1)


def curve(points: t.Sequence[float], limit: float | None = None) -> str:
    """The points of an SVG polyline; empty for less than two."""
    if len(points) < 2:
        return ""
    top = _top(points, limit)
    step = WIDTH / (len(points) - 1)
    return " ".join(f"{index * step:.1f},{_height(value, top):.1f}" for index, value in enumerate(points))


def limit_line(points: t.Sequence[float], limit: float | None) -> float | None:
    return None if limit is None or len(points) < 2 else round(_height(limit, _top(points, limit)), 1)


def _top(points: t.Sequence[float], limit: float | None) -> float:
    """From zero: a curve that fills its box whatever its size would look like an alarm."""
    return max([*points, limit or 0]) or 1


def _height(value: float, top: float) -> float:
    return HEIGHT - 1 - (HEIGHT - 2) * max(0.0, min(value / top, 1.0))


# --- files ---


def make_folder(folder: str) -> None:
    """For whoever runs the playbook, and nobody else."""
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} is not writable")
    except OSError as error:
        raise AnsibleError(
            f"No report can be written to {folder}: {error}. What to do: make the folder writable for who runs the "
            "playbook, or set maintenance_report_dir (doctor_report_dir) to another one."
        ) from error


def write(folder: str, name: str, report: Report, keep: int) -> str:
    """C(NAME-DAY.json) and C(.html), with C(NAME.json) and C(NAME.html) leading to them. The path of the page."""
    make_folder(folder)
    data = json.dumps(report.as_data(), indent=1, ensure_ascii=False) + "\n"
    for kind, text in (("json", data), ("html", page(report))):
        dated = f"{name}-{report.made[:10]}.{kind}"
        _write(os.path.join(folder, dated), text)
        _lead(os.path.join(folder, f"{name}.{kind}"), dated)
    _forget(folder, name, keep)
    return os.path.join(folder, f"{name}.html")


def earlier(folder: str, name: str, before: str) -> dict[str, t.Any]:
    """The newest report of an earlier day, as data; empty where there is none, or none that can be read."""
    days = sorted(file[len(name) + 1 : -5] for file in _dated(folder, name, ".json"))
    found = [day for day in days if day < before[:10]]
    if not found:
        return {}
    try:
        with open(os.path.join(folder, f"{name}-{found[-1]}.json"), encoding="utf-8") as handle:
            return dict(json.load(handle))
    except (OSError, ValueError):
        return {}


def _dated(folder: str, name: str, ending: str) -> list[str]:
    try:
        files = os.listdir(folder)
    except OSError:
        return []
    return [file for file in files if file.startswith(f"{name}-") and file.endswith(ending)]


def _forget(folder: str, name: str, keep: int) -> None:
    for ending in (".json", ".html"):
        for file in sorted(_dated(folder, name, ending))[:-keep]:
            os.remove(os.path.join(folder, file))


def _write(path: str, text: str) -> None:
    """Whole or not at all, and for nobody else: host names and loads are nobody's business."""
    scratch = f"{path}.new"
    with open(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    os.replace(scratch, path)


def _lead(path: str, target: str) -> None:
    scratch = f"{path}.new"
    if os.path.lexists(scratch):
        os.remove(scratch)
    os.symlink(target, scratch)
    os.replace(scratch, path)
