"""Workload controllers' kinds: apps, batch and ReplicationController."""
