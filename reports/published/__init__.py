"""What others have printed, as data with its provenance, and how it is read; nothing that was measured here."""
