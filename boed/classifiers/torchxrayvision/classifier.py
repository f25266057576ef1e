"""torchxrayvision's DenseNet-121 as a classifier of whole images, and as a start for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.torchxrayvision.weights import KIND, SIZE
from boed.data.labels import absent_or_present
from boed.data.observation import Observation
from boed.foundation.checks import check_fits
from boed.foundation.files import load_weights

ANY = "any"
"""The finding that is there as soon as one of the others is."""

_RANGE = 2048.0
"""Units of torchxrayvision's pixels from black, -1024, to white."""

_ABSENCES = ("normal", "no finding", "healthy", "negative")
_OUTPUT = "classifier."


class TorchXRayVisionClassifier(DenseNetClassifier):
    """Whole-image beliefs of a published network: a reference, not trained on partly seen scenes.

    Scenes become what torchxrayvision reads: pixels in [-1024, 1024], bilinearly resized to 224,
    with 0, the middle grey, where nothing was seen. Beliefs are its outputs, in which a
    pathology's operating threshold is one half; they are not calibrated, least of all those of
    partly seen scenes. `any` is as likely as the likeliest of the other findings.

    Args:
        path: of the weights (`boed.classifiers.torchxrayvision.weights.fetch_weights`).
        label_names: pathologies, perhaps with `any`; or one of them and its absence.
        multi_label: whether several findings can hold at once.
        size: width of the scenes in pixels.
        argument: what the classifier was given for, in error messages.

    Raises:
        ValueError: a finding that the network has no answer for.
    """

    thresholds: Tensor

    def __init__(
        self,
        path: Path | str,
        label_names: tuple[str, ...],
        *,
        multi_label: bool,
        size: int,
        argument: str = "classifier",
    ) -> None:
        tensors, header = load_weights(path, KIND)
        findings, self._present = _findings(label_names, multi_label)
        columns = _columns(findings, header["pathologies"])
        check_question(
            header["weights"],
            header["pathologies"],
            label_names,
            multi_label=multi_label,
            argument=argument,
        )
        config = DenseNetConfig(
            size=SIZE, channels=1, outputs=2 * len(findings), kind="densenet121"
        )
        super().__init__(config, tuple(label_names), multi_label)
        network = self.network.state_dict()
        _start_output(network, findings, 1, columns, tensors)
        self.network.load_state_dict({**network, **_start_features(tensors, config)})
        self._any = tuple(each not in columns for each in findings)
        thresholds = [header["thresholds"][columns[f]] if f in columns else 0.5 for f in findings]
        self.register_buffer("thresholds", torch.tensor(thresholds))
        self.provenance = {key: header[key] for key in ("kind", "weights", "url", "sha256")}
        self._config = replace(config, size=size)
        self.ready()

    def read(self, observation: Observation) -> Float[Tensor, "B 2 224 224"]:
        """What the network reads: values and mask, zero where unseen, at its own resolution."""
        config = self.config
        check_fits("classifier", config, observation, name="observation")
        read = observation.network_input(config.mean, config.std, reconstruction=True)
        if config.size != SIZE:
            read = F.interpolate(read, size=(SIZE, SIZE), mode="bilinear", antialias=True)
        return read.contiguous(memory_format=torch.channels_last)

    def answers(self, out: Float[Tensor, "B F"]) -> Tensor:
        """Log-probabilities `[B, K]` or `[B, L, 2]` of what the network returned."""
        absent, score = out.unflatten(1, (-1, 2)).unbind(-1)
        answers = _at_threshold(score - absent, self.thresholds)
        known = torch.tensor([not each for each in self._any], device=out.device)
        likeliest = answers[:, known, 1].argmax(1)
        answers = torch.where(
            known[:, None], answers, answers[:, known][torch.arange(len(out)), likeliest][:, None]
        )
        if self.multi_label:
            return answers
        return answers[:, 0] if self._present else answers[:, 0].flip(-1)

    def save(self, path: Path | str, provenance: dict[str, Any]) -> None:
        """Not for published weights.

        Raises:
            ValueError: always.
        """
        raise ValueError(
            f"{self.provenance['weights']} is published and has no checkpoint here; train one from "
            f"it with `--init {self.provenance['weights']}`"
        )


