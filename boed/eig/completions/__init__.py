"""EIG of a look from completions and a classifier (Harvey et al. 2021, Eq. 17)."""
