"""Can users draw a digit on the page, and see what is read, and why?"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import ALONE, run_script
from drawing import Server, chromium, loading, serving, until
from PIL import Image, ImageDraw

from scripts.gallery.pen import ROUND, STEEP, curve, draw

SEVEN = ROUND["7"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LeNet trained on 4,000 real digits."""
    folder = tmp_path_factory.mktemp("drawing")
    done = run_script(folder, "fit.py", "--data", "mnist5k", "--epochs", "8", "--run-dir", "lenet", *ALONE)
    assert done.returncode == 0, done.stderr
    return folder / "lenet"


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page"), "--run", run) as server:
        until(lambda: server.state() == "ready", 300)
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(server: Server, browser: Any) -> Iterator[Any]:
    """The page in a fresh browser, which must request nothing from anywhere but the server."""
    yield from visit(server, browser)


@pytest.fixture
def phone(server: Server, browser: Any) -> Iterator[Any]:
    yield from visit(server, browser, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)


def visit(server: Server, browser: Any, **device: Any) -> Iterator[Any]:
    context = browser.new_context(**device)
    page, asked, said = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(server.address)
    page.wait_for_selector('#state[data-state="ready"]')
    yield page
    context.close()
    assert [url for url in asked if not url.startswith(server.address)] == []
    assert [text for text in said if "422" not in text] == []  # the console shows refusals as errors, too


def answer(page: Any) -> str:
    """Return the digit shown by the page, once it has an answer to what is on the paper."""
    page.wait_for_selector('#answer[aria-busy="false"]')
    return str(page.inner_text("#glyph"))


