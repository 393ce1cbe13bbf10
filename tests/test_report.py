"""The report, opened in a browser as its readers open it."""

import csv
import shutil

import pytest
from conftest import tone, write_machine, write_wav

from ganad_tf.input_sections import Audio
from ganad_tf.report import facts
from ganad_tf.report.sound import Embedded

ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-sync")
FAST = ["--set", "fit.epochs=2", "model.hidden=[16]"]
ODD = '<img src=x onerror="document.title=1">&amp;'


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
    (place / "mine.yaml").write_text(
        "dataset: {name: folder}\ndev_directory: ./mine\neval_directory: ./new\n"
        "result_directory: ./result/mine\nmodel_directory: ./model/mine\n"
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
    chosen = fan.chosen(2)
    assert [each.clip.name for each in chosen["Most anomalous"]] == [row["clip"] for row in clips[:2]]
    assert [each.clip.name for each in chosen["Most normal"]] == [row["clip"] for row in clips[:-3:-1]]
    for each in fan.scored:
        assert each.is_wrong == ((each.score > fan.threshold) != each.clip.name.startswith("anomaly"))


def test_the_page_needs_nothing_but_itself(page):
    assert all(url.startswith(("file:", "data:", "blob:")) for url in page.asked)
    assert sum(url.startswith("file:") for url in page.asked) == 1
    assert page.locator("h2").all_inner_texts()[:3] == ["Comparison", "ae", "density"]


def test_every_picture_is_there_and_has_words(page):
    for picture in page.locator("img").all():
        picture.scroll_into_view_if_needed()
        assert len(picture.get_attribute("alt")) > 20
    page.wait_for_function("[...document.images].every((image) => image.complete && image.naturalWidth > 100)")
    assert page.locator("img").count() >= 15


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


def test_every_player_plays(page):
    players = page.locator("audio").all()
    assert len(players) >= 8
    for player in players:
        assert "Recording" in player.get_attribute("aria-label")
        player.evaluate("async (each) => { each.muted = true; await each.play(); }")
        page.wait_for_function("(each) => each.currentTime > 0", arg=player.element_handle())
        assert player.evaluate("(each) => each.duration") == pytest.approx(1.0, abs=0.05)
        player.evaluate("(each) => each.pause()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault_for_those_who_read_otherwise(page, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page.emulate_media(color_scheme=scheme)
    page.evaluate("document.querySelectorAll('details').forEach((each) => (each.open = true))")
    found = axe.run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")] == []


def test_the_page_fits_a_phone_and_a_sheet_of_paper(page):
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator("audio").first.is_visible()


def test_new_recordings_have_a_report_and_their_names_are_only_names(results, browser, ganad):
    for mode in ("--dev", "--eval"):
        ganad("run", "mine.yaml", mode, *FAST, cwd=results)
    ganad("report", "result/mine", cwd=results)
    path = results / "result" / "mine" / "report" / "report.html"
    page = browser.new_page()
    page.goto(path.as_uri())
    assert page.title() == "Anomaly scores of mine"
    new = page.locator("section.machine", has_text="mine, eval").last
    assert new.locator("h5").first.inner_text().startswith(ODD)
    assert page.locator("img[src=x]").count() == 0
    rows = [row for row in rows_of(path.parent / "machines.csv") if row["mode"] == "eval"]
    assert [(row["auc"], row["unlabelled"]) for row in rows] == [("", "2")] * 2


def test_recordings_that_do_not_fit_are_links(tmp_path):
    path = write_wav(tmp_path / "a #1.wav", tone())
    embedded = Embedded(tmp_path / "page", limit_mb=1.5 * path.stat().st_size / 2**20)
    assert embedded.player(path, Audio()).startswith("data:audio/flac;base64,")
    assert embedded.player(path, Audio()) == "../a%20%231.wav"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda place: shutil.rmtree(place / "result" / "ae"), "there are none; run `ganad score` first"),
        (lambda place: shutil.rmtree(place / "cache"), "Expected a cache"),
        (lambda place: (place / "model" / "ae" / "dev" / "fan" / "detector.keras").write_bytes(b"x"), "can't be read"),
        (lambda place: next((place / "dev_data" / "fan" / "test").iterdir()).unlink(), "does not list the test clips"),
    ],
)
def test_what_is_missing_is_said_in_one_sentence(results, tmp_path, ganad, spoil, message):
    for folder in ("result", "cache", "model", "dev_data"):
        shutil.copytree(results / folder, tmp_path / folder)
    for path in (tmp_path / "result").rglob("score_origin_*.json"):
        path.write_text(path.read_text().replace(str(results), str(tmp_path)))
    spoil(tmp_path)
    done = ganad("report", "result/ae", cwd=tmp_path, check=2)
    assert message in done.stderr
    assert not (tmp_path / "result" / "ae" / "report" / "report.html").exists()


def test_an_ensemble_has_a_report(results, ganad):
    (results / "both.yaml").write_text(
        "result_directory: ./result/both\nthreshold: {method: quantile}\n"
        "ensemble: {members: [./result/ae, ./result/density]}\n"
    )
    ganad("run", "both.yaml", cwd=results)
    ganad("report", "result/both", "--clips", "1", cwd=results)
    text = (results / "result" / "both" / "report" / "report.html").read_text()
    assert "Ensemble of ae and density." in text
    assert text.count("<audio") >= 2
