"""
# Lines of k-space on digits

A magnetic resonance scanner reads lines of the image's Fourier transform, one after the other.
Which line next? The sensor sees no pixels, so a classifier is shown the zero-filled reconstruction,
and completions must agree with readings. A Gaussian mixture with one component for each digit does
both exactly: it needs only the sensor's linear operator, `forward`.
"""

import matplotlib.pyplot as plt

import boed
from boed.completion import GaussianMixture
from boed.data import load
from boed.policies import FirstLook
from boed.sensors import KSpaceLines

train, test = load("digits", 28, "train"), load("digits", 28, "test")
sensor = KSpaceLines((28, 28))
mixture = GaussianMixture(
    train, components="classes", factors=32, noise=0.1, transform=sensor.forward
)
policy = boed.BOED(mixture, mixture, first_look=FirstLook(n=50))

# %%
# Lines k and 28 - k carry the same information, since the scenes are real. The first lines are near
# the middle, where the power is, and the same for all scenes at first.

scenes, labels = test.scenes(slice(8)), test.labels[:8]
run = boed.acquire(scenes, sensor, policy, steps=3, classifier=mixture)
print("lines of the first four scenes:", run.designs[:4, :, 0].long().tolist())
for step, belief in enumerate(run.log_beliefs.unbind(1)):
    right = (belief.argmax(-1) == labels).float().mean()
    print(f"{step} lines: right for {right:.2f} of {len(labels)} digits")

# %%
# One digit: the EIG of each line, and the zero-filled reconstruction after it was read.

figure, axes = plt.subplots(2, 3, figsize=(9, 5), height_ratios=[1, 1.4])
for step in range(3):
    decision, line = run.decisions[step], int(run.designs[0, step, 0])
    # the first decision is one for all scenes
    scores = decision.scores[0]
    axes[0, step].plot(decision.candidates[:, 0], scores)
    axes[0, step].axvline(line, color="tab:red", lw=1)
    axes[0, step].set(xlabel="line", title=f"look {step + 1}: line {line}")
    axes[1, step].imshow(run.observations[step + 1].values[0, 0], cmap="gray")
    axes[1, step].axis("off")
axes[0, 0].set_ylabel("EIG (nats)")
figure.tight_layout()
plt.show()
