"""What `doctor` looks at: each check reads, and says what it found wrong."""
