"""A session's looks and belief as DICOM, for a viewer. Research output. Needs the extra `dicom`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import torch
from highdicom import pr, sr
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from boed.foundation.arguments import checked
from boed.foundation.files import atomic
from boed.sensors.reading import pixels_of
from boed.sensors.sensor import box_of, candidate_masks
from boed.session import Look, Session

RESEARCH = "boed research output, not for diagnosis"
"""What every file says of itself."""

_MAKER: dict[str, Any] = {
    "manufacturer": "boed",
    "manufacturer_model_name": "boed.Session",
    "device_serial_number": "0",
}
_NO_UNIT = codes.UCUM.NoUnits
_MODALITY = ("ModalityLUTSequence", "RescaleSlope", "RescaleIntercept", "RescaleType")
_INTEREST = (
    "VOILUTSequence", "WindowCenter", "WindowWidth", "WindowCenterWidthExplanation",
    "VOILUTFunction",
)  # fmt: skip
_CLOSED = [(0, 0), (0, 1), (1, 1), (1, 0), (0, 0)]
"""Corners of a box, down and right."""


@dataclass(frozen=True)
class DicomFiles:
    """What was written.

    Attributes:
        report: structured report (Comprehensive SR, TID 1500): the belief, and each look with its
            region, EIG and cost.
        looks: presentation state (GSPS): the looks drawn on the image, and the belief in words.
        seen: secondary capture of what was seen, which both refer to where no image was given.
    """

    report: Path
    looks: Path
    seen: Path | None


@checked
@torch.no_grad()
def write_dicom(
    session: Session,
    folder: Path | str,
    *,
    answers: Sequence[str] | None = None,
    image: Path | str | None = None,
) -> DicomFiles:
    """Write a session's looks and belief as DICOM.

    Regions are the boxes around the pixels that a look shows; the whole image where it shows none.
    Vetoed and replaced looks are left out. The report is partial and unverified, and every file
    says that it is research output.

    Args:
        session: which looks and which belief.
        folder: made if it is not there; files of an earlier call are replaced.
        answers: names of the answers, or of the findings; their numbers if not given.
        image: the DICOM file of one grey frame whose parts the looks read. Patient and study are
            its own. What was seen is written as an image of no patient if not given.

    Raises:
        ValueError: another number of answers, or an image that is no DICOM file of one grey frame,
            has other proportions than the scene, or lacks what a reference to it needs.
        OSError: the folder cannot be written.
    """
    with session.lock:
        belief, looks = session.belief(), _shown(session.looks)
        seen, boxes = session.observation, [_box(session, look) for look in looks]
    probabilities = (belief[:, 1] if belief.ndim == 2 else belief).tolist()
    names = [str(each) for each in (range(len(probabilities)) if answers is None else answers)]
    if len(names) != len(probabilities):
        raise ValueError(f"answers are {len(names)}, expected {len(probabilities)} names")
    believed = dict(zip(names, probabilities, strict=True))
    values = seen.values[0]
    pixels = (values.mean(0) if len(values) == 3 else values[0]).clamp(0, 1) * seen.mask[0, 0]
    source = _capture(pixels.cpu().numpy()) if image is None else _image(Path(image), seen.shape)
    scale = (int(source.Rows) / seen.shape[0], int(source.Columns) / seen.shape[1])
    corners = [_corners(box, scale) for box in boxes]
    try:
        files = {
            "report": _report(source, looks, corners, believed),
            "looks": _drawn(source, looks, corners, believed),
        }
    except AttributeError as error:
        raise ValueError(f"image {image} lacks what DICOM references need: {error}") from error
    if image is None:
        files["seen"] = source
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    written = {name: _write(content, out / f"{name}.dcm") for name, content in files.items()}
    return DicomFiles(written["report"], written["looks"], written.get("seen"))


def _shown(looks: Sequence[Look]) -> list[Look]:
    return [each for each in looks if each.status in ("taken", "failed", "pending")]


def _box(session: Session, look: Look) -> tuple[int, int, int, int]:
    sensor, seen, design = session.sensor, session.observation, torch.tensor([look.design])
    if pixels_of(sensor, seen, design[0]) is None:
        return (0, 0, *seen.shape)
    return box_of(candidate_masks(sensor, seen, design)[0])


def _corners(box: tuple[int, int, int, int], scale: tuple[float, float]) -> NDArray[np.float64]:
    """The closed outline of a box in the image, `[5, 2]` of column and row."""
    top, left, height, width = box
    outline = [(left + right * width, top + down * height) for down, right in _CLOSED]
    return np.array(outline, dtype=float) * (scale[1], scale[0])


def _image(path: Path, shape: tuple[int, int]) -> Dataset:
    """The image that the looks are parts of."""
    try:
        image = pydicom.dcmread(path)
    except (OSError, pydicom.errors.InvalidDicomError) as error:
        raise ValueError(f"image {path} is not a readable DICOM file: {error}") from error
    rows, columns = int(image.get("Rows") or 0), int(image.get("Columns") or 0)
    frames, samples = int(image.get("NumberOfFrames") or 1), image.get("SamplesPerPixel")
    if not rows or not columns or frames != 1 or samples != 1:
        raise ValueError(
            f"image {path} has {rows} x {columns} pixels, {frames} frames and {samples} samples a "
            "pixel, expected one grey frame"
        )
    if abs(rows * shape[1] - columns * shape[0]) > max(rows, columns):
        raise ValueError(
            f"image {path} is {rows} x {columns} (rows x columns), expected the proportions of "
            f"the scene, {shape[0]} x {shape[1]}"
        )
    image.decode()  # to characters, whichever bytes they were
    image.SpecificCharacterSet = "ISO_IR 192"
    return image


def _capture(pixels: NDArray[np.float32]) -> Dataset:
    """What was seen, black elsewhere, as an image of no patient."""
    capture = hd.sc.SCImage(
        pixel_array=np.round(pixels * 255).astype(np.uint8),
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=hd.UID(),
        manufacturer=_MAKER["manufacturer"],
        patient_orientation=("L", "F"),
        **_instance(1),
    )
    capture.PatientOrientation, capture.Laterality = [], ""  # which nobody knows
    return _marked(capture)


def _report(
    source: Dataset,
    looks: Sequence[Look],
    corners: Sequence[NDArray[np.float64]],
    belief: dict[str, float],
) -> Dataset:
    """TID 1500: the belief as a group of measurements, each look as one of a region."""
    algorithm = sr.AlgorithmIdentification(name="boed.Session", version=_version())
    device = sr.DeviceObserverIdentifyingAttributes(uid=hd.UID(), name=RESEARCH)
    observer = sr.ObserverContext(
        observer_type=codes.DCM.Device, observer_identifying_attributes=device
    )
    groups: list[Any] = [
        sr.MeasurementsAndQualitativeEvaluations(
            tracking_identifier=sr.TrackingIdentifier(hd.UID(), "belief"),
            algorithm_id=algorithm,
            measurements=[
                _measured(f"answer{number}", f"probability of {name}", probability)
                for number, (name, probability) in enumerate(belief.items())
            ],
        )
    ]
    for look, outline in zip(looks, corners, strict=True):
        measured = [_measured("cost", "cost", look.cost)]
        if look.eig is not None:
            measured.append(_measured("eig", "expected information gain in nats", look.eig))
        groups.append(
            sr.PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=sr.TrackingIdentifier(hd.UID(), _words(look)),
                algorithm_id=algorithm,
                referenced_region=sr.ImageRegion(
                    graphic_type=sr.GraphicTypeValues.POLYLINE,
                    graphic_data=outline,
                    source_image=sr.SourceImageForRegion.from_source_image(source),
                ),
                measurements=measured,
                qualitative_evaluations=[
                    sr.QualitativeEvaluation(
                        name=_code("status", "status of the look"),
                        value=_code(look.status, look.status),
                    )
                ],
            )
        )
    return _marked(
        sr.ComprehensiveSR(
            evidence=[source],
            content=sr.MeasurementReport(
                observation_context=sr.ObservationContext(observer_device_context=observer),
                procedure_reported=codes.SCT.ImagingProcedure,
                imaging_measurements=groups,
            )[0],
            is_complete=False,
            is_verified=False,
            **_instance(2),
            **_MAKER,
            software_versions=_version(),
        )
    )


def _drawn(
    source: Dataset,
    looks: Sequence[Look],
    corners: Sequence[NDArray[np.float64]],
    belief: dict[str, float],
) -> Dataset:
    """The outline and number of each look, and the belief below what it says of itself."""
    layer = pr.GraphicLayer("LOOKS", order=1, description="Looks of the session")
    likely = sorted(belief.items(), key=lambda each: -each[1])[:5]
    words = [RESEARCH, *(f"{name}: {probability:.1%}" for name, probability in likely)]
    frame = pr.AnnotationUnitsValues.PIXEL
    outlines = [
        pr.GraphicObject(pr.GraphicTypeValues.POLYLINE, outline, frame) for outline in corners
    ]
    labels = [
        pr.TextObject(f"{look.id}{_mark(look)}", frame, anchor_point=tuple(outline[0]))
        for look, outline in zip(looks, corners, strict=True)
    ]
    belief_box = pr.TextObject(
        "\r\n".join(words), pr.AnnotationUnitsValues.DISPLAY, bounding_box=(0.0, 0.0, 0.6, 0.2)
    )
    annotation = pr.GraphicAnnotation(
        referenced_images=[source],
        graphic_layer=layer,
        graphic_objects=outlines or None,
        text_objects=[*labels, belief_box],
    )
    bare = pydicom.Dataset({each.tag: each for each in source})
    for keyword in (*_MODALITY, *_INTEREST):
        bare.pop(keyword, None)
    state = pr.GrayscaleSoftcopyPresentationState(
        referenced_images=[bare],
        content_label="BOED_LOOKS",
        content_description=RESEARCH,
        graphic_annotations=[annotation],
        graphic_layers=[layer],
        **_instance(3),
        **_MAKER,
        software_versions=_version(),
    )
    state.Laterality = source.get("Laterality", "")
    _as_the_image_is_shown(state, source)
    return _marked(state)


def _as_the_image_is_shown(state: Dataset, source: Dataset) -> None:
    """Give a presentation state the image's own greys and proportions, which it stands in for.

    A viewer that applies a state takes nothing of that from the image (PS3.3 A.33.1): without its
    window the grey would be flat, and MONOCHROME1 inverted. Elements that are empty are absent.
    """
    _copy(source, state, _MODALITY)
    if "RescaleSlope" in state and "RescaleType" not in state:
        state.RescaleType = "US"
    interest = Dataset()
    _copy(source, interest, _INTEREST)
    if "WindowCenter" not in interest or "WindowWidth" not in interest:
        for keyword in _INTEREST[1:]:
            interest.pop(keyword, None)
    if interest:
        state.SoftcopyVOILUTSequence = [interest]
    inverted = source.PhotometricInterpretation == "MONOCHROME1"
    state.PresentationLUTShape = "INVERSE" if inverted else "IDENTITY"
    (area,) = state.DisplayedAreaSelectionSequence
    if source.get("PixelSpacing"):
        area.PresentationPixelSpacing = source.PixelSpacing
        del area.PresentationPixelAspectRatio
    elif source.get("PixelAspectRatio"):
        area.PresentationPixelAspectRatio = source.PixelAspectRatio


def _copy(source: Dataset, target: Dataset, keywords: Sequence[str]) -> None:
    """Those elements that are there and not empty."""
    for keyword in keywords:
        if keyword in source and not source[keyword].is_empty:
            target.add(source[keyword])


def _measured(code: str, name: str, value: float) -> sr.Measurement:
    return sr.Measurement(name=_code(code, name), value=float(value), unit=_NO_UNIT)


def _code(value: str, meaning: str) -> hd.sr.CodedConcept:
    """A concept of our own, which no public list has."""
    return hd.sr.CodedConcept(value=value[:16], scheme_designator="99BOED", meaning=meaning[:64])


def _words(look: Look) -> str:
    return f"look {look.id} at {', '.join(f'{each:g}' for each in look.design)}"


def _mark(look: Look) -> str:
    return "" if look.status == "taken" else f" ({look.status})"


def _instance(series: int) -> dict[str, Any]:
    """Numbers of a new instance in a series of its own."""
    return {
        "series_instance_uid": hd.UID(),
        "series_number": 9000 + series,
        "sop_instance_uid": hd.UID(),
        "instance_number": 1,
    }


def _marked(content: Dataset) -> Dataset:
    content.SpecificCharacterSet = "ISO_IR 192"  # answers have names in any script
    content.SeriesDescription = RESEARCH
    content.ContentQualification = "RESEARCH"
    return content


def _version() -> str:
    from importlib.metadata import version

    return version("boed")


def _write(content: Dataset, path: Path) -> Path:
    with atomic(path) as temporary:
        content.save_as(temporary)
    return path
