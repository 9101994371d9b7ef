# Copyright: opswatch.monitoring contributors
# SPDX-License-Identifier: GPL-3.0-or-later
# PRIVATE to the collection: no promise is made to others.
"""What was looked at and found, and how it reads: on a terminal, for a program, and as one page for people."""

from __future__ import annotations

import textwrap
import typing as t

# The worst first. A note asks for nothing now: a proposal, or a check that was left out.
SEVERITIES = ("broken", "warning", "note", "ok")
COUNTED = {"broken": "broken", "warning": "warnings", "note": "notes", "ok": "ok"}
WIDTH = 100
SHOWN = 3  # of what comes of the same cause; the report has all of it
LINES = 34  # of a terminal, less what Ansible says around it


class Finding(t.NamedTuple):
    """One thing that a check found; one that found nothing says so with the severity ok.

    C(peer): the service on the other side, as 'loki of mon1', where that is not the finding's own; C(follows): what
    else comes of the same cause, one a line.
    """

    check: str
    severity: str
    host: str
    component: str
    what: str
    evidence: str = ""
    cause: str = ""
    fix: str = ""
    peer: str = ""
    follows: str = ""


class Row(t.NamedTuple):
    """A line of a chart: a bar up to C(value) with a mark at C(limit), and C(points) as they changed."""

    label: str
    text: str
    value: float | None = None
    limit: float | None = None
    points: t.Sequence[float] = ()
    severity: str = "ok"


class Chart(t.NamedTuple):
    title: str
    rows: t.Sequence[Row]
    about: str = ""
    full: float = 0  # what a whole bar stands for; the largest value if it is 0


class Look(t.NamedTuple):
    """What one look brought. C(state) is kept for the next report, to compare with."""

    findings: t.Sequence[Finding] = ()
    charts: t.Sequence[Chart] = ()
    state: t.Mapping[str, t.Any] = {}

    def __add__(self, other: object) -> Look:
        if not isinstance(other, Look):
            return NotImplemented
        return Look(
            [*self.findings, *other.findings], [*self.charts, *other.charts], {**dict(self.state), **other.state}
        )

    def as_data(self) -> dict[str, t.Any]:
        """Plain data: what travels through Ansible's results and stands in the report's JSON."""
        charts = [{**chart._asdict(), "rows": [_row(row) for row in chart.rows]} for chart in self.charts]
        return {"findings": [one._asdict() for one in self.findings], "charts": charts, "state": dict(self.state)}

    @classmethod
    def from_data(cls, data: t.Mapping[str, t.Any]) -> Look:
        charts = [Chart(**{**chart, "rows": [Row(**row) for row in chart["rows"]]}) for chart in data["charts"]]
        return cls([Finding(**one) for one in data["findings"]], charts, data["state"])


class Report(t.NamedTuple):
    """C(made): when, as ISO 8601 in UTC. C(severities): those that it knows, and counts."""

    title: str
    made: str
    look: Look
    severities: tuple[str, ...] = SEVERITIES

    @property
    def findings(self) -> list[Finding]:
        """The worst first; what belongs together stays together."""
        return sorted(self.look.findings, key=lambda one: SEVERITIES.index(one.severity))

    def of(self, severity: str) -> list[Finding]:
        return [one for one in self.look.findings if one.severity == severity]

    @property
    def summary(self) -> dict[str, int]:
        return {COUNTED[severity]: len(self.of(severity)) for severity in reversed(self.severities)}

    @property
    def verdict(self) -> str:
        """The worst severity that somebody has to act on, else ok."""
        return next((severity for severity in ("broken", "warning") if self.of(severity)), "ok")

    def as_data(self) -> dict[str, t.Any]:
        data = self.look.as_data()
        return {
            "title": self.title,
            "made": self.made,
            "summary": self.summary,
            **data,
            "findings": [_told(one) for one in self.findings],
        }


def _told(one: Finding) -> dict[str, str]:
    """As the report has it: whom it is about besides its own is of interest only until all looks are put together."""
    return {key: value for key, value in one._asdict().items() if key != "peer" and (value or key != "follows")}


def _row(row: Row) -> dict[str, t.Any]:
    return {**row._asdict(), "points": list(row.points)}


def counted(number: int, one: str, many: str = "") -> str:
    """'1 rule', '2 rules'."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def listed(names: t.Iterable[str], most: int = 5) -> str:
    """The first names of several, and how many more there are."""
    known = list(names)
    rest = f" and {len(known) - most} more" if len(known) > most else ""
    return ", ".join(known[:most]) + rest


def verdict_words(report: Report) -> str:
    summary = report.summary
    parts = [f"{summary['broken']} broken"] if summary["broken"] else []
    parts += [counted(summary["warnings"], "warning")] if summary["warnings"] else []
    return ", ".join(parts) or "All well"


def terminal(report: Report, where: str = "", lines: int = LINES) -> str:
    """The report on one screen: what is wrong and what to do in full, the rest as far as there is room."""
    head = f"{report.title}, {report.made}: {verdict_words(report)}"
    body: list[str] = []
    left_out = 0
    room = lines - 4
    for one in report.findings:
        if one.severity == "ok":
            continue
        said = _said(one)
        if len(body) + len(said) > room:
            left_out += 1
            continue
        body += said
    if left_out:
        body.append(f"  ... and {left_out} more in the report")
    fine = report.of("ok")
    if fine:
        body += _wrapped(f"ok       {listed((one.what for one in fine), 4)}", 9)
    return "\n".join([head, "=" * min(len(head), WIDTH), *body, *([f"Report: {where}"] if where else [])])


def titled(one: Finding) -> str:
    """What was found, with its host if that does not name it."""
    return f"{one.host}: {one.what}" if one.host and one.host not in one.what else one.what


def _said(one: Finding) -> list[str]:
    lines = _wrapped(f"{one.severity:8} {titled(one)}", 9)
    if one.severity != "note":
        more = (one.evidence, one.cause, _with_it(one.follows.splitlines()), f"-> {one.fix}" if one.fix else "")
        lines += [line for text in more if text for line in _indented(text)]
    return lines


def _with_it(others: t.Sequence[str]) -> str:
    rest = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
    return f"Of the same cause: {'; '.join(others[:SHOWN])}{rest}" if others else ""


def _wrapped(text: str, indent: int) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)


def _indented(text: str) -> list[str]:
    short = textwrap.shorten(text, 2 * (WIDTH - 9), placeholder=" ...")
    return [f"{'':9}{line}" for line in _wrapped(short, 0)]
