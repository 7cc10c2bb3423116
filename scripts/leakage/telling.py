"""What an audit of leakage found, in words: for the screen, and for the page."""

from __future__ import annotations

from collections.abc import Iterator

from domicile.leakage.membership import LOW_RATES, AttackResult
from scripts.leakage.audit import LeakageReport
from scripts.wording import counted


def lines_of(report: LeakageReport) -> Iterator[str]:
    """A line for each finding."""
    found = report.membership
    yield (
        f"job {report.job}, {report.name!r}, audited by {report.node}: {counted(found.num_members, 'row')} inside, "
        f"{counted(found.num_outsiders, 'row')} outside, {counted(found.num_shadows, 'shadow model')}"
    )
    for name, result in attacks_of(report):
        yield f"membership, {name}: {told(result)}"
    yield canary_line(report)
    yield (
        f"pictures from one update of digits, similarity to the true ones (by a guess: "
        f"{report.inversion.guess_ssim:.2f}): "
        + ", ".join(f"{one.setting.value} {one.mean_ssim:.2f}" for one in report.inversion.recovered)
    )


def attacks_of(report: LeakageReport) -> list[tuple[str, AttackResult]]:
    """Each attack on membership, by what it looks at."""
    found = report.membership
    return [
        ("released models", found.released),
        ("simulated: a single update", found.update),
        ("simulated: models of a federation", found.merged),
    ]


def told(result: AttackResult) -> str:
    """An attack's figures."""
    area = result.area
    rates = (
        f"{hit:.1%} found at {rate:.1%} false alarms{'' if rate >= result.least_rate else ' (none, so few rows)'}"
        for hit, rate in zip(result.at_low_rates, LOW_RATES, strict=True)
    )
    return f"AUC {area.value:.3f} ({area.low:.3f} to {area.high:.3f}), {', '.join(rates)}"


def canary_line(report: LeakageReport) -> str:
    """The lower bound of ε and what it says of the claim."""
    if report.canaries is None:
        return "canaries: none asked for"
    bound = report.canaries.bound
    measured = (
        f"ε is at least {bound.epsilon:.2f} at δ = {bound.delta:g}, with {bound.confidence:.0%} confidence "
        f"({bound.num_correct:,} of {bound.num_guesses:,} guesses right; {bound.num_canaries:,} canaries could show "
        f"{bound.ceiling:.2f} at most)"
    )
    if report.canaries.claimed is None:
        return f"canaries: {measured}; the job claims no ε"
    if report.canaries.holds:
        return f"canaries: {measured}; the claim is {report.canaries.claimed:.2f} at most, and stands"
    return f"canaries: {measured}; THE CLAIM OF {report.canaries.claimed:.2f} AT MOST IS REFUTED"
