"""``python -m globalconv``."""

from globalconv.cli import main

main()
