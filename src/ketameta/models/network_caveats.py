"""What a reader must know before trusting a network meta-analysis, as data."""

from __future__ import annotations

from ketameta.models.network_inconsistency import QDecomposition, SideSplit
from ketameta.models.network_inputs import CONSISTENT, NetworkData
from ketameta.models.results import Caveat
from ketameta.numberformat import format_p, plural, published

#: A p-value below this is worth a sentence: tests of inconsistency have little power (Song et al.
#: 2012, doi:10.1186/1471-2288-12-138).
INCONSISTENCY_P = 0.1


def network_caveats(
    data: NetworkData,
    asked: str,
    method: str,
    tau2: float,
    gap: float | None,
    q: QDecomposition,
    splits: tuple[SideSplit, ...],
) -> tuple[Caveat, ...]:
    """Return the caveats of a network fitted by ``method`` where ``asked`` was wanted."""
    found = []
    if method != asked:
        found.append(
            Caveat(
                "heterogeneity_not_estimable",
                "No comparison is made often enough to estimate heterogeneity; these are"
                " common-effect results, whose intervals leave it out.",
            )
        )
    elif method != "common" and tau2 == 0:
        found.append(
            Caveat(
                "boundary_tau2",
                "Heterogeneity is estimated as zero, the edge of what is possible; that is weak"
                " evidence that there is none.",
            )
        )
    if gap is not None:
        found.append(
            Caveat(
                "several_optima",
                "The likelihood of the heterogeneity has more than one optimum; the best was"
                f" taken, the next is {gap:.3g} log units below it.",
            )
        )
    adjusted = [item.label for item in data.studies if item.inconsistency > CONSISTENT]
    if adjusted:
        found.append(
            Caveat(
                "comparisons_averaged",
                f"The comparisons given for {', '.join(adjusted)} do not add up exactly; they were"
                " averaged within the study.",
            )
        )
    if q.between.df == 0:
        found.append(
            Caveat(
                "consistency_not_testable",
                "There is no loop of comparisons from different designs: that direct and indirect"
                " evidence agree is an assumption here, not a finding.",
            )
        )
    test = q.between_random or q.between
    p_value = published(test.p_value)
    if p_value is not None and p_value < INCONSISTENCY_P:
        found.append(
            Caveat(
                "inconsistency",
                f"Designs disagree ({format_p(p_value)}); read the comparisons one by one.",
            )
        )
    apart = [
        item
        for item in splits
        if item.p_value is not None and published(item.p_value) < INCONSISTENCY_P
    ]
    if apart:
        listed = ", ".join(f"{item.treatment} - {item.control}" for item in apart)
        found.append(
            Caveat(
                "direct_and_indirect_differ",
                f"Direct and indirect evidence differ (p < {INCONSISTENCY_P:g}) for"
                f" {plural(len(apart), 'comparison')}: {listed}.",
            )
        )
    return tuple(found)
