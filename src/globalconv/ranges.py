"""The ranges of the numbers in files, so that whoever computes with them need not ask."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(ge=1, le=2**53)]
"""At least one, and exact as a float."""
Number = Annotated[int, Field(ge=0, le=2**53)]
Seconds = Annotated[float, Field(ge=0, le=1e10)]
"""At most three hundred years."""
Some = Annotated[float, Field(gt=0, le=1e30)]
"""More than nothing."""
Rate = Annotated[float, Field(ge=1e-100, le=1e100)]
"""A learning rate. A sweep that widens stays finite."""
Amount = Annotated[float, Field(ge=0, le=1e30)]
Score = Annotated[float, Field(ge=-1e100, le=1e100)]
"""A loss or a metric: any float32 has room here, and differences and sums do not overflow."""
