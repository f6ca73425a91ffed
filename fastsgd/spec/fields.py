"""The values a spec's keys may have: words, numbers with limits, lists; each with its remedy in a message."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

LARGEST_STEP = 2**48
INDEPENDENT = "independent"

Spectrum = Literal["logspace", "linspace", "loguniform"]
Basis = Literal["identity", "random", "rotation"]
Scheme = Literal["exact", "euler"]
Precision = Literal["double", "single"]
Family = Literal["logistic", "probit", "poisson", "linear", "huber"]
Truth = Literal["logistic", "probit"]


def about(text: str, **limits: Any) -> Any:
    """A field's limits and its remedy: what a message says to give."""
    return Field(description=text, **limits)


Positive = Annotated[float, about("a positive number, such as 0.01", gt=0)]
NotNegative = Annotated[float, about("a number that is not negative, such as 0.0", ge=0)]
Seed = Annotated[int, about("an integer from 0 to 2^64 - 1, such as 20261123", ge=0, le=2**64 - 1)]
Count = Annotated[int, about("a whole number, such as 1000", ge=1, le=2**40)]
StepNumber = Annotated[int, about("a step number, such as 1000", ge=0, le=LARGEST_STEP)]
Name = Annotated[str, about("a text without line breaks", min_length=1, pattern=r"^[^\x00-\x1f\x7f]+$")]
FileName = Annotated[str, about("the name of a file", min_length=1, pattern=r"^[^\x00]+$")]
Values = Annotated[list[Any], about("a list of values, such as [0.01, 0.005]", min_length=1)]
Flag = Annotated[bool, about("true or false")]
Swept = Annotated[
    Annotated[Values, Tag("<values>")] | Annotated[Flag, Tag("<flag>")],
    Discriminator(lambda value: "<flag>" if isinstance(value, bool) else "<values>"),
]
"""What stands in a sweep: a list of values of a key, or its switch `independent`."""
Numbers = Annotated[tuple[float, ...], about("a list of numbers, such as [1.0, 2.0]", strict=False, min_length=1)]
