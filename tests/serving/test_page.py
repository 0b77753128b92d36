"""The page in a real browser, served by the real process: what a visitor does and sees."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from browser import Tab, needs_chromium, tab
from hybridface.rotations import picture_axes
from served import Served, serving

pytestmark = [pytest.mark.browser, needs_chromium]
FAKE = ("use-fake-device-for-media-stream",)
LONG = 1500.0  # one browser for all of these tests, on a machine that may be busy
READY = "document.getElementById('about').textContent"
DEALT = "document.querySelectorAll('.answer').length == 2"
PROBLEM = "document.getElementById('problem').textContent"
TITLE = "document.getElementById('result-title').textContent"
TRACK = "document.getElementById('video').srcObject.getTracks()[0]"
WIDTH = "document.documentElement.scrollWidth"
CAPTIONS = "[...document.querySelectorAll('.answer figcaption')]"
UNNAMED = """[...document.querySelectorAll('button, input, select, video, img, summary')]
    .filter(e => e.checkVisibility() && !(e.alt || e.labels?.length || e.textContent.trim()
        || e.getAttribute('aria-label'))).length"""
SMALL = """[...document.querySelectorAll('button:not(.box), .button, select')]
    .filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 43).length"""
# WCAG's contrast of each text with the nearest ground behind it that is not transparent.
CONTRASTS = """(() => {
    const parts = colour => colour.match(/[\\d.]+/g).map(Number);
    const light = colour => parts(colour).slice(0, 3).map(each => each / 255)
        .map(each => each <= 0.04045 ? each / 12.92 : ((each + 0.055) / 1.055) ** 2.4)
        .reduce((sum, each, place) => sum + each * [0.2126, 0.7152, 0.0722][place], 0.05);
    const ground = element => {
        const own = getComputedStyle(element).backgroundColor;
        return parts(own)[3] === 0 ? ground(element.parentElement) : own;
    };
    const written = element => [...element.childNodes].some(e => e.nodeType == 3 && e.data.trim());
    return [...document.body.querySelectorAll('*:not(noscript, option)')]
        .filter(e => e.checkVisibility() && written(e)).map(e => {
            const [one, other] = [getComputedStyle(e).color, ground(e)].map(light);
            return [e.textContent.trim(), Math.max(one, other) / Math.min(one, other)];
        });
})()"""


@pytest.fixture(scope="module")
def served(model: Path) -> Iterator[Served]:
    with serving("--model", str(model), "--max-mb", "1") as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("profile"), *FAKE, patience=LONG) as found:
        yield found


@pytest.fixture
def page(served: Served, browser: Tab) -> Tab:
    browser.complaints.clear()
    browser.requests.clear()
    browser.open(f"{served.address}/", 1200)
    browser.wait_until(READY)
    return browser


@pytest.fixture
def photo(tmp_path: Path, astronaut: bytes) -> Path:
    (tmp_path / "astronaut.jpg").write_bytes(astronaut)
    return tmp_path / "astronaut.jpg"


@pytest.mark.parametrize("width", [1200, 360])
def test_a_photo_gives_boxes_bars_axes_and_the_other_half(
    page: Tab, served: Served, photo: Path, width: int
) -> None:
    page.open(f"{served.address}/", width)
    page.wait_until(READY)
    page.choose_file("#file", photo)
    page.wait_until(DEALT)
    assert page.ask(TITLE) == "One face was found"
    assert page.ask("document.activeElement.id") == "result-title"
    assert page.ask("document.querySelectorAll('.box').length") == 1
    assert page.ask("document.querySelectorAll('#axes line').length") == 3
    assert page.ask("document.querySelectorAll('.bars').length") == 2
    text = page.ask("document.querySelector('.face').innerText")
    for said in ("Expression:", "Gender:", "Head pose", "Age:", "give or take", "unsure"):
        assert said in text
    box = page.ask(
        "(() => { const b = document.querySelector('.box').getBoundingClientRect(), "
        "p = document.getElementById('photo').getBoundingClientRect(); return [(b.left - p.left) "
        "/ p.width * 512, (b.top - p.top) / p.height * 512, b.width / p.width * 512]; })()"
    )
    assert box == pytest.approx([181, 58, 88], abs=3)
    assert page.ask(WIDTH) <= width
    assert page.ask(UNNAMED) == page.ask(SMALL) == 0
    assert page.complaints == []
    own = (f"{served.address}/", f"blob:{served.address}/")
    assert all(each.startswith(own) for each in page.requests)


def test_what_was_dealt_is_shown_as_the_server_says(page: Tab, photo: Path) -> None:
    page.ask("""window.asked = [], window.kept = window.fetch, window.fetch = async (...a) => {
        const answer = await window.kept(...a); window.asked.push(await answer.clone().json());
        return answer; }, 0""")
    page.choose_file("#file", photo)
    page.wait_until(DEALT)
    puzzle, inpaint = page.ask("window.asked.at(-1).answers")
    order = puzzle["dealt"]
    dealt = " ".join(str(tile + 1) for tile in order)
    back = " ".join(str(order[slot] + 1) for slot in puzzle["laid"])
    captions = page.ask(
        "[...document.querySelectorAll('.answer figcaption')].map(e => e.innerText)"
    )
    assert captions[:2] == [f"As it was dealt: {dealt}", f"As the model put it back: {back}"]
    said = page.ask("document.querySelector('.puzzle').innerText")
    assert f"named {puzzle['right']} of 4 tiles rightly" in said
    lie_right = sum(order[slot] == place for place, slot in enumerate(puzzle["laid"]))
    assert f"{lie_right} of 4 lie right" in said
    rows = page.ask(
        "[...document.querySelectorAll('.puzzle tbody tr')].map(r => [...r.cells]"
        ".map(c => c.textContent.split(' ')[0]))"
    )
    for slot, row in enumerate(rows):
        tile, named = order[slot], puzzle["answered"][slot]
        verdict = "right" if tile == named else "wrong"
        assert row == [str(slot + 1), str(tile + 1), str(named + 1), verdict]
    assert f"{inpaint['psnr']:.1f} dB" in page.ask("document.querySelector('.inpaint').innerText")
    shown = page.ask("[...document.querySelectorAll('.answer img')].map(i => i.src)")
    order_shown = ("dealt", "answered", "intact")
    assert shown == [each["pictures"][name] for each in (puzzle, inpaint) for name in order_shown]
    page.ask("document.getElementById('deal').click()")
    page.wait_until("!document.getElementById('deal').disabled && window.asked.length >= 3")
    assert page.ask("window.asked.at(-1).seed != window.asked.at(-2).seed")


def test_the_face_chosen_last_is_the_one_dealt(page: Tab, photo: Path, tmp_path: Path) -> None:
    pair = Image.new("RGB", (1024, 512))
    with Image.open(photo) as one:
        for left in (0, 512):
            pair.paste(one, (left, 0))
    pair.save(tmp_path / "pair.jpg")
    page.choose_file("#file", tmp_path / "pair.jpg")
    page.wait_until(DEALT)
    page.ask("""window.deals = [], window.fetch = (path, {signal}) => new Promise(done => {
        const pictures = {dealt: 'data:,', answered: 'data:,', intact: 'data:,'};
        const answers = [{kind: 'inpaint', holes: 0.5, psnr: Number(path.at(-1)), pictures}];
        window.deals.push({signal, answer: () => done(Response.json({answers}))}); }), 0""")
    page.ask("""[1, 0].forEach(face => { const which = document.getElementById('which-face');
        which.value = face; which.dispatchEvent(new Event('change')); })""")
    shown = "document.getElementById('answers').innerText"
    assert page.ask(shown) == ""
    assert page.ask("window.deals.map(each => each.signal.aborted)") == [True, False]
    assert page.ask("document.getElementById('deal').disabled")
    for late in (1, 0):
        page.ask(f"window.deals[{late}].answer()")
        page.ask("new Promise(done => setTimeout(done, 200))")
        assert "within 0.0 dB" in page.ask(shown)
        assert not page.ask("document.getElementById('deal').disabled")


def test_a_file_that_is_no_photo_and_one_that_is_too_large(page: Tab, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    page.choose_file("#file", tmp_path / "notes.txt")
    page.wait_until(PROBLEM)
    assert "could not be read as a photo" in page.ask(PROBLEM)
    assert not page.ask("document.getElementById('result').checkVisibility()")
    (tmp_path / "large.png").write_bytes(bytes(1_000_001))
    page.choose_file("#file", tmp_path / "large.png")
    page.wait_until(f"{PROBLEM}.includes('1 MB at most')")


def test_no_face_is_said_plainly(page: Tab, tmp_path: Path) -> None:
    Image.new("RGB", (200, 100), (120, 160, 120)).save(tmp_path / "wall.png")
    page.choose_file("#file", tmp_path / "wall.png")
    page.wait_until("document.getElementById('result').checkVisibility()")
    assert page.ask(TITLE) == "No face was found"
    assert "Try a photo" in page.ask("document.getElementById('faces').innerText")
    assert not page.ask("document.getElementById('other-half').checkVisibility()")
    assert page.complaints == []


def test_a_photo_chosen_while_another_is_decoded_is_the_one_shown(
    page: Tab, photo: Path, tmp_path: Path
) -> None:
    Image.new("RGB", (200, 100), (120, 160, 120)).save(tmp_path / "wall.png")
    page.ask("""window.decoded = [], HTMLImageElement.prototype.decode = () =>
        new Promise(done => window.decoded.push(done)), 0""")
    for number, path in enumerate((photo, tmp_path / "wall.png"), 1):
        page.choose_file("#file", path)
        page.wait_until(f"window.decoded.length == {number}")
    page.ask("window.decoded.reverse().forEach(done => done())")
    page.wait_until("document.getElementById('result').checkVisibility()")
    assert page.ask(TITLE) == "No face was found"
    assert page.ask("document.querySelectorAll('.box').length") == 0
    assert not page.ask("document.getElementById('other-half').checkVisibility()")
    assert not any("self-supervised" in each for each in page.requests)


def test_a_photo_may_be_pasted_or_dropped(page: Tab, photo: Path) -> None:
    content = base64.b64encode(photo.read_bytes()).decode()
    page.ask(f"""(() => {{
        const bytes = Uint8Array.from(atob({json.dumps(content)}), c => c.charCodeAt(0));
        const data = new DataTransfer();
        data.items.add(new File([bytes], 'pasted.jpg', {{type: 'image/jpeg'}}));
        document.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: data}}));
    }})()""")
    page.wait_until(DEALT)
    page.ask("document.getElementById('answers').replaceChildren()")
    data = {"items": [], "files": [str(photo)], "dragOperationsMask": 1}
    for step in ("dragEnter", "dragOver", "drop"):
        page.send("Input.dispatchDragEvent", type=step, x=300, y=250, data=data)
    page.wait_until(DEALT)


def test_a_camera_that_is_refused_is_no_dead_end(page: Tab, photo: Path) -> None:
    page.permit("camera", "denied")
    page.ask("document.getElementById('camera').click()")
    page.wait_until(PROBLEM)
    assert "The camera was refused" in page.ask(PROBLEM)
    page.choose_file("#file", photo)
    page.wait_until(DEALT)
    assert page.ask(PROBLEM) == ""


def test_the_camera_takes_a_picture_and_is_closed(page: Tab) -> None:
    page.permit("camera", "granted")
    page.ask("document.getElementById('camera').click()")
    page.wait_until("document.getElementById('video').videoWidth > 0")
    page.ask("window.track = document.getElementById('video').srcObject.getTracks()[0], 0")
    page.ask("document.getElementById('shoot').click()")
    page.wait_until("document.getElementById('result').checkVisibility()")
    assert page.ask("window.track.readyState") == "ended"
    assert page.ask("document.getElementById('photo').naturalWidth") > 0
    assert not page.ask("document.getElementById('camera-panel').checkVisibility()")


def test_a_second_stream_of_the_camera_ends_the_first(page: Tab) -> None:
    page.permit("camera", "granted")
    page.ask("document.getElementById('camera').click()")
    assert page.ask("document.getElementById('camera').disabled")
    page.wait_until("document.getElementById('video').videoWidth > 0")
    assert page.ask("document.getElementById('camera').disabled")
    page.ask(f"window.first = {TRACK}, 0")
    page.ask("import('/web/camera.js').then(m => m.open())")
    page.ask(f"window.second = {TRACK}, 0")
    assert page.ask("[window.first.readyState, window.second.readyState]") == ["ended", "live"]
    page.ask("document.getElementById('close-camera').click()")
    assert page.ask("window.second.readyState") == "ended"
    assert page.ask("document.activeElement.id") == "camera"


def test_a_camera_that_gives_no_picture_is_closed(page: Tab) -> None:
    page.permit("camera", "granted")
    page.ask(f"""HTMLMediaElement.prototype.play = async () => {{
        window.track = {TRACK}; throw new DOMException('', 'NotSupportedError'); }}, 0""")
    page.ask("document.getElementById('camera').click()")
    page.wait_until(PROBLEM)
    assert page.ask("window.track.readyState") == "ended"
    assert "The camera gave no picture (NotSupportedError)" in page.ask(PROBLEM)
    assert not page.ask("document.getElementById('camera-panel').checkVisibility()")
    assert not page.ask("document.getElementById('camera').disabled")


def test_the_keyboard_reaches_everything(page: Tab, photo: Path) -> None:
    page.choose_file("#file", photo)
    page.wait_until(DEALT)
    reached = []
    for _ in range(12):
        page.press("Tab", 9)
        now = "document.activeElement.id || document.activeElement.className"
        reached.append(page.ask(now) or page.ask("document.activeElement.tagName"))
        if reached[-1] == "deal":
            break
    assert reached[0] == "box" and reached[-1] == "deal"
    shown = "[...document.querySelectorAll('.answer img')].map(i => i.src).join()"
    page.ask(f"window.before = {shown}, 0")
    page.press("Enter", 13)
    page.wait_until(f"{shown} != window.before")


def test_axes_point_as_in_python(page: Tab) -> None:
    angles = np.random.default_rng(0).uniform(-90, 90, (20, 3))
    poses = [dict(zip(("yaw", "pitch", "roll"), each, strict=True)) for each in angles.tolist()]
    script = f"import('/web/drawing.js').then(m => {json.dumps(poses)}.map(m.axes))"
    np.testing.assert_allclose(page.ask(script), picture_axes(angles), atol=1e-9)


@pytest.mark.parametrize(
    ("mean", "deviation", "unit", "said", "ends", "band"),
    [
        (-0.6, 0.2, "", ("-0.6", "0.2", "-0.8", "-0.4"), "-1 1", (10, 20)),
        (-0.02, 0.3, "", ("0.0", "0.3", "-0.3", "0.3"), "-0.5 0.5", (18, 60)),
        (0.031, 0.004, "m", ("0.031 m", "0.004", "0.027", "0.035"), "0 0.05", (54, 16)),
        (131.4, 12, "mm", ("131 mm", "12", "119", "143"), "0 200", (59.7, 12)),
        (31.4, 5.2, "years", ("31 years", "5", "26", "37"), "0 100", (26.2, 10.4)),
        (2, 4.4, "years", ("2 years", "4", "0", "6"), "0 100", (0, 6.4)),
        (99, 4, "years", ("99 years", "4", "95", "103"), "0 150", (63.3, 5.3)),
    ],
)  # fmt: skip
def test_a_number_is_written_as_finely_as_its_deviation_allows(
    page: Tab, mean: float, deviation: float, unit: str, said: tuple[str, ...],
    ends: str, band: tuple[float, float],
) -> None:  # fmt: skip
    reading = {"mean": mean, "deviation": deviation} | ({"unit": unit} if unit else {})
    (found,) = numbers(page, [reading])
    about, more, low, high = said
    assert found["said"] == (
        f"Valence: about {about}, give or take {more}: most likely between {low} and {high}."
    )
    assert found["ends"] == ends
    assert found["band"] == pytest.approx(band, abs=0.1)


def test_numbers_of_several_faces_lie_on_one_bar(page: Tab) -> None:
    readings = [{"mean": mean, "deviation": 0.1} for mean in (0.3, -1.4)]
    found = numbers(page, readings)
    assert [each["ends"] for each in found] == ["-2 2", "-2 2"]
    assert [each["band"][0] for each in found] == pytest.approx([55, 12.5])


def numbers(page: Tab, readings: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what the cards of faces with one number each show."""
    faces = json.dumps([{"valence": each} for each in readings])
    found: list[dict[str, Any]] = page.ask(f"""import('/web/readings.js').then(m => {{
        const faces = {faces}, tasks = {{valence: {{kind: 'regression'}}}};
        return faces.map((_, number) => {{
            const shown = m.card(faces, number, tasks).querySelector('section');
            const band = shown.querySelector('.track span').style;
            return {{said: shown.querySelector('p').textContent,
                ends: [...shown.querySelectorAll('.ends span')].map(e => e.textContent).join(' '),
                band: [band.left, band.width].map(parseFloat)}}; }}); }})""")
    return found


