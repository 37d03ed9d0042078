"""Measures what things cost on this machine: one harness for `globalconv bench` (the operator) and `globalconv cost`
(the mixers), and for a study's cost curves.

Timing is interleaved, counting runs on tensors without memory, and every record, plot and crossover is of one kind.
"""
