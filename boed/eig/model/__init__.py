"""What a design is worth, from a Pyro model: estimators of its expected information gain."""
