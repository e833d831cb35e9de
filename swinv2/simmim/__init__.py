"""Pre-training on images without labels: masked patches are predicted from the others (SimMIM, arXiv:2111.09886)."""
