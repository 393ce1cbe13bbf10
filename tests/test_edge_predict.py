"""Models for small boards: any number of clips, unusable sound, and `ganad predict` by their own runtimes."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from conftest import private_settings, tone, write_wav

from ganad_tf.cli import main
from ganad_tf.serving.predict import edge

FORMS = ("onnx", "litert", "litert-int8")
FILES = {"onnx": "model.onnx", "litert": "model.tflite", "litert-int8": "model.tflite"}


@pytest.fixture(scope="module")
def project(exported_project) -> Path:
    """The trained detector with its exports for small boards, each made by the command line."""
    place = exported_project
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        patch.setenv("HOME", str(place.parent))
        for form in FORMS:
            words = ["export", "gan.yaml", "-q", "--name", "fan", "--format", form, "--set", *private_settings(place)]
            assert main.main(words) == 0
        more = ["--name", "two", "--format", "onnx", "--batch", "2", "--seconds", "0.75"]
        assert main.main(["export", "gan.yaml", "-q", *more]) == 0
    return place


def exported(project: Path, form: str, name: str = "fan") -> Path:
    return project / f"exported_models/{name}.{form}/1" / FILES[form]


UNUSABLE = {
    "NaN": lambda clip: np.where(np.arange(16000) == 5, np.nan, clip),
    "NaN alone": lambda clip: clip * np.nan,
    "infinity": lambda clip: np.where(np.arange(16000) == 15999, np.inf, clip),
    "minus infinity": lambda clip: np.where(np.arange(16000) == 0, -np.inf, clip),
    "whole numbers": lambda clip: clip * 32768,
    "a little too loud": lambda clip: np.where(np.arange(16000) == 77, -8.01, clip),
    "far too loud": lambda clip: clip * 1e30,
}


@pytest.mark.parametrize("form", FORMS)
def test_what_cannot_be_scored_is_an_anomaly_on_a_small_board(project, form):
    run = edge.load(exported(project, form))
    normal = tone(seed=3)
    outputs = run(normal[np.newaxis])
    assert (outputs["anomaly_score"] < 1e6).all()
    assert not outputs["is_anomaly"].any()
    assert (run(np.clip(normal * 1e6, -8, 8)[np.newaxis])["anomaly_score"] < 1e6).all()
    for what, spoil in UNUSABLE.items():
        outputs = run(spoil(normal)[np.newaxis].astype(np.float32))
        assert outputs["anomaly_score"].tolist() == [np.inf if form == "onnx" else np.finfo(np.float32).max], what
        assert outputs["is_anomaly"].tolist() == [True], what


def test_onnx_takes_any_number_of_clips_and_each_by_itself(project):
    path = exported(project, "onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert session.get_inputs()[0].shape == ["batch", 16000]
    assert {output.name: output.shape for output in session.get_outputs()} == {
        name: ["batch"] for name in ("anomaly_score", "is_anomaly", "threshold")
    }
    clips = np.stack([tone(seed=seed, hz=hz) for seed, hz in enumerate((440, 2000, 440, 900, 440))])
    clips[2, 7] = np.nan
    run = edge.load(path)
    together = run(clips)
    for number, clip in enumerate(clips):
        alone = run(clip[np.newaxis])
        for name, values in alone.items():
            assert together[name][number] == values[0], name
    assert together["is_anomaly"].tolist() == [False, True, True, True, False]
    notes = json.loads(path.with_name("ganad.json").read_text())
    assert (notes["batch"], notes["samples"]) == (None, 16000)


@pytest.mark.parametrize("form", FORMS)
def test_predict_by_the_runtime_of_a_small_board(project, ganad, form, tmp_path):
    recordings = sorted((project / "dev/fan/test").glob("*.wav"))[1:5]
    expected = ganad("predict", project / "exported_models/gan_fan", *recordings, "--json", cwd=tmp_path)
    tolerance = 0.5 if form == "litert-int8" else 1e-3
    file = exported(project, form)
    for model in (file, file.parent, file.parent.parent):
        done = ganad("predict", model, *recordings, "--json", cwd=tmp_path)
        assert done.stderr == ""
        for ours, theirs in zip(json.loads(done.stdout), json.loads(expected.stdout), strict=True):
            assert ours["anomaly_score"] == pytest.approx(theirs["anomaly_score"], rel=tolerance)
            assert (ours["file"], ours["is_anomaly"]) == (theirs["file"], theirs["is_anomaly"])


def test_predict_refuses_each_clip_of_another_length_in_one_sentence(project, ganad, tmp_path):
    good, fits = sorted((project / "dev/fan/test").glob("*.wav"))[0], write_wav(tmp_path / "fits.wav", tone(0.75))
    long, slow = write_wav(tmp_path / "long.wav", tone(2)), write_wav(tmp_path / "slow.wav", tone(1), 8000)
    done = ganad("predict", exported(project, "litert"), long, good, slow, "--csv", cwd=tmp_path, check=2)
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["file", str(good)]
    assert "long.wav: expected a clip of 16000 samples (1 s), for which the model was exported. Received: 32000" in (
        done.stderr
    )
    assert "slow.wav: expected a sample rate of 16000 Hz, received 8000 Hz; convert it." in done.stderr
    assert len(done.stderr.splitlines()) == 2
    two = exported(project, "onnx", "two")
    assert ganad("predict", two, fits, "--csv", cwd=tmp_path).stdout.count("\n") == 2


def test_a_model_file_that_cannot_be_used_is_refused_in_one_sentence(project, ganad, tmp_path):
    clip = sorted((project / "dev/fan/test").glob("*.wav"))[0]
    for form in ("onnx", "litert"):
        place = tmp_path / form / "1"
        shutil.copytree(exported(project, form).parent, place)
        (place / "ganad.json").rename(place / "kept")
        done = ganad("predict", place, clip, cwd=tmp_path, check=2)
        assert "ganad.json as `ganad export` writes it" in done.stderr
        (place / "kept").rename(place / "ganad.json")
        (place / FILES[form]).write_bytes(b"half of a mod")
        done = ganad("predict", place, clip, cwd=tmp_path, check=2)
        assert f"{place / FILES[form]} can't be loaded" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_predict_by_a_small_boards_runtime_needs_no_tensorflow(project):
    code = f"""
