"""The contract that every token mixer keeps, as checks to run on any mixer: ``check_mixer``."""

from globalconv.mixers.contract.check import CHECKS, check_mixer

__all__ = ["CHECKS", "check_mixer"]
