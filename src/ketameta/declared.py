"""Typed values read from a person's TOML file: field types that explain, every problem at once.

Knows no file of the project: what may stand in one is said by the models that inherit
:class:`Table`.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeGuard, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from ketameta.errors import did_you_mean

#: Longer lists of words are not printed in a message; the near match and the place are enough.
_MOST_CHOICES = 20
#: The kind of our own problems: the text follows the path of the key.
_BY_PATH = "by_path"

Known = Mapping[str, Sequence[str]]
#: Where something stands in a file: names of tables and of the key, numbers of entries of lists.
Place = tuple[str | int, ...]
Model = TypeVar("Model", bound="Table")
#: One text or several.
_Said = TypeVar("_Said", str, tuple[str, ...])


class Table(BaseModel):
    """A table of a file: frozen, and closed to keys that do not exist.

    Defaults are checked too, so that the one of a key that is needed says what is missing.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", arbitrary_types_allowed=True, validate_default=True
    )

    def to_dict(self) -> Any:
        """Return the fields by name; values that are tables stay tables."""
        return dict(self)


class Problem(NamedTuple):
    """What is wrong, beginning with its key, and where it stands; found by its key without."""

    text: str
    place: Place = ()


def problem(text: str) -> PydanticCustomError:
    """Return an error whose text follows the path of the key, as in ``model.level is 95; ...``."""
    return PydanticCustomError(_BY_PATH, "{text}", {"text": text})


def as_written(value: object) -> str:
    """Return a value as TOML writes it, texts in single quotes.

    Examples
    --------
    >>> as_written([True, "a", {"b": 1.5}])
    "[true, 'a', { b = 1.5 }]"
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(as_written, value))}]"
    if isinstance(value, dict):
        pairs = ", ".join(f"{name} = {as_written(item)}" for name, item in value.items())
        return f"{{ {pairs} }}" if pairs else "{}"
    return repr(value) if isinstance(value, (str, int, float)) else str(value)


def validate(
    model: type[Model], raw: Mapping[str, object], known: Known | None = None
) -> tuple[Model, list[Problem]]:
    """Return a table and everything wrong with it; wrong values are replaced by their defaults.

    Parameters
    ----------
    model : type of Table
        Every field has a default, so that rules across fields can be tried whatever is wrong.
    raw : mapping
        As read.
    known : mapping, optional
        Words that the data use, by the name of the field that asks for them.
    """
    context = {"known": known or {}, "lenient": False}
    try:
        return model.model_validate(raw, context=context), []
    except ValidationError as error:
        details = error.errors(include_url=False)
    kept: Any = dict(raw)
    for detail in details:
        kept = _without(kept, detail["loc"])
    problems = [Problem(_sentence(model, detail), detail["loc"]) for detail in details]
    try:
        value = model.model_validate(kept, context={**context, "lenient": True})
    except ValidationError:
        value = model.model_validate({}, context={**context, "lenient": True})
    return value, problems


def _without(value: Any, place: Place) -> Any:
    """Return a copy without the key, or the item of a list, that ``place`` leads to."""
    key, *rest = place or ("",)
    if isinstance(value, (list, tuple)) and isinstance(key, int) and rest:
        return [_without(item, tuple(rest)) if i == key else item for i, item in enumerate(value)]
    if not isinstance(value, dict) or key not in value:
        return value
    inner = value[key]
    if rest and isinstance(inner, (dict, list)) and (isinstance(inner, dict) or len(rest) > 1):
        return {**value, key: _without(inner, tuple(rest))}
    return {name: item for name, item in value.items() if name != key}


def _sentence(model: type[Table], detail: ErrorDetails) -> str:
    """Return one problem as a line: key, value, choices and the nearest one."""
    place = [str(part) for part in detail["loc"] if not isinstance(part, int)]
    path, value = ".".join(place), detail["input"]
    context = detail.get("ctx", {})
    match detail["type"]:
        case "by_path":
            return f"{path}{context['text']}"
        case "extra_forbidden":
            allowed = sorted(_keys(model, place[:-1]))
            hint = did_you_mean(place[-1], allowed)
            return f"{path}: no such key{hint} (allowed: {', '.join(allowed)})"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"[{path}]: a table is needed"
        case "tuple_type":
            return f"{path}: write [[{path}]] tables"
        case "missing":
            return f"{path}: is missing"
        case _:
            return f"{path} is {as_written(value)}; {detail['msg'][:1].lower()}{detail['msg'][1:]}"


def _keys(model: Any, place: Sequence[str]) -> Iterator[str]:
    """Yield the keys that a table at ``place`` may have."""
    for part in place:
        model = _table_in(
            model.model_fields[part].annotation if part in model.model_fields else None
        )
        if model is None:
            return
    for name, field in model.model_fields.items():
        yield field.alias or name


def _table_in(annotation: Any) -> Any:
    """Return the table that a type is, holds or may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table_in(part))), None)


