"""How fast the operator is here, against other implementations and the machine's roofline: `globalconv bench`."""
