"""Members of an ensemble that have learned little: not selected, said, and in the report."""

import dataclasses

import pytest
import yaml
from conftest import tone, write_wav
from test_selection import scores

from ganad_tf.selection import words
from ganad_tf.selection.select import Choice, compare

REASON = "it was trained for 7 steps, fewer than 200"


def test_a_member_that_has_learned_little_is_no_candidate():
    better, other = dataclasses.replace(scores(1.5), learned_little=REASON), scores(0.1)
    candidates = compare([[better], [other]], [{}], seed=0)
    assert [candidate.weights for candidate in candidates] == [(0.0, 1.0)]
    choice = Choice("fan", ("gan", "mean"), 30, candidates, {"gan": REASON})
    assert choice.settings() == {"ensemble": {"weights": [0.0, 1.0]}}
    assert f"  Without gan, which has learned little: {REASON}." in words.in_words(choice).splitlines()
    assert compare([[scores(1.5)], [other]], [{}], seed=0)[0].weights[0] > 0.5
    # Where no member has learned more, the evidence decides as ever.
    alike = [[better], [dataclasses.replace(other, learned_little=REASON)]]
    assert compare(alike, [{}], seed=0)[0].weights == compare([[scores(1.5)], [other]], [{}], seed=0)[0].weights


PAIR = """
dev_directory: dev
dataset: {name: folder}
feature: {n_mels: 16}
fit: {epochs: 3, batch_size: 16, min_steps: 0}
scorer: {name: density, pooling: mean, density: knn}
ensemble:
  members:
    - {name: ae, model: {name: DenseAE, hidden: [8], latent: 2}, fit: {epochs: 1}}
    - {name: mean, model: {name: SpectrumDensity}, fit: {epochs: 1}}
"""


@pytest.mark.slow
def test_too_few_recordings_for_trials_tell_what_a_network_learns_of_all(ganad, tmp_path):
    for index in range(5):
        write_wav(tmp_path / "dev" / "fan" / "normal" / f"{index}.wav", tone(0.5, seed=index))
    (tmp_path / "pair.yaml").write_text(f"{PAIR}calibration: {{block: 5}}\n")
    done = ganad("select", "pair.yaml", cwd=tmp_path)
    assert yaml.safe_load(done.stdout)["machines"]["fan"]["ensemble"] == {"weights": [0.0, 1.0]}
    assert "  Without ae, which has learned little: it was trained for " in done.stderr
    assert "Too few recordings to select settings by" in done.stderr
    assert not (tmp_path / "model").exists()
