"""The Python API: the commands as functions. Messages name options as the command line does."""
