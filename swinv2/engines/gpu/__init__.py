"""Blocks on a GPU: by kernels (Triton), each checked before its first use, else by PyTorch's operators."""
