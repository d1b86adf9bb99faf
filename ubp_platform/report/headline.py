"""The headline of the page: the result of an evaluation in words."""

from ubp_platform.evaluation.scores import Average, RepresentationInfo, Scores
from ubp_platform.report.svg import signed

_KINDS = {"profile": "the profile", "block": "the best block", "baseline": "the best baseline"}


def headline(scores: Scores) -> dict[str, str]:
    """Describe the result of an evaluation.

    Returns
    -------
    dict
        ``verdict``: the comparison with the best other representation; ``details``: the score, and
        its difference from the best representation of each other kind. A difference whose interval
        includes 0 does not count; and with one seed nothing is called best.
    """
    subject = scores.subject
    # The profile's own compact form does not compete with it.
    others = [i for i in scores.ranked() if i.name != subject.name and i.kind != "compact"]
    total, count = scores.score(subject.name), len(scores.tasks)
    over = "on one task" if count == 1 else f"in the sum of {count} tasks"
    scored = f"It scores {total.mean:.3f}{_noise(scores, total)} {over}"
    if not others:
        verdict = f"There is nothing to compare {display_name(subject)} with."
        return {"verdict": verdict, "details": f"{scored}."}
    comparisons = []
    for kind, what in _KINDS.items():
        best = next((info for info in others if info.kind == kind), None)
        if best:
            comparisons.append(_comparison(scores, subject.name, best.name, what))
    return {
        "verdict": _capitalized(_verdict(scores, subject, others[0])),
        "details": f"{scored}: {', and '.join(comparisons)}.",
    }


def display_name(info: RepresentationInfo) -> str:
    """Return the name of a representation within a sentence."""
    return "the profile" if info.kind == "profile" else f"“{info.name}”"


def _verdict(scores: Scores, subject: RepresentationInfo, best: RepresentationInfo) -> str:
    name, other = display_name(subject), display_name(best)
    several = len(scores.seeds) > 1
    sign = scores.gain(subject.name, best.name).sign
    if sign > 0:
        return f"{name} is best." if several else f"{name} is ahead of {other}."
    if sign < 0:
        return f"{name} is not {'best here' if several else 'ahead'}: {other} is."
    return f"{name} is level with {other}."


def _capitalized(text: str) -> str:
    return text[0].upper() + text[1:]


def _comparison(scores: Scores, one: str, other: str, what: str) -> str:
    gain = scores.gain(one, other)
    named = what if what.endswith(other) else f"{what}, “{other}”"
    interval = f"95%: {signed(gain.low)} to {signed(gain.high)}".replace(" ", "\xa0")
    if gain.sign == 0:
        return f"level with {named} ({signed(gain.mean)}; {interval})"
    where = "ahead of" if gain.sign > 0 else "behind"
    return f"{abs(gain.mean):.3f} {where} {named} ({interval})"


def _noise(scores: Scores, average: Average) -> str:
    """Format the deviation over several seeds, joined to its score by no-break spaces."""
    return f" ± {average.deviation:.3f}".replace(" ", "\xa0") if len(scores.seeds) > 1 else ""
