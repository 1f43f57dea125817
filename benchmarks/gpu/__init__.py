"""What one GPU shows of this code, in two commands; every line of both can be run on a CPU too."""