def test_a_server_with_a_key_asks_for_it(model: Path, browser: Tab, photo: Path) -> None:
    with serving("--model", str(model), "--api-key", "s3cret") as served:
        browser.open(f"{served.address}/", 360)
        form = "document.getElementById('key-form').checkVisibility()"
        browser.wait_until(form)
        refused = f"{PROBLEM}.includes('not accepted')"
        for key, until in (
            ("wrong", refused), ("“s3cret”", f"{PROBLEM}.includes('quotation marks')"),
            (None, form), ("s3cret", READY),
        ):  # fmt: skip
            if key is None:  # a page that is loaded again with it
                browser.open(f"{served.address}/", 360)
            else:
                browser.ask(f"document.getElementById('key').value = '{key}'")
                browser.ask("document.getElementById('key-form').requestSubmit()")
            browser.wait_until(until)
        assert not browser.ask(form)
        browser.choose_file("#file", photo)
        browser.wait_until(DEALT)


def test_a_key_is_taken_where_the_browser_stores_nothing(
    model: Path, browser: Tab, photo: Path
) -> None:
    denied = (
        "Object.defineProperty(window, 'sessionStorage', {get() { throw new Error('denied') }})"
    )
    script = browser.send("Page.addScriptToEvaluateOnNewDocument", source=denied)
    with serving("--model", str(model), "--api-key", "s3cret") as served:
        browser.open(f"{served.address}/", 360)
        browser.send("Page.removeScriptToEvaluateOnNewDocument", **script)
        browser.wait_until("document.getElementById('key-form').checkVisibility()")
        browser.ask("document.getElementById('key').value = 's3cret'")
        browser.ask("document.getElementById('key-form').requestSubmit()")
        browser.wait_until(READY)
        browser.choose_file("#file", photo)
        browser.wait_until(DEALT)


