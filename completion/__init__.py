"""What may be there: stochastic completers p(scene | observation)."""

from completion.aipo import AIPO
from completion.completer import Completer, Completions, complete
from completion.gaussian import GaussianMixture
from completion.learned import LearnedCompleter
from completion.registry import load_completer
from completion.retrieval import Retrieval
from completion.vdvae import VDVAE, VDVAEConfig

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
