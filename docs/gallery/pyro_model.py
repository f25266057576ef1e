"""
# EIG of a Pyro model

Where there is a model of the experiment, nothing needs to be learned: any Pyro program gives the
EIG of its designs. Here: which dose to give next, when the outcome is a yes or a no, and threshold
and slope of the response are unknown.
"""

import matplotlib.pyplot as plt
import pyro
import pyro.distributions as dist
import torch

from boed.eig import model_eig


def response(dose):
    with pyro.plate_stack("plate", dose.shape[:-1]):
        threshold = pyro.sample("threshold", dist.Normal(0.0, 1.0))
        slope = pyro.sample("slope", dist.LogNormal(1.0, 0.5))
        logits = slope * (dose[..., 0] - threshold)
        pyro.sample("answer", dist.Bernoulli(logits=logits))


doses = torch.linspace(-3, 3, 25)[:, None]

# %%
# About both unknowns, two bounds from the same draws enclose the EIG: prior contrastive estimation
# from below, its upper twin from above. Each estimate says which bound it is. Thirty contrasts
# are few, so that the gap can be seen; it closes as they grow.

both = {"observation": "answer", "target": ["threshold", "slope"], "samples": 8000, "contrasts": 30}
lower = model_eig(response, doses, "pce", **both)
upper = model_eig(response, doses, "snmc", **both)
print(f"bounds: {lower.bound}, {upper.bound}; best dose {float(lower.best):.2f}")

# %%
# About the threshold alone the slope is a nuisance. `infonce` learns a critic and needs only draws.

alone = model_eig(
    response, doses[::3], "infonce", observation="answer", target="threshold", steps=200
)

figure, axis = plt.subplots(figsize=(6, 3.6), layout="constrained")
for found, label in ((lower, "both, lower bound"), (upper, "both, upper bound")):
    axis.plot(found.designs[:, 0], found.eig, label=label)
axis.errorbar(
    alone.designs[:, 0], alone.eig, 2 * alone.standard_error, fmt="o", ms=3, label="threshold alone"
)
axis.set(xlabel="dose", ylabel="EIG (nats)")
axis.legend(frameon=False)
plt.show()
