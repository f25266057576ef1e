"""Each format that boed reads: a sound file, how it is changed, and what reads it."""

from __future__ import annotations

import io
import json
import tarfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from boed.benchmark.jobs import Job
from boed.benchmark.storage import JobStore
from boed.classifiers.densenet_classifier import DenseNetClassifier
from boed.classifiers.networks.densenet import DenseNetConfig
from boed.classifiers.screen import ScreenConfig, ScreenNet
from boed.completion.registry import LEARNED, load_completer
from boed.data.readers.celeba import read_celeba
from boed.data.readers.cifar10 import read_cifar10
from boed.data.readers.folder import read_folder
from boed.data.readers.image import read_image
from boed.data.readers.npz import read_npz
from boed.deep_adaptive.config import PolicyConfig
from boed.deep_adaptive.network import DeepAdaptiveDesign
from boed.deep_adaptive.static_design import StaticDesign
from boed.foundation import netcdf
from boed.foundation.identity import claim, read_record
from boed.foundation.npz import read_array
from boed.report import results
from boed.run import read_settings
from boed.sensors.registry import sensor_options
from boed.training import Recipe, TrainingConfig
from tests.doubles import tiny_aipo
from tests.fuzz import mutations
from tests.fuzz.mutations import Mutation
from tests.report.conftest import make_examples, make_results


@dataclass(frozen=True)
class Format:
    """A kind of file.

    Attributes:
        name: of the sound file, by which readers may tell its kind.
        sound: write a sound file to the path.
        changes: of its bytes, beside those of any bytes.
        read: the reader; it gives something or raises ValueError.
    """

    name: str
    sound: Callable[[Path], None]
    read: Callable[[Path], object]
    changes: tuple[Mutation, ...] = ()


def _densenet(path: Path) -> None:
    config = DenseNetConfig(size=16, channels=1, outputs=3, width=8, growth=(8,), layers=(1,))
    DenseNetClassifier(config, ("a", "b", "c")).save(path, {"data": "made up"})


def _screen(path: Path) -> None:
    encoder = DenseNetConfig(size=16, channels=1, outputs=3, width=8, growth=(8,), layers=(1,))
    ScreenNet(ScreenConfig(encoder=encoder, answers=3, width=8), "0" * 64).save(path, {})


def _flow(path: Path) -> None:
    kind = LEARNED["flow"]
    kind.of(kind.Config(size=16, channels=1, stem=2, widths=(8, 16))).save(path, {})


def _policy(path: Path) -> None:
    DeepAdaptiveDesign(PolicyConfig(design_dim=2, hidden=4, embedding=2)).save(path, {})


def _arrays(path: Path) -> None:
    content: dict[str, Any] = {"label_names": np.array(["a", "b", "c"])}
    for split in ("train", "val", "test"):
        content[f"{split}_images"] = np.arange(256, dtype=np.uint8).reshape(4, 8, 8)
        content[f"{split}_labels"] = np.arange(4, dtype=np.uint8)[:, None] % 3
        content[f"{split}_patients"] = np.array([f"{split}{row}" for row in range(4)])
    np.savez(path, **content)


JOB = Job("boed", 0, range(4))


def _part(path: Path) -> None:
    arrays = {
        "log_belief": np.full((4, 3, 3), -1.0),
        "design": np.ones((4, 2, 2)),
        "score": np.ones((4, 2)),
        "cost": np.ones((4, 2)),
        "looks": np.full(4, 2),
        "distance": np.ones((4, 3)),
        "seconds": np.array(0.5),
    }
    np.savez(path, **arrays)


def _read_part(path: Path) -> object:
    store = JobStore(path.parent / "run")
    where = store.file(JOB)
    assert where is not None
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_bytes(path.read_bytes())
    return store.load(JOB, 2)


def _dicom(path: Path) -> None:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    header.SOPClassUID, header.SOPInstanceUID = SecondaryCaptureImageStorage, "1.2.3.4"
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.Rows = header.Columns = 8
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PixelRepresentation, header.PixelPaddingValue = 0, 4000
    header.RescaleSlope, header.RescaleIntercept = 2, -1000
    header.WindowCenter, header.WindowWidth, header.VOILUTFunction = [50, 60], [300, 400], "LINEAR"
    table = Dataset()
    table.LUTDescriptor = [4, 10, 8]
    table.add_new("LUTData", "US", [0, 50, 200, 255])
    header.VOILUTSequence = header.ModalityLUTSequence = [table]
    header.PixelData = np.arange(0, 4096, 64, dtype="<u2").tobytes()
    header.save_as(path, enforce_file_format=True)


def _picture(mode: str, **options: Any) -> Callable[[Path], None]:
    def written(path: Path) -> None:
        grey = Image.fromarray(np.arange(0, 256, 4, dtype=np.uint8).reshape(8, 8))
        if mode == "I;16":
            grey = Image.fromarray(np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8))
        elif mode == "F":
            grey = Image.fromarray(np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8))
        else:
            grey = grey.convert(mode)
        grey.save(path, **options)

    return written


def _csv(path: Path) -> None:
    for name in ("0.png", "1.png", "2.png"):
        Image.fromarray(np.full((4, 4), 9, np.uint8)).save(path.parent / name)
    path.write_text("file,label,split,patient\n0.png,a,test,p\n1.png,b,test,q\n2.png,b,train,r\n")


