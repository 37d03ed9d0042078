"""What ``globalconv cost`` does: read what is asked for, measure it, and print, draw and write what was found."""