import sys
from pathlib import Path
from ganad_tf.serving.predict import edge
model = edge.EdgeModel(Path({str(exported(project, "onnx"))!r}))
sys.exit("tensorflow" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_exported_names_a_folder_of_this_computer(project):
    for name in ("gan_fan", "fan.onnx", "fan.litert"):
        folder = project / "exported_models" / name / "1"
        files = [path for path in folder.rglob("*") if path.is_file()]
        assert files
        for path in files:
            content = path.read_bytes()
            for private in (project, project.parent, sys.prefix, Path(main.__file__).parents[1], "anna", "ben/data"):
                assert str(private).encode() not in content, (path, private)
        notes = json.loads(next(folder.rglob("ganad.json")).read_text())
        assert notes["config"]["dev_directory"] == "./dev"
        assert not notes["config"].keys() & {"result_directory", "eval_directory"}


def test_a_refused_export_leaves_no_empty_folder(project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    before = sorted(project.rglob("*"))
    for form in ("savedmodel", "onnx"):
        for change in ("model.latent=4", "export_directory=./new/models", "dev_directory=./nowhere"):
            refused = ["feature.n_mels=20"] if "export" in change else []
            words = ["--name", "other", "--format", form, "--set", change, *refused]
            assert main.main(["export", "gan.yaml", *words]) == 2
            assert capsys.readouterr().err.startswith("ganad: ")
            assert sorted(project.rglob("*")) == before, change


@pytest.mark.slow
def test_of_exports_at_once_none_is_lost(project, tmp_path):
    words = ["export", "gan.yaml", "-q", "--name", "same", "--set", f"export_directory={tmp_path}/models"]
    command = [sys.executable, "-m", "ganad_tf", *words]
    running = [subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = [Path(process.communicate(timeout=300)[0].strip()) for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert sorted(str(folder.relative_to(tmp_path / "models")) for folder in folders) == ["same/1", "same/2"]
    for folder in folders:
        assert json.loads((folder / "assets.extra/ganad.json").read_text())["version"] == int(folder.name)
    assert sorted(path.name for path in (tmp_path / "models/same").iterdir()) == ["1", "2"]
    assert (tmp_path / "models/models.config").read_text().count('name: "same"') == 1


def test_a_version_takes_the_next_number_when_its_own_is_taken_meanwhile(tmp_path):
    from ganad_tf.exporting import publishing

    model, written = tmp_path / "model", []

    def write(version: int) -> None:
        written.append(version)
        if version == 1:  # another export is faster
            (model / "1").mkdir()
            (model / "1/file").write_text("theirs")

    draft = model / ".draft"
    draft.mkdir(parents=True)
    (draft / "file").write_text("ours")
    assert publishing.publish(draft, model, write) == model / "2"
    assert written == [1, 2]
    assert [(model / number / "file").read_text() for number in ("1", "2")] == ["theirs", "ours"]
