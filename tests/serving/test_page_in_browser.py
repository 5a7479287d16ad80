"""The page of predict, and the report of fit, in headless Chromium; skipped where that is not installed."""

import io
import shutil
import time

import numpy as np
import pytest
from PIL import Image
from small_server import serving

from deeplab_dpc.search.reporting.report_page import ReportSection, write_page

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, CHROMEDRIVER = (shutil.which("chromium") or shutil.which("google-chrome")), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and CHROMEDRIVER), reason="Chromium and its driver are not installed")

RED, BLUE, BLACK = (255, 0, 0), (0, 0, 255), (0, 0, 0)
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync") + (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
)
DATA = """
const data = new DataTransfer();
data.items.add(new File([Uint8Array.from(arguments[0])], arguments[1]));
"""
DROP = f"{DATA} document.body.dispatchEvent(new DragEvent('drop', {{dataTransfer: data, bubbles: true}}));"
PASTE = f"{DATA} document.body.dispatchEvent(new ClipboardEvent('paste', {{clipboardData: data, bubbles: true}}));"
PIXEL = """
const found = document.getElementById(arguments[0]).getContext("2d").getImageData(arguments[1], arguments[2], 1, 1);
return [...found.data];
"""


class _Browser:
    """Chromium at the page."""

    def __init__(self, driver, downloads):
        self.driver = driver
        self.downloads = downloads

    def drop(self, content, name, how=DROP):
        self.driver.execute_script(how, list(content), name)

    def text(self, name):
        return self.driver.find_element("id", name).text.replace("\xa0", " ")

    def pixel(self, canvas, x, y):
        return self.driver.execute_script(PIXEL, canvas, x, y)

    def legend(self):
        """The name and the share of each class."""
        script = "return [...document.querySelectorAll('#legend li')].map(row => row.innerText)"
        return [row.replace("\xa0", " ").split("\n") for row in self.driver.execute_script(script)]

    def wait(self, condition):
        """Waits, and returns what the condition returns once it is true."""
        deadline = time.monotonic() + 10
        while not (found := condition()):
            assert time.monotonic() < deadline, self.driver.find_element("tag name", "body").text
            time.sleep(0.02)
        return found

    def download(self, button):
        before = set(self.downloads.iterdir())
        self.driver.find_element("id", button).click()
        new = lambda: [path for path in set(self.downloads.iterdir()) - before if path.suffix == ".png"]  # noqa: E731
        path = self.wait(new)[0]
        return path.name, np.asarray(Image.open(path))


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for option in (*OPTIONS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}", "--window-size=1200,900"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(CHROMEDRIVER))
    downloads = tmp_path_factory.mktemp("downloads")
    driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
    yield _Browser(driver, downloads)
    driver.quit()


@pytest.fixture
def browser(chromium):
    """The page, freshly loaded."""
    with serving() as server:
        chromium.driver.get(server.url)
        chromium.wait(lambda: "3 classes" in chromium.text("model"))
        yield chromium
        chromium.driver.get("about:blank")


def _encoded(pixels):
    stream = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(stream, format="PNG")
    return stream.getvalue()


def _three_classes():
    """40 x 20 pixels: the left half red, at the right blue above black."""
    pixels = np.zeros((20, 40, 3))
    pixels[:, :20], pixels[:5, 20:] = RED, BLUE
    return _encoded(pixels)


def _drop_three_classes(browser):
    browser.drop(_three_classes(), "scene.png")
    browser.wait(browser.legend)