@pytest.mark.parametrize("chosen", ["while it is down", "once it is back"])
def test_a_server_that_is_down_at_first_needs_no_reload(
    page: Tab, served: Served, photo: Path, chosen: str
) -> None:
    down = "window.kept = window.fetch; window.fetch = async () => Response.json({}, {status: 502})"
    script = page.send("Page.addScriptToEvaluateOnNewDocument", source=down)
    page.open(f"{served.address}/", 1200)
    page.send("Page.removeScriptToEvaluateOnNewDocument", **script)
    page.wait_until(PROBLEM)
    assert page.ask("document.getElementById('again').checkVisibility()")
    if chosen == "while it is down":
        page.choose_file("#file", photo)
        page.wait_until(PROBLEM)
    page.ask("window.fetch = window.kept, 0")
    if chosen == "while it is down":
        page.ask("document.getElementById('again').click()")
    else:
        page.choose_file("#file", photo)
    page.wait_until(DEALT)
    assert page.ask(READY)
    assert page.ask(PROBLEM) == ""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_what_is_behind_it(
    page: Tab, served: Served, scheme: str
) -> None:
    page.open(f"{served.address}/", 1200, scheme=scheme)
    page.wait_until(READY)
    page.ask("document.querySelectorAll('[hidden]').forEach(e => { e.hidden = false; })")
    faint = {words: each for words, each in page.ask(CONTRASTS) if each < 4.5}
    assert faint == {}


def test_the_description_is_a_page(page: Tab, served: Served) -> None:
    page.open(f"{served.address}/docs", 360)
    page.wait_until("document.querySelectorAll('section.card').length > 8")
    assert "POST /v1/predict" in page.ask("document.body.innerText")
    assert page.ask(WIDTH) <= 360
    assert page.complaints == []
