"""The report as its readers find it; opened in a browser, as they open it, by `-m slow`."""

import base64
import csv
import html
import io
import json
import re
import shutil

import numpy as np
import pytest
import soundfile
import tensorflow as tf
from conftest import tone, write_machine, write_wav

from ganad_tf.clips import Clip, Listing
from ganad_tf.config import Config
from ganad_tf.config.sections import Audio
from ganad_tf.errors import DataError
from ganad_tf.features import Normalizer, windows_of
from ganad_tf.models import SpectrumDensity
from ganad_tf.plotting import charts
from ganad_tf.report import clips, facts, provenance
from ganad_tf.report.audio_embedder import AudioEmbedder
from ganad_tf.run import MachineRun
from ganad_tf.scoring.reconstruct import reconstruction

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
FAST = ["--set", "fit.epochs=2", "model.hidden=[16]"]
ODD = '<img src=x onerror="document.title=1">&amp;'
DATED = ("2024-05-01_a.wav", "2024-07-02_b.wav")


@pytest.fixture(scope="module")
def results(tmp_path_factory, ganad):
    """Results of two systems and of new recordings, on a fan and on a folder of oddly named clips."""
    place = tmp_path_factory.mktemp("results")
    write_machine(place / "dev_data", n_train=12, n_test=4)
    (place / "ae.yaml").write_text("result_directory: ./result/ae\nmodel_directory: ./model/ae\n")
    (place / "density.yaml").write_text(
        "result_directory: ./result/density\nmodel_directory: ./model/ae\nscorer: {pooling: mean}\n"
    )
    for number in range(12):
        write_wav(place / "mine" / "normal" / f"{number:02d}.wav", tone(seed=number))
    for number in range(2):
        write_wav(place / "new" / "mine" / f"{ODD.replace('/', '')}{number}.wav", tone(hz=1500, seed=number))
    for name, hz in zip(DATED, (1500, 3000), strict=True):
        write_wav(place / "new" / "mine" / name, tone(hz=hz))
    (place / "mine.yaml").write_text(
        "dataset: {name: folder}\ndev_directory: ./mine\neval_directory: ./new\n"
        "result_directory: ./result/mine\nmodel_directory: ./model/mine\n"
        "fit: {min_steps: 0}\nthreshold: {quantile: 0.9}\n"
    )
    ganad("run", "ae.yaml", *FAST, cwd=place)
    ganad("run", "density.yaml", *FAST, cwd=place)
    return place


@pytest.fixture(scope="module")
def report(results, ganad):
    """The folder of the report on both systems."""
    done = ganad("report", "result/ae", "result/density", "--out", "page", "--clips", "2", cwd=results)
    assert done.stdout == "report: page/report.html\n"
    return results / "page"


@pytest.mark.parametrize("content", [b"\xff\xfe", b'"' + b"0" * 200_000 + b"\n", b"a,b\n1,2\n"])
def test_a_table_of_candidates_that_cannot_be_read_is_named(tmp_path, content):
    (tmp_path / "selection.csv").write_bytes(content)
    run = MachineRun(Config(result_directory=str(tmp_path / "result")), Listing("fan", tmp_path, ()), "dev")
    with pytest.raises(DataError, match=r"Can't read .*selection\.csv"):
        provenance.selection_of(run)


@pytest.fixture(scope="module")
def mine(results, ganad):
    """The folder of the report on recordings without anomalies, and on new ones without labels."""
    for mode in ("--dev", "--eval"):
        ganad("run", "mine.yaml", mode, *FAST, cwd=results)
    ganad("report", "result/mine", cwd=results)
    return results / "result" / "mine" / "report"


@pytest.fixture
def copied(results, tmp_path):
    """A copy of what the results were made of and of the results, to be spoilt."""
    for folder in ("result", "cache", "model", "dev_data"):
        shutil.copytree(results / folder, tmp_path / folder)
    shutil.copy(results / "ae.yaml", tmp_path)
    for path in (tmp_path / "result").rglob("score_origin_*.json"):
        path.write_text(path.read_text().replace(str(results), str(tmp_path)))
    return tmp_path


