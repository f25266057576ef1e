"""
# The EIG map of a worked scene

One patch of a digit has been seen. AIPO samples what the rest may be; for every candidate look and
every sample, the classifier says what it would believe. The mean gain over the samples is the
expected information gain of the look, Eq. 17 of Harvey et al. 2021 and its kin.
"""

import matplotlib.pyplot as plt
import torch
from matplotlib.patches import Rectangle

from boed.classifiers import DenseNetClassifier
from boed.completion import complete, load_completer
from boed.data import Observation, load
from boed.eig import eig_map
from boed.foundation.shipped import shipped
from boed.sensors import PatchSensor

classifier = DenseNetClassifier.load(shipped("densenet-digits-32"))
completer = load_completer(shipped("aipo-digits-32"))
sensor = PatchSensor(32, patch=0.25, grid=17)
scene = load("digits", 32, "test").scenes([2])
seen = sensor.observe(Observation.nothing(1, 1, 32), scene, torch.tensor([[6, 12]]))
completions = complete(completer, seen, 16, seed=0)

# %%
# Two estimators on the same completions: Eq. 17 as printed, and the Barber-Agakov bound, which also
# charges beliefs that are sharp and wrong. Each comes with its standard error over completions.

maps = {
    name: eig_map(seen, completions, sensor, classifier=classifier, estimator=name)
    for name in ("entropy", "variational")
}
for name, found in maps.items():
    best = found.eig[0].argmax()
    error = found.standard_error[0, best]
    print(
        f"{name:12s} ({found.bound}): best look at {found.best[0].tolist()},",
        f"{found.eig[0, best]:.2f} ± {error:.2f} nats",
    )

# %%
# A map is drawn over the top-left corners of the looks; a square is the look that it chooses.

figure, axes = plt.subplots(1, 6, figsize=(12, 2.4))
titles = ["scene (hidden)", "seen", "two completions", ""]
for axis, image, title in zip(
    axes, [scene[0, 0], seen.values[0, 0], *completions.scenes[:2, 0, 0]], titles, strict=False
):
    axis.imshow(image, cmap="gray", vmin=0, vmax=1)
    axis.set_title(title, fontsize=9)
for axis, (name, found), colour in zip(axes[4:], maps.items(), ("orange", "red"), strict=True):
    side = round(len(found.designs) ** 0.5)
    axis.imshow(found.eig[0].reshape(side, side), extent=(-0.5, 24.5, 24.5, -0.5))
    row, column = found.best[0].tolist()
    axes[0].add_patch(Rectangle((column - 0.5, row - 0.5), 8, 8, fill=False, ec=f"tab:{colour}"))
    axis.plot(column, row, "s", ms=7, mfc="none", mec=f"tab:{colour}")
    axis.set_title(f"EIG, {name}", fontsize=9)
for axis in axes:
    axis.axis("off")
plt.show()
