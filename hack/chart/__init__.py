"""What of the Helm chart is generated: definitions, settings, schema of the values, their table."""
