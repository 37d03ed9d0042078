"""What Python users call: the commands as functions. A message names an option as the command line does."""
