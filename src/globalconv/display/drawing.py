"""The parts of matplotlib that are used, imported whatever MPLBACKEND says: figures are drawn without a backend."""

import os
from contextlib import suppress

# A notebook passes on the backend of its own environment. If that is not installed here, importing matplotlib
# fails. So the variable is set after the import, as matplotlib does, for users who open windows in this process.
_backend = os.environ.pop("MPLBACKEND", None)
import matplotlib  # noqa: E402

if _backend is not None:
    os.environ["MPLBACKEND"] = _backend
if _backend:
    with suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend
from matplotlib import rc_context, rcdefaults, rcParams  # noqa: E402
from matplotlib.axes import Axes  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.ticker import FixedLocator, Locator, LogLocator, MaxNLocator  # noqa: E402
from matplotlib.transforms import Bbox  # noqa: E402

__all__ = [
    "Axes",
    "Bbox",
    "Figure",
    "FixedLocator",
    "Line2D",
    "Locator",
    "LogLocator",
    "MaxNLocator",
    "rcParams",
    "rc_context",
    "rcdefaults",
]
