"""The suites: each measures one aspect and returns samples or rows for the report."""
