"""The door of every model: two arrays, an :class:`Effects`, or a frame with column names.

A model stays a function of arrays; :func:`takes_effects` reads what it was given.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, Protocol, TypeVar, overload

import numpy as np

from ketameta.effects.arrays import EffectSize
from ketameta.effects.table import Effects, check_indexes, effect_sizes, index_labels, is_frame
from ketameta.errors import CallError, UsageError, did_you_mean
from ketameta.formatting import first_names, plural
from ketameta.measures import Measure, measure_entry

P = ParamSpec("P")
R = TypeVar("R", covariant=True)
T = TypeVar("T")


class TakesEffects(Protocol[P, R]):
    """A model that takes two arrays, an :class:`Effects`, or a frame with column names."""

    __name__: str

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, effects: Any, /, **options: Any) -> R: ...
    @overload
    def __call__(self, effects: Any, second: Any, /, **options: Any) -> R: ...


#: Columns of two-by-two tables: what models of counts call them, and what effect sizes do.
_COUNTS = {
    "events_t": "events_treatment",
    "n_t": "n_treatment",
    "events_c": "events_control",
    "n_c": "n_control",
}


def takes_effects(*per_study: str) -> Callable[[Callable[P, T]], TakesEffects[P, T]]:
    """Let a model of two arrays (or of the counts of two arms) take effects and frames as well.

    Parameters
    ----------
    *per_study : str
        Parameters with one value per study, which may then be columns of the frame.

    Notes
    -----
    Called with arrays the model is called unchanged, after the indexes of pandas' columns were
    compared. Called with ``Effects`` or ``EffectSize`` their arrays, labels and measure are filled
    in; called with a frame, ``estimate=`` and ``variance=`` (or ``se=``) name its columns, or
    for counts ``events_treatment=`` and so on. ``data=`` is the frame that column names refer to.
    """

    def door(model: Callable[P, T]) -> TakesEffects[P, T]:
        signature = inspect.signature(model)
        names = list(signature.parameters)
        plain: Callable[..., T] = model
        counts = names[0] in ("events_t", "events_treatment")
        indexed = (*names[: 4 if counts else 2], *per_study, "labels")

        takes = list(signature.parameters.values())
        most = sum(item.kind is item.POSITIONAL_OR_KEYWORD for item in takes)
        needed = [item.name for item in takes if item.default is item.empty]

        def check_call(options: Mapping[str, object], *args: object) -> None:
            given = names[: len(args)]
            unknown = options.keys() - names or options.keys() & given
            lacking = [name for name in needed if name not in given and name not in options]
            if len(args) <= most and not unknown and not lacking:
                return
            try:
                signature.bind(*args, **options)
            except TypeError as problem:
                raise _wrong_call(model.__name__, names, options, problem) from None

        @functools.wraps(model)
        def call(*args: Any, **kwargs: Any) -> Any:
            first = args[0] if args else kwargs.get(names[0])
            if isinstance(first, Effects | EffectSize) or is_frame(first):
                filled, effects = _filled(model.__name__, names, counts, per_study, args, kwargs)
                check_call(filled)
                if counts:
                    return plain(**filled)
                return _said(plain(**filled), effects, separate="study" not in names)
            check_call(kwargs, *args)
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            check_indexes(**{name: given[name] for name in indexed if name in given})
            if "labels" in names and "labels" not in given:
                kwargs["labels"] = index_labels(first)
            result = plain(*args, **kwargs)
            if counts or not hasattr(getattr(first, "index", None), "equals"):
                return result
            y, v = (given[name] for name in names[:2])
            frame = y.to_frame("estimates").assign(variances=np.asarray(v))
            effects = effect_sizes(
                frame, estimate="estimates", variance="variances", labels=range(len(frame))
            )
            return _said(result, effects, separate=False)

        return call

    return door


def _wrong_call(
    model: str, names: list[str], given: Iterable[str], problem: TypeError | None = None
) -> CallError:
    """Return an error that names the argument that is wrong, with the nearest that exists."""
    for name in given:
        if name not in names:
            hint = did_you_mean(name, names)
            return CallError(f"{model}() got an unexpected keyword argument {name!r}{hint}")
    advice = ""
    if "missing" in str(problem):
        advice = f"; it takes {', '.join(names[:3])} ..., or effects of km.effect_sizes()"
    return CallError(f"{model}(): {problem}{advice}")


def _filled(
    model: str,
    names: list[str],
    counts: bool,
    per_study: tuple[str, ...],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[dict[str, Any], Effects]:
    """Return all arguments of a model that was given effects or a frame, and its effects."""
    arrays = names[: 4 if counts else 2]
    if args:
        first, rest = args[0], args[1:]
    else:
        first, rest = kwargs[arrays[0]], ()
    named = [name for name in arrays if name not in _COUNTS.values()]
    options = {k: v for k, v in kwargs.items() if k not in named and v is not first}
    for name, value in zip(names[len(arrays) :], rest, strict=False):
        if name in options:
            raise CallError(f"{model}() got multiple values for argument {name!r}")
        options[name] = value
    if len(rest) > len(names) - len(arrays):
        raise CallError(f"{model}() takes at most {len(names)} arguments")
    data = options.pop("data", None)
    effects = _as_effects(first, options, counts, model)
    own = effects.model_arguments()
    said, known = options.get("measure"), own["measure"]
    if said is not None and known is not None and str(said) != known and not counts:
        raise UsageError(f"measure is {str(said)!r}, and the effects are {known.value}")
    if counts and own["measure"] not in (Measure.OR, Measure.RR, Measure.RD):
        del own["measure"]
    if "moderators" in names:
        _fill_moderators(options, effects, data)
    for name in per_study:
        if name in options and name != "moderators":
            options[name] = effects.per_study(name, options[name], data)
    for name, value in own.items():
        if name in names and options.get(name) is None:
            options[name] = value
    if "effect" in names and options.get("effect") is None:
        options["effect"] = _effect_labels(effects, options.get("study"))
    unknown = [name for name in options if name not in names]
    if unknown:
        raise _wrong_call(model, names, unknown)
    if counts:
        lacking = [name for name in _COUNTS.values() if name not in effects.raw]
        if lacking:
            raise UsageError(f"{model}() needs the counts; these effects hold no {lacking[0]}")
        tables = {name: effects.raw[_COUNTS.get(name, name)] for name in arrays}
        return {**options, **tables}, effects
    return {arrays[0]: effects.estimate, arrays[1]: effects.variance, **options}, effects


def _said(result: Any, effects: Effects, *, separate: bool) -> Any:
    """Return a result that keeps its effects and says which share an arm or hold a constant.

    ``separate``: the model takes every effect for a study of its own.
    """
    fields = getattr(result, "__dataclass_fields__", {})
    if "source" in fields:
        result = result.made_of(effects)
    trials = Counter(getattr(effects, "study", ()))
    several = [name for name, contrasts in trials.items() if contrasts > 1]
    if several and separate and "caveats" in fields:
        if "trials" in fields:
            result = dataclasses.replace(result, trials=len(trials))
        give = "gives" if len(several) == 1 else "give"
        result = result.with_caveat(
            "shared_arms",
            f"{first_names(several)} {give} several contrasts that share an arm, each taken here"
            " for a study of its own: people are counted twice; network_meta_analysis() and che()"
            " take the covariance.",
        )
    if not effects.corrected.any() or "caveats" not in fields:
        return result
    who = np.array(effects.labels)[effects.corrected].tolist()
    entry = measure_entry(effects.measure)
    remedy = "another correction= shows how much"
    if entry is not None and entry.of_counts:
        remedy = f"{entry.of_counts} takes counts as they are"
    few = f"{len(who)} of {plural(effects.k, 'study', 'studies')} ({first_names(who)})"
    return result.with_caveat(
        "zero_cells",
        f"A constant was added to the counts of {few}, whose effects depend on it; {remedy}.",
    )


def _as_effects(first: Any, options: dict[str, Any], counts: bool, model: str) -> Effects:
    """Return the effects a model was given, or those that a frame holds."""
    if isinstance(first, Effects):
        return first
    if isinstance(first, EffectSize):
        labels = tuple(f"study {i + 1}" for i in first.positions)
        rows = int(first.positions.max(initial=-1)) + 1
        return Effects(first.estimate, first.variance, labels, first.measure, {},
                       first.positions, rows, corrected=first.corrected)  # fmt: skip
    wanted = tuple(_COUNTS.values()) if counts else ("estimate", "variance", "se")
    columns = {name: options.pop(name) for name in wanted if name in options}
    if not columns:
        names = "events_treatment=, n_treatment=, events_control= and n_control=" if counts else (
            "estimate= and variance=")  # fmt: skip
        raise UsageError(
            f"{model}() was given a frame; name its columns with {names}, or compute effects with"
            " km.effect_sizes(frame, measure, ...) first"
        )
    measure = options.get("measure") or ("OR" if counts else None)
    keep = {"labels": options.pop("labels", None), "missing": options.pop("missing", "refuse")}
    return effect_sizes(first, measure, **keep, **columns)


def _effect_labels(effects: Effects, study: Any) -> tuple[str, ...] | None:
    """Return the labels of effects where they were given and differ within every study."""
    numbered = tuple(f"study {at + 1}" for at in effects.positions)
    if effects.labels == numbered or np.ndim(study) != 1 or len(study) != effects.k:
        return None
    pairs = set(zip(map(str, study), effects.labels, strict=True))
    return effects.labels if len(pairs) == effects.k else None


def _fill_moderators(options: dict[str, Any], effects: Effects, data: Any) -> None:
    """Put a formula, the names of columns or a frame where a regression expects them."""
    moderators = options.get("moderators")
    if isinstance(moderators, str) and moderators.lstrip().startswith("~"):
        if options.get("formula") is not None:
            raise UsageError("a formula is given twice, as moderators and as formula")
        options["formula"], moderators = moderators, None
    if options.get("formula") is not None and moderators is None:
        options["moderators"] = effects.of_frame(data)
        return
    if isinstance(moderators, str):
        moderators = [moderators]
    if isinstance(moderators, list | tuple) and moderators and all(
        isinstance(item, str) for item in moderators
    ):  # fmt: skip
        for name in moderators:
            effects.column(name, "moderators", data)
        options["moderators"] = effects.of_frame(data)[list(moderators)]
    elif is_frame(moderators):
        options["moderators"] = effects.of_frame(moderators)
    elif moderators is not None:
        options["moderators"] = effects.per_study("moderators", moderators, data)
