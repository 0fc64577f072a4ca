from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_models import documents, tiny_bert, tiny_static

from costlib.errors import InputError
from costlib.isolate import Unsupported
from costlib.models.encoder import Encoder, load_encoder
from costlib.models.vectors import fidelity, unit
from costlib.quality.distill.students import shallow_student, soft_head, static_student, with_fewer_layers

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
TEXTS = [text for text, _ in documents(40)]


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return load_encoder(f"path:{tiny_bert(tmp_path_factory.mktemp('bert'))}", "fp32", "cpu")


def test_a_static_student_knows_each_word_as_the_teacher_does(teacher: Encoder) -> None:
    """At full width, principal components keep every angle between the centred token vectors."""
    made = static_student(teacher, width=512)
    table = made.model.embedding
    assert table.shape[0] == len(made.model.tokens) and made.weight_bytes == table.nbytes
    special = teacher.tokenizer.all_special_ids
    assert (table[special] == 0).all() and (np.abs(table).sum(axis=1) > 0).sum() == len(table) - len(set(special))
    own = teacher.encode_ids([[2, token, 3] for token in range(len(table))])
    words = [i for i in range(len(table)) if i not in special]
    angles = [unit(vectors[words].astype(float)) for vectors in (own - own.mean(axis=0), table)]
    assert np.allclose(angles[0] @ angles[0].T, angles[1] @ angles[1].T, atol=1e-3)
    assert made.encode(["parcel"]).shape == (1, table.shape[1])
    assert not made.encode(["zzz"]).any()  # a word it does not know: a zero vector, which fidelity counts


def test_fewer_layers_are_every_second_one_and_the_teacher_stays(teacher: Encoder) -> None:
    student = with_fewer_layers(teacher.model, 2)
    assert student.config.num_hidden_layers == len(student.encoder.layer) == 2 and len(teacher.model.encoder.layer) == 4
    assert (student.encoder.layer[1].output.dense.weight == teacher.model.encoder.layer[2].output.dense.weight).all()
    for every, model in ((1, teacher.model), (5, with_fewer_layers(teacher.model, 4))):
        with pytest.raises(InputError, match="every is"):
            with_fewer_layers(model, every)


def test_training_brings_the_shallow_student_nearer_to_its_teacher(teacher: Encoder) -> None:
    target = teacher.encode(TEXTS)
    near = [
        fidelity(target, shallow_student(teacher, TEXTS, steps=steps, every=2).encode(TEXTS)).cosine.mean()
        for steps in (1, 60)
    ]
    assert near[1] > near[0] + 0.2 and near[1] > 0.5


def test_a_static_model_has_nothing_more_to_give(tmp_path: Path) -> None:
    made = load_encoder(f"static:{tiny_static(tmp_path)}", "fp32", "cpu")
    with pytest.raises(Unsupported, match="a transformer teacher"):
        static_student(made)
    with pytest.raises(Unsupported, match="no layers to leave out"):
        shallow_student(made, TEXTS, steps=1, every=2)


def test_soft_labels_alone_teach_what_the_teacher_answers() -> None:
    """No hard label is known, and the teacher disagrees with the truth on purpose: the student follows the teacher."""
    features = np.random.default_rng(0).normal(size=(300, 4))
    logits = np.stack([features[:, 0], -features[:, 0]], axis=1) * 3
    made = soft_head(features, logits, ["no", "yes"], [-1] * 300, steps=150, temperature=2.0, alpha=1.0)
    assert (made.predict(features) == np.where(features[:, 0] > 0, "no", "yes")).mean() > 0.95
    assert made.weight_bytes == 4 * (4 * 256 + 256 + 256 * 2 + 2)


def test_hard_labels_win_where_alpha_is_0() -> None:
    features = np.random.default_rng(0).normal(size=(300, 4))
    logits = np.stack([features[:, 0], -features[:, 0]], axis=1) * 3
    hard = (features[:, 1] > 0).astype(int).tolist()
    made = soft_head(features, logits, ["a", "b"], hard, steps=150, temperature=2.0, alpha=0.0)
    assert (made.predict(features) == np.where(features[:, 1] > 0, "b", "a")).mean() > 0.95
