"""How fast the operator is here: against others' ways to the same result, and against what the machine can do."""