def test_dropped_image_is_shown_with_overlay_and_legend(browser):
    _drop_three_classes(browser)
    assert browser.legend() == [["disk <b>", "50.0 %"], ["ground", "37.5 %"], ["ring", "12.5 %"]]
    assert [browser.pixel("overlay", *place) for place in ((0, 0), (39, 0), (39, 19))] == [
        [200, 0, 0, 255],
        [0, 0, 200, 255],
        [0, 0, 0, 255],
    ]
    assert browser.pixel("picture", 39, 0) == [0, 0, 255, 255]
    assert browser.text("facts").startswith("scene.png, 40 \u00d7 20 pixels, predicted in ")
    stage = browser.driver.find_element("id", "stage")
    label = "scene.png with its classes: disk <b> 50.0 %, ground 37.5 %, ring 12.5 %"
    assert stage.accessible_name.replace("\xa0", " ") == label
    # Nothing was asked of another server, and nothing was refused by the content policy.
    requests = browser.driver.execute_script("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [address.rsplit("/", 1)[1] for address in requests] == ["model", "predict"]
    assert [line for line in browser.driver.get_log("browser") if line["source"] != "rendering"] == []


def test_class_is_hidden_by_its_box_and_named_under_the_pointer(browser):
    _drop_three_classes(browser)
    browser.driver.find_element("css selector", "#legend input").click()
    assert browser.pixel("overlay", 0, 0) == [0, 0, 0, 0]
    assert browser.pixel("overlay", 39, 0) == [0, 0, 200, 255]
    stage = browser.driver.find_element("id", "stage")
    webdriver.ActionChains(browser.driver).move_to_element_with_offset(stage, 100, -80).perform()
    assert browser.text("under").startswith("ring at (")
    stage.send_keys(webdriver.Keys.ARROW_DOWN * 30)
    assert browser.text("under").startswith("ground at (")
    assert browser.text("under").endswith(", 19)")


def test_files_that_are_saved_hold_class_ids_and_blended_colours(browser):
    _drop_three_classes(browser)
    name, class_ids = browser.download("save_ids")
    assert name == "scene_class_ids.png"
    np.testing.assert_array_equal(class_ids[[0, 19]], [[1] * 20 + [2] * 20, [1] * 20 + [0] * 20])
    name, overlay = browser.download("save_overlay")
    assert name == "scene_overlay.png"
    assert overlay.shape[:2] == (20, 40)
    # 55 % of (200, 0, 0) over red, and of (0, 0, 200) over blue
    np.testing.assert_allclose(overlay[0, [0, 39], :3], [[225, 0, 0], [0, 0, 225]], atol=1)


def test_image_may_be_chosen_or_pasted(browser, tmp_path):
    (tmp_path / "chosen.png").write_bytes(_three_classes())
    browser.driver.find_element("id", "file").send_keys(str(tmp_path / "chosen.png"))
    browser.wait(lambda: browser.text("facts").startswith("chosen.png, 40 \u00d7 20 pixels"))
    browser.drop(_three_classes(), "pasted.png", PASTE)
    browser.wait(lambda: browser.text("facts").startswith("pasted.png, 40 \u00d7 20 pixels"))


def test_file_that_is_no_image_is_explained_and_replaces_the_result(browser):
    _drop_three_classes(browser)
    browser.drop(b"no image", "notes.txt")
    sentence = "The image cannot be read as an image: it is none of JPEG, PNG, BMP, WEBP."
    browser.wait(lambda: browser.text("error") == sentence)
    assert not browser.driver.find_element("id", "shown").is_displayed()
    _drop_three_classes(browser)
    assert not browser.driver.find_element("id", "error").is_displayed()


def test_large_image_is_refused_and_shrunk_if_asked(browser):
    browser.drop(_encoded(np.broadcast_to(np.array(RED), (200, 100, 3))), "wide.png")
    sentence = "wide.png has 0.02 megapixels, and this server takes 0.01 megapixels."
    browser.wait(lambda: browser.text("sentence") == sentence)
    shrink = browser.driver.find_element("id", "shrink")
    assert shrink.text == "Shrink it to 70 \u00d7 141"
    shrink.click()
    browser.wait(browser.legend)
    assert browser.legend() == [["disk <b>", "100.0 %"]]
    assert browser.text("facts").startswith("wide.png, 70 \u00d7 141 pixels")


PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
RIGHT = "return [...document.querySelectorAll('td')].map(cell => cell.getBoundingClientRect().right)"


def test_report_is_readable_on_a_phone_and_needs_no_other_file(chromium, tmp_path):
    weights = f"label_weights = {','.join(['0.528'] * 19)}"
    table = ("Choices and reasons", ("choice", "why"), [(weights, "rare classes"), ("train_batch_size = 8", "by time")])
    picture = ("A picture", _encoded(np.zeros((300, 900, 3))))
    sections = [ReportSection("The plan", f"A line with {weights}.", [picture], [table])]
    write_page(tmp_path, sections, "mIOU 65.77 %", "index.html")
    driver = chromium.driver
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    try:
        driver.get((tmp_path / "index.html").as_uri())
        assert driver.find_element("tag name", "h1").text == "mIOU 65.77 %"
        assert driver.execute_script("return document.documentElement.scrollWidth") <= PHONE["width"]
        rights = driver.execute_script(RIGHT)
        assert len(rights) == 4
        assert max(rights) <= PHONE["width"]
        assert driver.execute_script("return document.images[0].naturalWidth") == 900
        assert driver.execute_script("return performance.getEntriesByType('resource').length") <= 1  # picture
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        driver.get("about:blank")
