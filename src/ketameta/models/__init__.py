"""Statistical models: estimates and intervals as frozen values that print themselves."""