@pytest.fixture(scope="module")
def browser():
    """Chromium, without a window."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("no `chromium` to open the report with; Debian's package has it")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=[*ARGUMENTS, *QUIET])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, report):
    """The page as it is opened from a disk; complaints of the browser and what it asked for from elsewhere."""
    page = browser.new_page()
    page.complaints, page.asked = [], []
    page.on("console", lambda message: page.complaints.append(message.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.goto((report / "report.html").as_uri())
    yield page
    assert page.complaints == []
    page.close()


def rows_of(path):
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_numbers_are_those_of_the_result_files(results, report):
    written = {(row["system"], row["id"]): row for row in rows_of(report / "machines.csv")}
    for system in ("ae", "density"):
        lines = [line.split(",") for line in (results / "result" / system / "result.csv").read_text().split()]
        for machine_id, auc, pauc in lines[2:5]:
            row = written[system, "mean" if machine_id == "Average" else machine_id]
            assert float(row["auc"]) == pytest.approx(float(auc), abs=1e-6)
            assert float(row["pauc"]) == pytest.approx(float(pauc), abs=1e-6)
            assert float(row["auc_low"]) <= float(auc) + 1e-6 and float(auc) <= float(row["auc_high"]) + 1e-6
        decisions = [
            (line.split("_")[0], line[-1])
            for path in sorted((results / "result" / system).glob("decision_result_fan_id_*.csv"))
            for line in path.read_text().split()
        ]
        mean = written[system, "mean"]
        assert int(mean["normal_above"]) == decisions.count(("normal", "1"))
        assert int(mean["anomaly_below"]) == decisions.count(("anomaly", "0"))
        assert (results / "page" / "report.md").read_text().count(
            f"| fan | mean | {100 * float(mean['auc']):.1f} ["
        ) >= 1


def test_clips_are_ranked_and_chosen_by_score(results, report):
    clips = [row for row in rows_of(report / "clips.csv") if row["system"] == "ae"]
    scores = [float(row["score"]) for row in clips]
    assert len(clips) == 16
    assert scores == sorted(scores, reverse=True)
    (fan,) = facts.gather(results / "result" / "ae")
    assert fan.threshold == pytest.approx(float(rows_of(report / "machines.csv")[0]["threshold"]))
    chosen = fan.choose_clips(2)
    assert [each.clip.name for each in chosen["Most anomalous"]] == [row["clip"] for row in clips[:2]]
    assert [each.clip.name for each in chosen["Most normal"]] == [row["clip"] for row in clips[:-3:-1]]
    for each in fan.scored:
        assert each.is_wrong == ((each.score > fan.threshold) != each.clip.name.startswith("anomaly"))


@pytest.mark.slow
def test_the_page_needs_nothing_but_itself(page):
    assert all(url.startswith(("file:", "data:", "blob:")) for url in page.asked)
    assert sum(url.startswith("file:") for url in page.asked) == 1
    assert page.locator("h2").all_inner_texts()[:3] == ["Comparison", "ae", "density"]


@pytest.mark.slow
def test_every_picture_is_there_and_has_words(page):
    for picture in page.locator("img").all():
        picture.scroll_into_view_if_needed()
        assert len(picture.get_attribute("alt")) > 20
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 100)")
    assert page.locator("img").count() >= 15


@pytest.mark.slow
def test_every_table_is_sortable(page):
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    tables = page.locator("table").all()
    assert len(tables) >= 9
    for table in tables:
        heads = table.locator("thead th")
        for column in range(heads.count()):
            for order in ("ascending", "descending"):
                heads.nth(column).locator("button").press("Enter")
                assert heads.nth(column).get_attribute("aria-sort") == order
    clips = page.locator("table", has_text="most anomalous first").first
    clips.locator("thead button", has_text="score").click()
    shown = [float(text) for text in clips.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert shown == sorted(shown) and len(shown) == 16


@pytest.mark.slow
def test_every_player_plays(page):
    players = page.locator("audio").all()
    assert len(players) >= 8
    for player in players:
        assert "Recording" in player.get_attribute("aria-label")
        player.evaluate("async (each) => { each.muted = true; await each.play(); }")
        page.wait_for_function("(each) => each.currentTime > 0", arg=player.element_handle())
        assert player.evaluate("(each) => each.duration") == pytest.approx(1.0, abs=0.05)
        player.evaluate("(each) => each.pause()")


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_for_those_who_read_otherwise(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    found = axe.run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []


@pytest.mark.slow
def test_the_page_fits_a_phone_and_a_sheet_of_paper(page):
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.evaluate(
        "addEventListener('beforeprint', () => (printed = document.querySelectorAll('details[open]').length))"
    )
    assert page.pdf(format="A4").startswith(b"%PDF")
    assert page.evaluate("printed") == page.locator("details").count() > 0
    assert page.locator("details[open]").count() == 0
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("audio").first.is_visible()


def test_nothing_is_asked_for_from_elsewhere(report):
    """Readers of pages look these up: sources, styles, scripts and links."""
    text = (report / "report.html").read_text()
    asked = re.findall(r"""(?:src|href|action|poster)=["']([^"']*)""", text) + re.findall(r"url\(([^)]*)\)", text)
    assert len(asked) > 20
    assert [each for each in asked if not each.startswith(("data:", "#", "%23"))] == []
    assert not re.search(r"@import|<script[^>]* src", text)


def test_a_clip_s_card_says_what_is_wrong(report):
    """The anomalies have a tone at 2 kHz in place of the healthy one at 440 Hz."""
    text = (report / "report.html").read_text()
    worst = text.partition("Most anomalous</h4>")[2].partition("</article>")[0]
    assert "a tone at 2000 Hz" in worst


def test_new_recordings_have_a_report_and_their_names_are_only_names(mine):
    text = (mine / "report.html").read_text()
    heads = [html.unescape(head).strip() for head in re.findall(r"<h5[^>]*>([^<]*)", text)]
    assert any(head.startswith(ODD) for head in heads)
    assert "<img src=x" not in text
    rows = [row for row in rows_of(mine / "machines.csv") if row["mode"] == "eval"]
    assert [(row["auc"], row["unlabelled"]) for row in rows] == [("", "4")] * 2
    assert "| mine, eval | mean | n/a | n/a |" in (mine / "report.md").read_text()
    assert "0 of 0" not in (mine / "report.md").read_text()


@pytest.mark.slow
def test_a_browser_takes_names_for_names(mine, browser):
    page = browser.new_page()
    page.goto((mine / "report.html").as_uri())
    assert page.title() == "Anomaly scores of mine"
    new = page.locator("section.machine", has_text="mine, eval").last
    assert any(name.startswith(ODD) for name in new.locator("h5").all_inner_texts())
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.slow
def test_names_that_begin_with_a_number_are_sorted_as_names(mine, browser):
    page = browser.new_page()
    page.goto((mine / "report.html").as_uri())
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    table = page.locator("table", has_text="mine, eval: test clips").first
    for order in (1, -1):
        table.get_by_role("button", name="clip", exact=True).click()  # the arrow is no part of what is read out
        names = [name for name in table.locator("tbody th").all_inner_texts() if name in DATED]
        assert names == sorted(DATED)[::order]


def test_a_clip_of_several_kinds_is_shown_once_and_linked_to(mine):
    text = (mine / "report.html").read_text()
    links = re.findall(r'<a href="#(system-0-1-clip_\d+)">[^<]* is shown above</a>', text)
    anchors = re.findall(r'<article class="card" id="(system-0-1-clip_\d+)">', text)
    assert len(anchors) == len(set(anchors)) == 4
    assert links and set(links) <= set(anchors)
    assert len(re.findall(r"<audio ", text)) == len(re.findall(r'<article class="card" id=', text))


def test_tables_name_their_rows_and_regions_and_no_caption_is_empty(report):
    text = (report / "report.html").read_text()
    for body in re.findall(r"<tbody>(.*?)</tbody>", text, re.DOTALL):
        rows = re.findall(r"<tr.*?</tr>", body, re.DOTALL)
        assert rows and all(row.count('<th scope="row">') == 1 for row in rows)
    regions = re.findall(r'role="region" aria-label="(.*?)"', text)
    assert len(regions) == len(set(regions)) == 9
    assert "<figcaption></figcaption>" not in text


@pytest.mark.slow
def test_systems_are_compared_by_the_report_s_own_numbers(copied, ganad):
    (copied / "result" / "density" / "result.csv").unlink()
    path = copied / "result" / "ae" / "result.csv"
    path.write_text(re.sub(r"Average,.*", "Average,nan,nan", path.read_text()))
    ganad("report", "result/ae", "result/density", "--out", "page", "--clips", "1", cwd=copied)
    means = {row["system"]: row for row in rows_of(copied / "page" / "machines.csv") if row["id"] == "mean"}
    compared = {row["system"]: row for row in rows_of(copied / "page" / "comparison.csv") if row["machine"] == "fan"}
    for system in ("ae", "density"):
        assert float(compared[system]["AUC"]) == pytest.approx(100 * float(means[system]["auc"]), abs=1e-3)
        assert float(compared[system]["pAUC"]) == pytest.approx(100 * float(means[system]["pauc"]), abs=1e-3)
    assert float(compared["density, paper's score"]["AUC"]) == pytest.approx(float(compared["ae"]["AUC"]))
    assert compared["GANomaly (paper)"]["origin"] == "published"


def test_what_has_no_areas_is_left_out_of_the_comparison_and_so_are_others_data(results, mine, ganad):
    ganad("report", "result/ae", mine.parent, "--out", "mixed", "--clips", "1", cwd=results)
    text = (results / "mixed" / "report.md").read_text()
    compared = text.partition("## ae")[0]
    assert "lack of labels, normal clips or anomalies: mine of mine; mine, eval of mine." in compared
    assert "published" not in compared
    assert "| GANomaly (paper), published |" in text  # beside the challenge's machine type it stays
    assert "| STgram-MFN (its README), published (oracle) |" in text
    assert [row["system"] for row in rows_of(results / "mixed" / "comparison.csv") if row["machine"] == "fan"] == [
        "ae",
        "best of the measured (oracle)",
    ]


def test_the_clips_that_are_shown_are_in_the_markdown_too(report):
    lines = (report / "report.md").read_text().splitlines()
    (first, *_) = rows_of(report / "clips.csv")
    assert any(
        line.startswith(f"| Most anomalous | {first['clip']} | {float(first['score']):.4g} | ") for line in lines
    )


def test_how_it_was_made_is_in_every_form(report):
    made = {row["what"]: row["value"] for row in rows_of(report / "made.csv") if row["system"] == "density"}
    assert made["command"].startswith("ganad run density.yaml ")
    assert made["fit.epochs"] == "2"
    assert f"it was trained for {made['steps of the optimizer']} steps, fewer than 200" in made["learned little"]
    assert {"version of keras", "training took", "fingerprint of the training clips", "scorer.pooling"} <= made.keys()
    lines = (report / "report.md").read_text().splitlines()
    page = html.unescape((report / "report.html").read_text())
    for what, value in made.items():
        assert f"| {what} | `{value}` |" in lines
        assert f'<th scope="row">{what}</th><td><code>{value}</code></td>' in page


def test_recordings_that_do_not_fit_are_links(tmp_path):
    path = write_wav(tmp_path / "a #1.wav", tone())
    embedded = AudioEmbedder(tmp_path / "page", limit_mb=1.5 * path.stat().st_size / 2**20)
    recordings = [Clip(name, name, "fan", "00", "test", 0, 1, 1) for name in (path.name, "b.wav")]
    assert embedded.source(tmp_path, recordings[0], Audio()).startswith("data:audio/flac;base64,")
    assert embedded.source(tmp_path, recordings[0], Audio()) == "../a%20%231.wav"
    (tmp_path / "b.wav").write_text("not read when there is no room left")
    assert embedded.source(tmp_path, recordings[1], Audio()) == "../b.wav"


def test_a_dollar_sign_in_a_name_is_one(tmp_path):
    scored = {"pump_$5_$": {"$x_$": ([0, 1], [0.0, 1.0])}}
    charts.plot_histograms(tmp_path / "scores.png", scored, {"pump_$5_$": 0.5})
    charts.plot_rocs(tmp_path / "roc.png", scored, 0.1)
    charts.plot_bars(tmp_path / "bars.png", {"pump_$5_$": {"$x_$": (90.0, 80.0, np.nan, np.nan)}})
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    assert charts.draw_rates(scored["pump_$5_$"]).ndim == 3


def test_what_the_page_says_of_a_detector_without_a_network_is_so(report):
    text = (report / "report.html").read_text()
    assert (
        "the mean spectrum of the training clips where the features are standardised, 0 dB where they are not" in text
    )
    log_mel = tf.random.stateless_normal([9, 4], seed=(0, 0))
    mean = np.array([-10.0, -20.0, -30.0, -40.0], np.float32)
    for normalizer, expected in ((Normalizer(mean, np.full(4, 5.0)), mean), (None, np.zeros(4))):
        windows = windows_of(log_mel, 3, normalizer)
        again = reconstruction(SpectrumDensity(input_dim=12), windows, 4, normalizer)
        np.testing.assert_allclose(again, np.tile(expected, (9, 1)), rtol=1e-6)


def test_losses_of_zero_are_drawn(tmp_path):
    charts.plot_curves(tmp_path / "curves.png", {"loss": [0.0, 0.0], "val_loss": [0.0, 0.0]})
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def _change(recording):
    """Another sound in a file of the same size; another time alone is no change."""
    data = bytearray(recording.read_bytes())
    data[1000] ^= 1
    recording.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda place: shutil.rmtree(place / "result" / "ae"), "there are none; run `ganad score` first"),
        (lambda place: shutil.rmtree(place / "cache"), "Expected a cache"),
        (lambda place: (place / "model" / "ae" / "dev" / "fan" / "detector.keras").write_bytes(b"x"), "can't be read"),
        (lambda place: next((place / "dev_data" / "fan" / "test").iterdir()).unlink(), "does not list the test clips"),
        (
            lambda place: _change(place / "dev_data" / "fan" / "test" / "normal_id_02_00000001.wav"),
            "have changed since they were scored (1 of 16, such as fan/test/normal_id_02_00000001.wav); "
            "run `ganad score` again.",
        ),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(copied, ganad, spoil, message):
    spoil(copied)
    done = ganad("report", "result/ae", cwd=copied, check=2)
    assert message in done.stderr
    assert not (copied / "result" / "ae" / "report" / "report.html").exists()


