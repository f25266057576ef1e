"""What may be there: stochastic completers p(scene | observation)."""

from boed.completion.classical.gaussian import GaussianMixture
from boed.completion.classical.retrieval import Retrieval
from boed.completion.completer import Completer, Completions, complete
from boed.completion.learned import LearnedCompleter
from boed.completion.registry import load_completer
from boed.completion.vae.aipo import AIPO
from boed.completion.vae.vdvae import VDVAE, VDVAEConfig

__all__ = [
    "AIPO",
    "VDVAE",
    "Completer",
    "Completions",
    "GaussianMixture",
    "LearnedCompleter",
    "Retrieval",
    "VDVAEConfig",
    "complete",
    "load_completer",
]
