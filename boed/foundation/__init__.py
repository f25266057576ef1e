"""What everything stands on: files, checksums of content, random numbers, registries, checks."""