def check_question(
    name: str,
    pathologies: Sequence[str],
    label_names: Sequence[str],
    *,
    multi_label: bool,
    argument: str,
) -> None:
    """Refuse findings that a published network has no answer for.

    Args:
        name: of the weights.
        pathologies: what its outputs stand for.
        label_names, multi_label: what is asked.
        argument: what the name was given for.

    Raises:
        ValueError: naming the findings and all pathologies.
    """
    findings, _ = _findings(label_names, multi_label)
    columns = _columns(findings, pathologies)
    unknown = [each for each in findings if each not in columns and each != ANY]
    if unknown or not columns:
        raise ValueError(
            f"{argument}: {name} answers {', '.join(filter(None, pathologies))}, each with its "
            f"absence; not {', '.join(unknown or label_names)}"
        )


def start_weights(
    model: DenseNetClassifier, tensors: Mapping[str, Tensor], header: Mapping[str, Any]
) -> dict[str, Tensor]:
    """A network for partly seen scenes that says of whole ones what the published network says.

    Where nothing was seen the published network reads 0. Answers that it has no pathology for
    begin as they are in `model`.

    Args:
        model: to be trained, a DenseNet-121 of grey scenes.
        tensors, header: of the published weights.
    """
    network = model.network.state_dict()
    findings, present = _findings(model.label_names, model.multi_label)
    columns = _columns(findings, header["pathologies"])
    _start_output(network, findings, present, columns, tensors)
    return {**network, **_start_features(tensors, model.config)}


def _start_features(tensors: Mapping[str, Tensor], config: DenseNetConfig) -> dict[str, Tensor]:
    """Features that read cat(values, mask), zero where unseen, as theirs read pixels.

    2048 (x - 1/2) = 2048 std (x - mean) / std + 2048 (mean - 1/2), the summand from the mask.
    """
    features = {name: each for name, each in tensors.items() if not name.startswith(_OUTPUT)}
    pixels = features["features.conv0.weight"]
    scales = _RANGE * config.std, _RANGE * (config.mean - 0.5)
    features["features.conv0.weight"] = torch.cat([pixels * each for each in scales], dim=1)
    return features


def _start_output(
    network: Mapping[str, Tensor],
    findings: Sequence[str],
    present: int,
    columns: Mapping[str, int],
    tensors: Mapping[str, Tensor],
) -> None:
    """Give each finding's two answers their logits: 0 if absent, the pathology's if present."""
    for name in (f"{_OUTPUT}weight", f"{_OUTPUT}bias"):
        for row, finding in enumerate(findings):
            if finding in columns:
                network[name][2 * row + 1 - present] = 0
                network[name][2 * row + present] = tensors[name][columns[finding]]


def _findings(label_names: Sequence[str], multi_label: bool) -> tuple[tuple[str, ...], int]:
    """What is asked, each there or not, and which of the two answers says that it is there.

    Of several classes, no such thing is asked.
    """
    if multi_label:
        return tuple(label_names), 1
    if len(label_names) == 2:
        for present, (absence, finding) in ((1, label_names), (0, label_names[::-1])):
            if absence in absent_or_present(finding) or absence.lower() in _ABSENCES:
                return (finding,), present
    return (), 1


def _columns(findings: Sequence[str], pathologies: Sequence[str]) -> dict[str, int]:
    """The network's output for each finding that it knows by name, however that is written."""

    def written(name: str) -> str:
        return name.lower().replace("_", " ").replace("-", " ")

    known = {written(each): column for column, each in enumerate(pathologies) if each}
    return {each: known[written(each)] for each in findings if written(each) in known}


def _at_threshold(
    score: Float[Tensor, "B L"], threshold: Float[Tensor, " L"]
) -> Float[Tensor, "B L 2"]:
    """Log-probabilities of absent and present, rescaled so that the threshold is one half.

    p / 2t up to the threshold t, and 1 - (1 - p) / 2(1 - t) beyond (torchxrayvision's `op_norm`).
    """
    less = F.logsigmoid(score) - (2 * threshold).log()
    more = F.logsigmoid(-score) - (2 * (1 - threshold)).log()
    below = (score < threshold.logit())[..., None]
    rest = torch.stack([torch.log1p(-less.exp()), torch.log1p(-more.exp())])
    return torch.where(
        below, torch.stack([rest[0], less], dim=-1), torch.stack([more, rest[1]], dim=-1)
    )
