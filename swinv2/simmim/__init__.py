"""SimMIM (arXiv:2111.09886): pre-training on images without labels by prediction of masked patches."""