# --- types of fields ------------------------------------------------------------------------------


def one_of(choices: Sequence[str]) -> BeforeValidator:
    """Return the check of a word against a fixed list."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if is_lenient(info) and value == "":
            return value
        if not isinstance(value, str) or value not in choices:
            hint = did_you_mean(str(value), choices)
            raise problem(f" is {as_written(value)}; choose one of {', '.join(choices)}{hint}")
        return value

    return BeforeValidator(check)


def _words(value: Any) -> tuple[str, ...]:
    if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
        raise problem(": a list of texts is needed; write them in brackets, as in ['a', 'b']")
    return tuple(value)


#: A list of words, whatever they are.
Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def words_of(
    choices: Sequence[str] | None = None,
    *,
    least: str = "",
    said_by: str = "the tables in data/ use",
) -> AfterValidator:
    """Return the check of a word or a list; without choices they are those known of the field.

    Parameters
    ----------
    choices : sequence of str, optional
    least : str
        What is said of an empty list that may not be empty.
    said_by : str
        Where the words come from that are known, for messages.
    """

    def check(value: _Said, info: ValidationInfo) -> _Said:
        allowed = choices
        if allowed is None and info.context:
            allowed = info.context["known"].get(info.field_name)
        for item in filter(None, [value] if isinstance(value, str) else value):
            if allowed is not None and item not in allowed:
                hint, words = did_you_mean(item, allowed), _choices(allowed, said_by)
                raise problem(f": {item!r} is not known{hint} ({words})")
        if least and not value and not is_lenient(info):
            raise problem(f": {least}")
        return value

    return AfterValidator(check)


def _choices(allowed: Sequence[str], said_by: str) -> str:
    """Return the allowed words, or where to read them when they are many."""
    if not allowed:
        return f"{said_by} none"
    if len(allowed) <= _MOST_CHOICES:
        return f"choose from {', '.join(sorted(allowed))}"
    return f"one of the {len(allowed)} words that {said_by}"


def is_lenient(info: ValidationInfo) -> bool:
    """Return whether defaults are let through: wrong values were said and left out."""
    return bool(info.context and info.context["lenient"])


def needed(text: str = ": a text is needed") -> BeforeValidator:
    """Return the check of a text that may not be empty; ``text`` says what is missing."""

    def check(value: Any, info: ValidationInfo) -> Any:
        if is_lenient(info) and value == "":
            return value
        if not (isinstance(value, str) and value.strip()):
            raise problem(text)
        return value

    return BeforeValidator(check)


#: A text that may not be empty.
NeededText = Annotated[str, needed()]


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise problem(": a text is needed")
    return value


#: A text that may be empty.
Text = Annotated[str, BeforeValidator(_text)]


def is_day(text: str) -> bool:
    """Return whether a text is a day of the calendar, written YYYY-MM-DD."""
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _day(value: Any, info: ValidationInfo) -> Any:
    day = str(value) if isinstance(value, (str, datetime.date)) else ""
    if not is_day(day) and not (is_lenient(info) and value == ""):
        raise problem(f" is {as_written(value)}; write a day of the calendar as YYYY-MM-DD")
    return day


#: A day, as a text or as TOML writes a date.
Day = Annotated[str, BeforeValidator(_day)]


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value is a finite number; true and false are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if not is_number(value):
        raise problem(f" is {as_written(value)}; a number is needed")
    return float(value)


Number = Annotated[float, BeforeValidator(_number)]
OptionalNumber = Annotated[float | None, *Number.__metadata__]


def number_where(holds: Callable[[float], bool], what: str) -> AfterValidator:
    """Return the check of a number; ``what`` says which one is needed."""

    def check(value: float | None) -> float | None:
        if value is not None and not holds(value):
            raise problem(f" is {value:g}; {what}")
        return value

    return AfterValidator(check)


_above_none = number_where(lambda number: number > 0, "a number above 0 is needed")
Positive = Annotated[Number, _above_none]
OptionalPositive = Annotated[OptionalNumber, _above_none]


def numbers_between(low: float, high: float) -> BeforeValidator:
    """Return the check of a list of numbers strictly between two bounds, or of one number."""

    def check(value: Any) -> tuple[float, ...]:
        values = value if isinstance(value, (list, tuple)) else [value]
        if not values or not all(is_number(item) and low < item < high for item in values):
            raise problem(
                f" is {as_written(value)}; a list of numbers between {low:g} and {high:g} is needed"
            )
        return tuple(float(item) for item in values)

    return BeforeValidator(check)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise problem(f" is {as_written(value)}; true or false is needed")
    return value


Flag = Annotated[bool, BeforeValidator(_flag)]
