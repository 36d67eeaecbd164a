"""What was found about a loss: as an object, as numbers for a program, and as text for a person."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass

__all__ = ["Finding", "Report"]

WIDTH = 96


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    `about`     what: "gradient", "kinks", "compiled" ...
    `verdict`   "ok"; "wrong"; "mind": true and harmless mostly, but to be known; "note": what is missing or was left out
    `text`      one or two sentences
    `evidence`  the numbers behind it: the point (y, f), what was expected there, what was found ...
    """

    about: str
    verdict: str
    text: str
    evidence: dict

    def __str__(self):
        return f"{self.about}: {self.verdict}: {self.text}"


class Report:
    """The findings about a loss, to iterate over. `str` is the report for a person."""

    def __init__(self, loss, findings):
        self.loss, self.findings = loss, tuple(findings)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.having("wrong")

    def having(self, verdict: str) -> list[Finding]:
        """The findings with this verdict."""
        return [finding for finding in self.findings if finding.verdict == verdict]

    def about(self, what: str) -> list[Finding]:
        """The findings about one thing."""
        return [finding for finding in self.findings if finding.about == what]

    def __iter__(self):
        return iter(self.findings)

    def __len__(self):
        return len(self.findings)

    def to_dict(self) -> dict:
        """The report as text, numbers and lists; what is not finite is text."""
        return {"loss": " ".join(repr(self.loss).split()), "ok": self.ok, "findings": [
            {"about": f.about, "verdict": f.verdict, "text": f.text, "evidence": f.evidence} for f in self.findings]}

    def __str__(self):
        wrong, mind = (len(self.having(verdict)) for verdict in ("wrong", "mind"))
        said = f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong" if wrong else "nothing is wrong"
        title = " ".join(f"{self.loss!r}: {said}{f', {mind} to mind' if mind else ''}".split())
        lines, before = textwrap.wrap(title, WIDTH, subsequent_indent="    "), None
        for finding in self.findings:
            about = finding.about if finding.about != before else ""
            first = f"  {about:<10} {'WRONG' if finding.verdict == 'wrong' else finding.verdict:<6} "
            lines += textwrap.wrap(finding.text, WIDTH, initial_indent=first, subsequent_indent=" " * len(first),
                                   break_on_hyphens=False, break_long_words=False)
            before = finding.about
        return "\n".join(lines)

    __repr__ = __str__