@pytest.mark.slow
def test_scores_of_another_detector_than_is_there_now_are_refused(copied, ganad):
    ganad("train", "ae.yaml", "--fresh", *FAST, cwd=copied)
    ganad("report", "result/ae", "--clips", "1", cwd=copied)
    other = ["--set", "fit.epochs=1", "model.hidden=[16]"]
    ganad("train", "ae.yaml", "--fresh", *other, cwd=copied)
    done = ganad("report", "result/ae", cwd=copied, check=2)
    assert "is not the one that made the scores, which had `fit.epochs: 2`; run `ganad score` again." in done.stderr
    ganad("score", "ae.yaml", *other, cwd=copied)
    ganad("report", "result/ae", "--clips", "1", cwd=copied)
    record = copied / "model" / "ae" / "dev" / "fan" / "training.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"cache": "of other recordings"}))
    assert "which had `recordings: " in ganad("report", "result/ae", cwd=copied, check=2).stderr


def test_an_ensemble_has_a_report(results, ganad):
    (results / "both.yaml").write_text(
        "result_directory: ./result/both\nthreshold: {method: quantile}\n"
        "ensemble: {members: [./result/ae, ./result/density]}\n"
    )
    ganad("run", "both.yaml", cwd=results)
    plots_of = results / "result" / "both" / "report" / "plots"
    for left in ("comparison.png", "system-7-0/clip_00.png", "own.png"):
        write_wav(plots_of / left, tone(), format="WAV")
    ganad("report", "result/both", "--clips", "1", cwd=results)
    assert sorted(path.name for path in plots_of.iterdir()) == ["own.png", "system-0-0"]
    text = (results / "result" / "both" / "report" / "report.html").read_text()
    assert "Ensemble of ae and density." in text
    for name in ("ae", "density"):
        assert f'<th scope="row">{name}: learned little</th>' in text
    assert "steps, fewer than 200; raise fit.epochs" in text
    assert text.count("<audio") >= 2
    scores = results / "result" / "ae" / "anomaly_score_fan_id_00.csv"
    good = scores.read_text()
    scores.write_text(good.replace(",", ",1", 1))
    try:
        done = ganad("report", "result/both", cwd=results, check=2)
    finally:
        scores.write_text(good)
    assert "/result/ae are not those that were combined; run `ganad score` on the ensemble again." in done.stderr


