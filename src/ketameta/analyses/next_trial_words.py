"""Sentences about a next trial."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ketameta.analyses.next_trial_design import test_words
from ketameta.numberformat import (
    format_count,
    format_interval,
    format_number,
    format_percent,
    plural,
)


def next_trial_sentences(result: Mapping[str, Any]) -> list[str]:
    """Return what a next trial would need and do, in words."""
    sentences = [
        _size_sentence(result),
        *(_prior_sentence(prior, result) for prior in result["priors"]),
    ]
    if result["after"]:
        sentences += _after_sentences(result)
    elif not result["n_trials"]:
        sentences.append(_no_trial_sentence())
    return sentences


def _size_sentence(result: Mapping[str, Any]) -> str:
    declared = result["declared"]
    sizes = [
        f"{format_count(item['exact'])} people per arm ({format_count(item['total'])} in all) for "
        f"{format_percent(item['power'])} power"
        for item in result["sample_size"]
    ]
    between = " between the effects in two groups" if declared["design"] == "groups" else ""
    words = declared["difference_words"]
    what = words if declared["design"] == "risks" else f"a difference of {words}{between}"
    return (
        f"To detect {what} a trial of two equal arms needs {' or '.join(sizes)} "
        f"({test_words(declared['design'], declared['alpha'])})."
    )


def _prior_sentence(prior: Mapping[str, Any], result: Mapping[str, Any]) -> str:
    name = f"“{prior['title']}”"
    if prior["withheld"]:
        return f"{name} has no trial that could say what to expect."
    interval = format_interval(prior["low"], prior["high"])
    text = (
        f"If the new treatment acts like one more trial of {name} "
        f"({plural(prior['k'], 'trial')}; expected effect {format_number(prior['median'])}, "
        f"from {interval}), "
    )
    first = prior["sizes"][0]
    exact = result["sample_size"][0]["exact"]
    shown = dict(zip(prior["assurance"]["n_per_arm"], prior["assurance"]["assurance"], strict=True))
    nearest = min(shown, key=lambda n: (abs(int(n) - exact), int(n)))
    text += (
        f"a trial of {format_count(nearest)} per arm has a chance of "
        f"{format_percent(shown[nearest])} to show benefit"
    )
    if first["n_per_arm"] is None:
        wanted, limit = format_percent(first["assurance"]), format_percent(prior["limit"])
        if first["assurance"] < prior["limit"]:
            return f"{text}; no trial that can be done gives {wanted}."
        return f"{text}; no size gives {wanted}, as there is any benefit with a chance of {limit}."
    return text + (
        f"; {format_percent(first['assurance'])} needs {format_count(first['n_per_arm'])} per arm."
    )


def _no_trial_sentence() -> str:
    return (
        "There is no trial to add to: the new one would be the evidence, and its own power is "
        "what counts."
    )


def _after_sentences(result: Mapping[str, Any]) -> list[str]:
    after = result["after"]
    index = next(
        i
        for i, item in enumerate(after["scenarios"])
        if item["true_effect"] == result["declared"]["important_difference"]
    )
    exact = result["sample_size"][0]["exact"]
    middle = min(after["rows"], key=lambda row: (abs(row["n_per_arm"] - exact), row["n_per_arm"]))
    last = after["rows"][-1]
    trials = plural(after["k"], "trial")
    sentences = [
        f"Added to the {trials} there {'is' if after['k'] == 1 else 'are'}, a trial of "
        f"{format_count(middle['n_per_arm'])} per arm makes the pooled interval exclude no effect "
        f"with a chance of {format_percent(middle['outlooks'][index]['p_benefit'])} when the true "
        f"mean effect is the important difference; one of {format_count(last['n_per_arm'])} per "
        f"arm with {format_percent(last['outlooks'][index]['p_benefit'])}."
    ]
    ranges = last["benefit_if_between"]
    if len(ranges) == 1 and all(abs(end) < float("inf") for end in ranges[0]):
        low, high = ranges[0]
        sentences.append(
            f"With {format_count(last['n_per_arm'])} per arm its own result would have to lie "
            f"between {format_number(low)} and {format_number(high)}: one further out would set "
            "the trials apart and widen the interval."
        )
    return sentences
