"""Networks of classifiers, and the way to compute them for many looks at once."""
