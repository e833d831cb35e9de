"""Window attention and the ends of branches in Triton, and how the kernels are started."""
