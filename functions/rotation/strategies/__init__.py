"""Which user's password changes, and who logs in to change it."""
