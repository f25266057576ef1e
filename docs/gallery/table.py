"""
# A table as data

A row of a table is a scene, a feature is a look, and each look has a price. Which measurement is
worth its money next? Here: breast masses with thirty features of cell nuclei, malignant or benign.
The completer is a Gaussian mixture with one component for each class; the classifier is boosted
trees that know what it is not to know a feature, calibrated on the val rows.
"""

import matplotlib.pyplot as plt
import torch

import boed
from boed.classifiers.tabular import TabularClassifier
from boed.completion import GaussianMixture
from boed.data import load
from boed.data.readers.tables import feature_names
from boed.policies import FirstLook
from boed.sensors import Features

train, val, test = (load("breast_cancer", None, split) for split in ("train", "val", "test"))
names = feature_names("breast_cancer")
print(f"{len(train)} rows to fit, {len(test)} to measure on, {len(names)} features")

# %%
# Features that start with "mean" cost 1, the others, such as "worst area", cost 2. With `per_cost`
# the policy takes the look of highest information per price.

prices = [1.0 if name.startswith("mean") else 2.0 for name in names]
sensor = Features(names, costs=prices)
mixture = GaussianMixture(train, components="classes", noise=0.1)
classifier = TabularClassifier(train, val)
first = FirstLook(n=100)  # what decides before anything is known
policies = {
    "boed": boed.BOED(mixture, classifier, first_look=first),
    "boed, per cost": boed.BOED(mixture, classifier, per_cost=True, first_look=first),
    "random": boed.Random(),
}

figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for label, policy in policies.items():
    run = boed.acquire(test.scenes(), sensor, policy, steps=5, classifier=classifier)
    truth = test.labels[:, None, None].expand(-1, run.log_beliefs.shape[1], 1)
    nll = -run.log_beliefs.gather(2, truth)[..., 0].mean(0)
    paid = torch.cat([torch.zeros(1), run.costs.mean(0).cumsum(0)])
    axis.plot(paid, nll, "o-", label=label)
    first = run.designs[:, 0, 0].long().mode().values
    right = (run.log_beliefs[:, -1].argmax(-1) == test.labels).float().mean()
    print(f"{label:15s} first look mostly {names[first]!r}; right after 5 looks: {right:.3f}")
axis.set(xlabel="mean price paid for a row", ylabel="NLL of the diagnosis (nats)")
axis.legend(frameon=False)
plt.show()
