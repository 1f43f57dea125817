"""Speed beside plain PyTorch; nothing in the package depends on it."""
