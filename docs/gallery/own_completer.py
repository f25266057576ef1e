"""
# Your own completer

A completer is any class with `sample(observation, n, seed)`: n scenes that agree with what was
seen, `[n, B, C, H, W]`. This one draws at random among the fifty training digits nearest in the
pixels seen. It is compared with the AIPO network that ships with the package.
"""

import matplotlib.pyplot as plt
import torch

import boed
from boed.classifiers import DenseNetClassifier
from boed.completion import Retrieval, load_completer
from boed.data import Observation, load
from boed.foundation.shipped import shipped
from boed.policies import FirstLook
from boed.sensors import PatchSensor


class Neighbours:
    def __init__(self, library, among=50):
        self.scenes, self.among = library.scenes(), among  # [M, 1, H, W]

    def sample(self, observation, n, seed=0):
        seeds = seed if isinstance(seed, list) else [seed] * len(observation)
        drawn = []
        for values, mask, own in zip(observation.values, observation.mask, seeds, strict=True):
            distance = ((self.scenes - values) ** 2 * mask).sum((1, 2, 3))
            generator = torch.Generator().manual_seed(own)
            shuffled = distance + 1e-6 * torch.rand(len(distance), generator=generator)
            nearest = shuffled.topk(self.among, largest=False).indices
            chosen = torch.randint(self.among, (n,), generator=generator)
            drawn.append(self.scenes[nearest[chosen]])
        return observation.composite(torch.stack(drawn, dim=1))  # puts the seen pixels in


# %%
# What either says of the rest of a digit of which one patch was seen.

library, test = load("digits", 32, "train"), load("digits", 32, "test")
completers = {
    "neighbours": Neighbours(library),
    "aipo": load_completer(shipped("aipo-digits-32")),
}
sensor = PatchSensor(32, patch=0.25, grid=7)
scene = test.scenes([4])
seen = sensor.observe(Observation.nothing(1, 1, 32), scene, torch.tensor([[12, 12]]))
figure, axes = plt.subplots(2, 7, figsize=(10, 3.2))
for row, (name, completer) in zip(axes, completers.items(), strict=True):
    images = [seen.values[0, 0], *completer.sample(seen, 6, seed=0)[:, 0, 0]]
    for axis, image in zip(row, images, strict=True):
        axis.imshow(image, cmap="gray", vmin=0, vmax=1)
        axis.axis("off")
    row[0].set_title(f"seen; {name}", fontsize=9)
plt.show()

# %%
# What they lead to: completions serve decisions. For the first look, when nothing has been seen,
# both take images of the training set, as in the paper. Thirty-two scenes are enough to see that it
# works, not to say which is better.

classifier = DenseNetClassifier.load(shipped("densenet-digits-32"))
for name, completer in completers.items():
    run = boed.acquire(
        test.scenes(slice(32)),
        sensor,
        boed.BOED(completer, classifier, first_look=FirstLook(Retrieval(library))),
        steps=3,
        classifier=classifier,
    )
    right = (run.log_beliefs.argmax(-1) == test.labels[:32, None]).float().mean(0)
    print(f"{name:10s} right after 0 to 3 looks:", " ".join(f"{share:.2f}" for share in right))
