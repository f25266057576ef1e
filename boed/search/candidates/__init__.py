"""Which of finitely many candidates are evaluated, and how well."""
