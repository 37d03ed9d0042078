"""The version, where every module can read it: the package's front door names modules of all floors."""

__version__ = "0.1.0"