def photo(side: int = 900) -> bytes:
    """Return a JPEG of a pencilled 7 on shaded paper."""
    light = np.linspace(235, 150, side)[:, np.newaxis] + np.random.default_rng(0).normal(0, 3, (side, side))
    image = Image.fromarray(np.uint8(light.clip(0, 255)))
    pencil = ImageDraw.Draw(image)
    for stroke in SEVEN:
        pencil.line([tuple(point) for point in curve(stroke) * side], (70), side // 40, "curve")
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


def hand_over(page: Any, event: str, content: bytes, name: str = "photo.jpg") -> None:
    """Drop or paste a file."""
    page.evaluate(
        """([event, base64, name]) => {
            const data = new DataTransfer();
            const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
            data.items.add(new File([bytes], name, {type: "image/jpeg"}));
            const made = event === "paste"
                ? new ClipboardEvent("paste", {clipboardData: data, bubbles: true})
                : new DragEvent(event, {dataTransfer: data, bubbles: true, cancelable: true});
            document.querySelector("#paper").dispatchEvent(made);
        }""",
        [event, b64encode(content).decode(), name],
    )


def test_wrong_usage_is_one_line(script, tmp_path):
    for flags, message in {
        ("--port", "70000"): "argument --port: must be from 0 to 65535, not 70000 (see --help)",
        ("--runs", "none"): "no finished run in none; train one with python scripts/fit.py, or give the path of a run",
        ("--run", "nothing"): "nothing is neither a run directory nor a checkpoint",
        ("--recognizer", "nothing"): (
            "nothing is not an export: it has no spec.json; write one with python scripts/export.py"
        ),
        ("--run", "a", "--recognizer", "b"): "argument --recognizer: not allowed with argument --run (see --help)",
    }.items():
        done = script("draw.py", *flags)
        assert (done.returncode, done.stdout, done.stderr) == (2, "", f"draw.py: error: {message}\n")


def test_a_port_that_is_taken_is_named(tmp_path, script):
    with loading(tmp_path) as server:
        done = script("draw.py", "--recognizer", tmp_path, "--port", str(server.port))
    assert done.returncode == 1
    assert f"cannot use port {server.port}: Address already in use; use --port 0 for a free one" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_model_that_cannot_be_loaded_ends_the_page_with_one_line(tmp_path):
    (tmp_path / "spec.json").write_text("{}")
    with serving(tmp_path, "--recognizer", tmp_path) as server:
        assert server.process.wait(timeout=300) == 1
        why = f"{tmp_path / 'spec.json'} is damaged, or from an older Inkwell: format: Field required"
        assert server.log.read_text() == f"draw.py: loading {tmp_path}\ndraw.py: error: {why}\n"


def test_ctrl_c_ends_the_page_and_its_reader_even_while_it_loads(tmp_path):
    with loading(tmp_path) as server:
        assert server.state() == "loading"
        readers = psutil.Process(server.process.pid).children()
        assert server.stop() == 0
        assert not psutil.wait_procs(readers, timeout=300)[1]
        assert server.log.read_text() == f"draw.py: loading {tmp_path}\n"


def test_ctrl_c_at_once_is_no_failure(tmp_path):
    with loading(tmp_path) as server:
        assert server.stop() == 0


@pytest.mark.slow
def test_what_is_drawn_before_the_model_is_there_is_read_when_it_is(run, browser, tmp_path):
    with serving(tmp_path, "--run", run) as server:
        page = browser.new_page()
        page.goto(server.address)
        draw(page, SEVEN)
        assert page.inner_text("#state") == "Loading the model"
        assert page.inner_text("#detail") == "The model is loading; this will be read as soon as it is ready."
        page.wait_for_selector('#state[data-state="ready"]', timeout=60_000)
        assert answer(page) == "7"
        readers = psutil.Process(server.process.pid).children()
        assert server.stop() == 0
        assert not psutil.wait_procs(readers, timeout=300)[1]
        draw(page, ROUND["1"])
        page.get_by_text("draw.py does not respond; is it still running?", exact=True).wait_for()
        page.close()


@pytest.mark.slow
def test_nineteen_of_twenty_digits_drawn_by_two_hands_are_read(page):
    wrong = []
    for hand in (ROUND, STEEP):
        for digit, strokes in hand.items():
            draw(page, strokes)
            if (read := answer(page)) != digit:
                wrong.append((digit, read))
            page.keyboard.press("Escape")
    assert len(wrong) <= 1, wrong


@pytest.mark.slow
def test_the_answer_has_ten_bars_and_two_pictures_and_is_announced_once_the_pen_is_lifted(page):
    assert page.inner_text("#spoken") == ""
    draw(page, SEVEN)
    assert answer(page) == "7"
    assert page.locator("#bars li").count() == 10
    best = page.locator("#bars .best")
    assert best.count() == 1
    assert best.inner_text().split()[0] == "7"
    assert page.inner_text("#spoken").startswith("7, ")
    seen, mattered = (page.evaluate(PIXELS, name) for name in ("#seen", "#mattered"))
    assert len(seen) == len(mattered) == 28 * 28
    assert 40 < sum(red > 128 for red, _ in seen) < 300
    assert all(red == blue for red, blue in seen)  # gray
    assert any(red > blue + 50 for red, blue in mattered)  # some pixels glow


PIXELS = """(name) => {
    const canvas = document.querySelector(name);
    const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    return Array.from({length: canvas.width * canvas.height}, (_, k) => [pixels[4 * k], pixels[4 * k + 2]]);
}"""


@pytest.mark.slow
def test_a_photo_is_read_whether_dropped_pasted_or_opened(page):
    ways = {
        "drop": lambda: hand_over(page, "drop", photo()),
        "paste": lambda: hand_over(page, "paste", photo()),
        "open": lambda: page.set_input_files("#file", {"name": "a.jpg", "mimeType": "image/jpeg", "buffer": photo()}),
    }
    for way in ways.values():
        way()
        page.wait_for_selector("#hint", state="hidden")
        assert answer(page) == "7"
        page.get_by_role("button", name="Clear").click()
        assert page.inner_text("#says") == "Nothing drawn yet"


@pytest.mark.slow
def test_a_broken_picture_is_reported_in_words_and_what_was_before_comes_back(page):
    draw(page, SEVEN)
    hand_over(page, "drop", photo()[:3000])
    page.locator("#detail", has_text="image file is truncated").wait_for()
    assert page.inner_text("#glyph") == ""
    page.keyboard.press("Control+z")
    assert answer(page) == "7"


@pytest.mark.slow
def test_a_scribble_is_refused_in_words(page):
    draw(page, ["10,10 90,20 15,30 85,40 12,50 90,60 15,70 88,80 20,90", "20,90 30,10 40,92 55,8 62,90 75,12 88,90"])
    assert answer(page) == "?"
    assert page.inner_text("#says") not in ("", "Not read")
    assert page.inner_text("#spoken") == page.inner_text("#says")
    assert page.locator("#bars .best").count() == 0


@pytest.mark.slow
def test_undo_takes_back_a_stroke_and_also_a_clearing(page):
    undo, clear = (page.get_by_role("button", name=name) for name in ("Undo", "Clear"))
    assert undo.is_disabled()
    draw(page, ROUND["4"])
    assert answer(page) == "4"
    clear.click()
    assert page.inner_text("#glyph") == ""
    undo.click()
    assert answer(page) == "4"
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert page.inner_text("#says") == "Nothing drawn yet"
    assert undo.is_disabled()
    assert clear.is_disabled()


@pytest.mark.slow
def test_everything_can_be_done_with_the_keyboard_alone(page, server):
    keys = page.keyboard
    order = []
    for _ in range(9):
        keys.press("Tab")
        order.append(page.evaluate("document.activeElement.id || document.activeElement.name"))
    assert order[:3] == ["theme", "paper", "brush"]
    page.locator("#paper").focus()
    for key, times in (("ArrowUp", 9), (" ", 1), ("ArrowDown", 18), (" ", 1)):
        for _ in range(times):
            keys.press(key)
    assert answer(page) == "1"
    keys.press("Escape")
    assert page.inner_text("#says") == "Nothing drawn yet"
    keys.press("Control+z")
    assert answer(page) == "1"
    page.locator("#brush input:checked").focus()
    keys.press("ArrowRight")
    assert page.input_value("#brush input:checked") == "0.1"
    page.get_by_role("button", name="1", exact=True).focus()
    keys.press("Enter")
    page.get_by_role("dialog").wait_for()
    keys.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert answer(page) == "1"  # Escape closed the dialog and left the drawing


@pytest.mark.slow
def test_a_drawing_is_kept_once_consent_is_given_in_the_announced_place(page, server):
    inbox = server.log.parent / "inbox"
    draw(page, SEVEN)
    nine = page.get_by_role("button", name="9", exact=True)
    nine.click()
    assert str(inbox) in page.inner_text("dialog")
    page.get_by_role("button", name="Cancel").click()
    assert not inbox.exists()
    nine.click()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_text("Kept as 9: inbox/9/").wait_for()
    nine.click()  # the same picture again, without a question
    page.get_by_text("Kept as 9: inbox/9/").wait_for()
    (file,) = inbox.rglob("*.*")
    assert file.parent == inbox / "9"
    with Image.open(file) as image:
        assert (image.size, image.mode) == ((280, 280), "L")


@pytest.mark.slow
def test_a_finger_draws_on_a_phone_and_nothing_is_cut_off(phone):
    box = phone.locator("#paper").bounding_box()
    line = phone.context.new_cdp_session(phone)

    def touch(kind: str, *points: Any) -> None:
        at = [{"x": box["x"] + x * box["width"], "y": box["y"] + y * box["width"]} for x, y in points]
        line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": at})

    for stroke in SEVEN:
        first, *rest = curve(stroke)
        touch("touchStart", first)
        for point in rest:
            touch("touchMove", point)
        touch("touchEnd")
    assert answer(phone) == "7"
    assert phone.evaluate("document.documentElement.scrollWidth") == 390
    assert phone.evaluate("scrollY") == 0  # the finger drew and did not scroll


@pytest.mark.slow
@pytest.mark.parametrize("width", [320, 390, 700, 1280])
def test_nothing_overlaps_or_sticks_out(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    draw(page, SEVEN)
    answer(page)
    assert page.evaluate(COLLISIONS) == []


COLLISIONS = """() => {
    const shown = [...document.querySelectorAll("h1, #state, button, #paper, .brush label, #glyph, #says, #detail, "
        + "#bars span, .figures canvas, figcaption, h2")].filter((e) => e.offsetParent && e.textContent + e.id);
    const boxes = shown.map((e) => {
        const range = document.createRange();
        range.selectNodeContents(e);
        const box = e.getBoundingClientRect();
        const whole = e.children.length === 0 && getComputedStyle(e).overflow === "visible";
        const text = whole ? range.getBoundingClientRect() : box;
        return {name: e.id || e.className || e.textContent, left: Math.min(box.left, text.left || box.left),
            right: Math.max(box.right, text.right), top: box.top, bottom: box.bottom};
    });
    const meet = (a, b) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
        && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 1;
    const pairs = boxes.flatMap((a, k) => boxes.slice(k + 1).filter((b) => meet(a, b)).map((b) => [a.name, b.name]));
    return [...pairs, ...boxes.filter((a) => a.left < 0 || a.right > innerWidth).map((a) => a.name)];
}"""


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast_and_the_switch_is_remembered(page, scheme):
    page.emulate_media(color_scheme=scheme)
    draw(page, SEVEN)
    answer(page)
    assert page.get_attribute("html", "data-theme") == scheme
    assert page.evaluate(FAINT) == []  # 4.5 to 1: WCAG 2, AA
    page.click("#theme")
    other = {"light": "dark", "dark": "light"}[scheme]
    assert page.get_attribute("html", "data-theme") == other
    page.reload()
    assert page.get_attribute("html", "data-theme") == other


FAINT = """() => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    const light = (color) => {
        canvas.fillStyle = color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => v / 255)
            .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (e) => {
        const color = getComputedStyle(e).backgroundColor;
        return color === "rgba(0, 0, 0, 0)" ? ground(e.parentElement) : color;
    };
    const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    return [...document.querySelectorAll("body *")].filter((e) => e.offsetParent && own(e) && !e.disabled)
        .filter((e) => {
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))];
            return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
        }).map((e) => e.textContent);
}"""


@pytest.mark.slow
def test_every_control_has_a_name(page):
    tree = page.locator("body").aria_snapshot()
    for name in (
        'button "Undo"',
        'button "Clear"',
        'button "Open picture"',
        'radio "Thin"',
        'radio "Thick"',
        'application "Paper"',
        'group "Pen"',
        'group "Wrong? This is a"',
        'list "Probabilities"',
        'img "What the model saw"',
        'img "Which pixels mattered"',
        'toolbar "Tools"',
    ):
        assert name in tree, tree
    assert page.evaluate("getComputedStyle(document.querySelector('#paper')).touchAction") == "none"


@pytest.mark.slow
def test_fifty_people_at_once_are_all_answered(server):
    image = Image.new("L", (280, 280), 255)
    pen = ImageDraw.Draw(image)
    for stroke in SEVEN:
        pen.line([tuple(point) for point in curve(stroke) * 280], 0, 20, "curve")
    file = io.BytesIO()
    image.save(file, "PNG")
    with ThreadPoolExecutor(50) as people:
        answers = list(people.map(lambda _: server.request("POST", "/read", file.getvalue()), range(150)))
    assert {(status, answer["label"]) for status, answer in answers} == {(200, "7")}