def _tar(path: Path) -> None:
    picture = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(picture, "png")
    members = {"a/test_batch.bin": bytes(3073), "test/cat/0.png": picture.getvalue()}
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _read_tar(path: Path) -> object:
    return read_cifar10(path.rename(path.with_name(f"{uuid.uuid4().hex}.tar.gz")))


def _celeba(path: Path) -> None:
    faces = path.parent / "img_align_celeba"
    faces.mkdir(exist_ok=True)
    Image.fromarray(np.zeros((218, 178, 3), np.uint8)).save(faces / "1.jpg")
    (path.parent / "list_attr_celeba.txt").write_text("1\nBald Smiling\n1.jpg 1 -1\n")
    path.write_text("1.jpg 2\n")


RECIPE = """kind = "completer"
name = "flow"
data = "digits"
size = 64
masks = "squares"
seed = 0
[architecture]
stem = 4
widths = [48, 96]
[training]
steps = 1200
batch = 32
lr = 1e-3
betas = [0.9, 0.99]
precision = "fp32"
"""

RECORD = {"kind": "benchmark", "identity": {"data": "a", "policies": {"boed": "b"}}, "steps": 3}


def _record(path: Path) -> object:
    (path.parent / "results.nc").write_text("of a run that has results")
    claim(path.parent, "benchmark", RECORD)
    return read_record(path.parent)


def _sensor(path: Path) -> object:
    from boed.data.dataset import Dataset
    from boed.sensors.registry import sensor_named

    name, options = sensor_options(f"patch,grid={path}")
    images, labels = torch.zeros(1, 1, 8, 8, dtype=torch.uint8), torch.zeros(1, dtype=torch.int64)
    blank = Dataset(name="a", split="test", images=images, labels=labels, label_names=("a",))
    return sensor_named({"name": name, **options}, blank)


def _write(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


def _recipe(path: Path) -> object:
    return Recipe.read(path).config(TrainingConfig(steps=1))


WEIGHTS, ZIP = (mutations.of_safetensors,), (mutations.of_npz,)

FORMATS = {
    "classifier": Format("w.safetensors", _densenet, DenseNetClassifier.load, WEIGHTS),
    "screen": Format("w.safetensors", _screen, ScreenNet.load, WEIGHTS),
    "completer": Format("w.safetensors", _flow, load_completer, WEIGHTS),
    "VD-VAE": Format(
        "w.safetensors", lambda path: tiny_aipo().save(path, {}), load_completer, WEIGHTS
    ),
    "policy": Format("w.safetensors", _policy, DeepAdaptiveDesign.load, WEIGHTS),
    "fixed design": Format(
        "w.safetensors",
        lambda path: StaticDesign(torch.rand(3, 2)).save(path, {}),
        StaticDesign.load,
        WEIGHTS,
    ),
    "recipe": Format("recipe.toml", _write(RECIPE), _recipe, (mutations.of_toml,)),
    "run.toml": Format(
        "run.toml",
        _write('data = "digits"\nsteps = 3\npolicies = ["boed", "random"]\n'),
        lambda path: read_settings(path, {"data": 0, "steps": 0, "policies": 0}),
        (mutations.of_toml,),
    ),
    "run.json": Format("run.json", _write(json.dumps(RECORD)), _record, (mutations.of_json,)),
    "npz": Format("data.npz", _arrays, read_npz, ZIP),
    "part": Format("part.npz", _part, _read_part, ZIP),
    "npy": Format("grid.npy", lambda path: np.save(path, np.ones((2, 2))), read_array),
    "sensor option": Format("grid.npy", lambda path: np.save(path, np.ones((2, 2))), _sensor),
    "labels.csv": Format(
        "labels.csv", _csv, lambda path: read_folder(path.parent), (mutations.of_csv,)
    ),
    "DICOM": Format("one.dcm", _dicom, read_image, (mutations.of_dicom,)),
    "PNG": Format("a.png", _picture("RGB"), read_image, (mutations.of_chunks,)),
    "PNG of 16 bits": Format("a.png", _picture("I;16"), read_image, (mutations.of_chunks,)),
    "PNG with a palette": Format("a.png", _picture("P"), read_image, (mutations.of_chunks,)),
    "JPEG": Format("a.jpg", _picture("L"), read_image),
    "TIFF": Format("a.tif", _picture("L", compression="tiff_lzw"), read_image),
    "TIFF of floats": Format("a.tif", _picture("F"), read_image),
    "GIF": Format("a.gif", _picture("L"), read_image),
    "results": Format(
        "results.nc",
        lambda path: results.save(make_results(scenes=3, looks=2), path),
        results.load,
        (mutations.of_netcdf,),
    ),
    "examples": Format(
        "examples.nc",
        lambda path: results.save(make_examples(), path),
        lambda path: netcdf.load(path, results.EXAMPLES),
        (mutations.of_netcdf,),
    ),
    "CIFAR-10": Format("a.tar.gz", _tar, _read_tar),
    "CelebA": Format(
        "list_eval_partition.txt", _celeba, lambda path: read_celeba(path.parent), ()
    ),
}  # fmt: skip
"""By name."""
