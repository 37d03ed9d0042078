"""``python -m globalconv``."""

import os
import sys

# Python puts the current folder first here: no file that happens to lie in it may hide a library.
if not sys.flags.safe_path and sys.path[:1] == [os.getcwd()]:  # noqa: PTH109  # nor may pathlib.py
    del sys.path[0]

from globalconv.cli import main

main()
