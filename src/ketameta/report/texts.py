"""Standing paragraphs that the page and the PDF share. No number is typed here."""

from __future__ import annotations

#: How things were done, as paragraphs; ``{level}`` is the level of the intervals.
METHODS: tuple[str, ...] = (
    "Results are extracted arm by arm as sources print them, each with its place in the source. "
    "Effect sizes are derived by code; the route of each is recorded. Standardised mean "
    "differences are Hedges' g with the exact small-sample correction and the large-sample "
    "variance, turned so that negative favours the treatment. Arms of one intervention are "
    "combined; comparisons that share an arm are joined with their covariance; nobody is counted "
    "twice. Reports that repeat or pool other trials never stand beside them.",
    "Effects are pooled in random-effects models by restricted maximum likelihood. The interval "
    "is the wider of the Knapp\u2013Hartung and the Wald interval, at {level}. The between-trial "
    "variance has a Q-profile interval. Prediction intervals use a t distribution with two "
    "degrees of freedom fewer than trials. A single trial is shown as it is; two trials get no "
    "prediction interval. Each main result is refitted by an independent implementation and the "
    "largest difference is printed. The published abstracts were known when the questions were "
    "declared.",
    "Change scores and endpoint scores never meet in one standardised analysis. Crossover trials "
    "enter as paired effects. For counts, half an event is added to each cell of a table with an "
    "empty cell; Mantel\u2013Haenszel and Peto results without it stand beside. Moderators need "
    "two trials per level. Where an assumption is made, the analysis says so, and the same "
    "analysis without it stands beside.",
    "Certainty is described domain by domain after GRADE: facts are computed, judgements are made "
    "by people, and there is no rating until every domain is judged. Beside each main result "
    "stand all combinations of the choices that could be defended, and which of them matters. "
    "Where few or no trials exist, the size of a next trial is worked out with the noncentral t "
    "distribution, its chances are averaged over what related trials suggest, and the pooled "
    "interval is refitted for every result it may have. Levels of a moderator that share trials "
    "are not tested against each other; where trials are few a permutation test stands beside, and "
    "all moderator tests are adjusted together by the method of Holm.",
)
NO_RISK_OF_BIAS = (
    "Risk of bias has not been judged for any study: most were read as abstracts or tables, which "
    "do not show how a trial was run. Companion analyses limited to double-blind trials stand "
    "beside the main results."
)
CHECK = (
    "Open any trial under a forest plot of the page to see the extracted cells, where they stand "
    "in the source, and the arithmetic. Every pooled number shows its formula and a line of R "
    "that repeats it. With the project at hand, one command rebuilds everything from the tables "
    "and compares it with what is published."
)
TITLE = "Ketamine for ADHD: what is known, and what is not"
LEAD = (
    "A living meta-analysis. Every number is computed from extracted trial results that anyone "
    "can open, check and recompute."
)
