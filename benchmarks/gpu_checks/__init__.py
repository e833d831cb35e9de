"""What `benchmarks.gpu_check` looks at, most valuable first."""
