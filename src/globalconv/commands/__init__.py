"""The commands of the command line, one file each: their options, and the function that does the work."""
