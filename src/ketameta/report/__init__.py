"""The report: every number of the prose by name, from results; HTML and manifest."""
