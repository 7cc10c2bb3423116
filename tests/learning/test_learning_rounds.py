import hashlib
import io
import math
from pathlib import Path

import pytest
import safetensors.torch
import torch

from domicile.errors import ConfigurationError
from domicile.learning.merging import new_state
from domicile.learning.model import ModelError, ModelFile, flatten, layout_of, load_flat, model_chunks
from domicile.learning.settings import DataSettings, MergingSettings, TrainingSettings
from domicile.learning.table import read_table
from domicile.learning.tabular import Tabular, resolve_options
from domicile.learning.training import Divergence, evaluate, train
from domicile.learning.update import METADATA_BYTES, InvalidUpdate, Update, encode_update, read_update
from domicile.protocol.round import ExclusionReason
from domicile.settings import parse_settings

DATA = Path(__file__).parents[2] / "examples/diagnosis/data"
TRAINING = TrainingSettings(epochs=2)


@pytest.fixture
def task():
    columns = read_table(DATA / "de-train.csv").column_names
    return Tabular(resolve_options({"target": "malignant"}, {"de-train.csv": columns}))


@pytest.fixture
def data(task):
    return task.load(DATA / "de-train.csv", DATA / "de-test.csv", DataSettings(), 3)


@pytest.fixture
def encoded(task, data):
    torch.manual_seed(0)
    module = task.build_model()
    layout = layout_of(module)
    start = evaluate(task, module, data.validation)
    return encode_update(layout, Update.of(train(task, module, data.train, TRAINING, seed=1), validation=start))


def plain(update):
    return b"".join(bytes(chunk) for chunk in update.chunks())


def test_a_model_with_a_counter_is_refused_with_the_mend():
    with pytest.raises(ConfigurationError, match=r"num_batches_tracked.*GroupNorm"):
        layout_of(torch.nn.BatchNorm1d(2))


def test_epochs_and_steps_together_are_refused():
    with pytest.raises(ConfigurationError, match="both epochs and steps"):
        parse_settings({"epochs": 1, "steps": 1}, TrainingSettings, source="job.toml")


@pytest.mark.parametrize("position", [0, METADATA_BYTES, METADATA_BYTES + 20])
def test_a_malformed_update_is_refused(encoded, position):
    raw = bytearray(plain(encoded))
    raw[position] ^= 0xFF
    with pytest.raises(InvalidUpdate) as caught:
        read_update(io.BytesIO(raw), encoded.layout, torch.empty_like(encoded.delta_P))
    assert caught.value.reason is ExclusionReason.MALFORMED


def test_a_short_or_long_update_is_refused(encoded):
    for raw in (plain(encoded)[:-1], plain(encoded) + b"\0"):
        with pytest.raises(InvalidUpdate):
            read_update(io.BytesIO(raw), encoded.layout, torch.empty_like(encoded.delta_P))


def test_an_update_that_is_not_finite_or_too_large_is_refused(encoded):
    out_P = torch.empty_like(encoded.delta_P)
    with pytest.raises(InvalidUpdate) as caught:
        read_update(io.BytesIO(plain(encoded)), encoded.layout, out_P, max_norm=1e-9)
    assert caught.value.reason is ExclusionReason.NORM_EXCEEDED
    encoded.delta_P[0] = math.nan
    with pytest.raises(InvalidUpdate) as caught:
        read_update(io.BytesIO(plain(encoded)), encoded.layout, out_P)
    assert caught.value.reason is ExclusionReason.NOT_FINITE


def test_an_update_survives_its_way(encoded):
    out_P = torch.empty_like(encoded.delta_P)
    read_update(io.BytesIO(plain(encoded)), encoded.layout, out_P)
    assert torch.equal(out_P, encoded.delta_P)
    assert len(plain(encoded)) == encoded.num_bytes


def test_a_model_file_is_safetensors_and_its_digest_that_of_the_file(task):
    module = task.build_model()
    layout, flat_P = layout_of(module), flatten(module)
    state = new_state(MergingSettings(strategy="fedadam"), layout.num_parameters)
    file = ModelFile(layout=layout, state=state)
    raw = b"".join(bytes(chunk) for chunk in file.chunks(flat_P))
    assert hashlib.sha256(raw).digest() == file.digest(flat_P)
    assert len(raw) == file.file_bytes == layout.file_bytes_max
    tensors = safetensors.torch.load(raw)
    assert torch.equal(tensors["0.weight"], module.state_dict()["0.weight"])
    out_P = flat_P.clone()
    again = layout.read(io.BytesIO(raw), out_P, expected=file.digest(flat_P), add=True)
    assert torch.equal(out_P, 2 * flat_P)
    assert torch.equal(again.state["variance"], state["variance"])


def test_a_flipped_bit_in_an_expected_model_is_found(task):
    module = task.build_model()
    layout, flat_P = layout_of(module), flatten(module)
    raw = bytearray(b"".join(bytes(chunk) for chunk in model_chunks(layout, flat_P)))
    raw[-1] ^= 1
    with pytest.raises(ModelError, match="sha-256"):
        layout.read(io.BytesIO(raw), flat_P.clone(), expected=ModelFile(layout=layout).digest(flat_P))


def test_training_leaves_global_randomness_alone(task, data):
    before = torch.get_rng_state()
    train(task, task.build_model(), data.train, TRAINING, seed=5)
    after = torch.get_rng_state()
    torch.set_rng_state(before)
    task.build_model()
    assert torch.equal(torch.get_rng_state(), after)


def test_training_that_diverges_is_refused(task, data):
    rate = TrainingSettings(steps=30, learning_rate=1000.0, weight_decay=1000.0)
    with pytest.raises(Divergence, match="learning_rate"):
        train(task, task.build_model(), data.train, rate, seed=0)


def test_a_model_whose_outputs_overflow_is_not_measured(task, data):
    module = task.build_model()
    load_flat(module, torch.full_like(flatten(module), 3e38))
    with pytest.raises(Divergence, match="held-out"):
        evaluate(task, module, data.test)
