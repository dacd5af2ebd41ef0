"""Benchmarks of training, batches and exports, and what they are compared with."""