@pytest.mark.slow
def test_an_ensemble_is_seen_and_heard_as_its_members_see_and_hear(results, ganad):
    small = ["--set", "feature.n_mels=64", "feature.hop_length=256", "audio.sample_rate=8000", "audio.resample=true"]
    for name in ("ae", "density"):
        folders = [f"{kind}_directory=./{kind}_small/{name}" for kind in ("cache", "model", "result")]
        ganad("run", f"{name}.yaml", *FAST, *small, "--set", *folders, cwd=results)
    (results / "small.yaml").write_text(
        "result_directory: ./result_small/both\nthreshold: {method: quantile}\n"
        "ensemble: {members: [./result_small/ae, ./result_small/density]}\n"
    )
    ganad("run", "small.yaml", cwd=results)
    ganad("report", "result_small/both", "--clips", "1", cwd=results)
    (fan,) = facts.gather(results / "result_small" / "both")
    ((_, seen),) = clips.read_views(fan, [fan.scored[0].clip])
    assert seen.log_mel.shape[1] == len(seen.hz) == 64
    assert seen.hz[-1] < 4000
    assert len(seen.log_mel) * seen.seconds_per_spectrum == pytest.approx(1.0, abs=0.05)
    text = (results / "result_small" / "both" / "report" / "report.html").read_text()
    sound = base64.b64decode(re.search(r'src="data:audio/flac;base64,([^"]+)"', text)[1])
    assert soundfile.info(io.BytesIO(sound)).samplerate == 8000
