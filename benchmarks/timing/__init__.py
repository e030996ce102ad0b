"""What latency and throughput time, and how: workloads, backends, fresh processes, the machine's limits."""
