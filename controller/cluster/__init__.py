"""The API server, as the controller uses it. Knows nothing of Docker or of the ledger."""
