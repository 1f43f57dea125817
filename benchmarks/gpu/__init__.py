"""What one GPU shows of this code, in two commands; both can be tried on a CPU."""
