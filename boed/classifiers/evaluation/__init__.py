"""How good beliefs are: by looks, under shift, by region, and how far scenes are from training."""
