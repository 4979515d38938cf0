"""The agent: one per Docker host, it owns the host's engine, launch gate and ledger."""
