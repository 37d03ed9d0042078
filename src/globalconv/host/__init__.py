"""The machine a process runs on: cores, memory and devices it may use, its facts, and files written whole."""
