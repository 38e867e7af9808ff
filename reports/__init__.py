"""RECORD: what was measured, where and with what: the schema, the ledger, how evidence is kept and shown."""
