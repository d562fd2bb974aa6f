"""How fast Muniment is beside the fastest known way to store the same rows; see docs/reference/benchmarks.md."""
