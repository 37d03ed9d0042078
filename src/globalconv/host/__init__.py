"""The machine: the cores, memory and devices that a process may use, its description, and atomic files."""
