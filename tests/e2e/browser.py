"""Home Assistant's web page in a headless browser, read and clicked as a person does.

The page nests shadow roots in shadow roots, so everything is found by walking the whole
tree: texts by what can be read, fields by the label above them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
import shutil
import time
from typing import Any, Final, cast

from selenium.common.exceptions import JavascriptException, WebDriverException
from selenium.webdriver import Chrome
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

WIDTH: Final = 1280
HEIGHT: Final = 900

PATIENCE: Final = 20.0
LOOK_AGAIN: Final = 0.1
STILL: Final = 0.6
"""Seconds in which nothing has moved."""

BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome")

FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
    "--lang=en-US",
)

_WALK: Final = """
const visible = (element) => {
  const box = element.getBoundingClientRect();
  return box.width > 0 && box.height > 0
    && element.checkVisibility({visibilityProperty: true, opacityProperty: true});
};
const nodes = function* (node) {
  yield node;
  if (node.shadowRoot) yield* nodes(node.shadowRoot);
  for (const child of node.childNodes) yield* nodes(child);
};
"""

_READ: Final = (
    _WALK
    + """
const read = [];
for (const node of nodes(document.body)) {
  if (node.nodeType !== Node.TEXT_NODE || !node.parentElement) continue;
  if (["STYLE", "SCRIPT"].includes(node.parentElement.tagName)) continue;
  const text = node.textContent.trim().replace(/\\s+/g, " ");
  if (text && visible(node.parentElement)) read.push(text);
}
return read;
"""
)

_FIND_TEXT: Final = (
    _WALK
    + """
const found = [];
for (const node of nodes(document.body)) {
  if (node.nodeType !== Node.TEXT_NODE || !node.parentElement) continue;
  const text = node.textContent.trim().replace(/\\s+/g, " ");
  if (text === arguments[0] && visible(node.parentElement)) found.push(node.parentElement);
}
return found;
"""
)

_FIND_INPUT: Final = (
    _WALK
    + """
for (const input of nodes(document.body)) {
  if (input.nodeName !== "INPUT" || !visible(input)) continue;
  const labels = [input.placeholder, input.ariaLabel];
  for (let up = input; up; up = up.parentNode ?? up.host) {
    if (up.nodeName && up.nodeName.startsWith("HA-SELECTOR")) break;
    if (typeof up.label === "string") labels.push(up.label);
    if (up.nodeName === "HUI-NUMBER-ENTITY-ROW") {
      const name = up.hass.states[up._config.entity].attributes.friendly_name;
      if (name.endsWith(` ${arguments[0]}`)) return input;
    }
  }
  if (labels.includes(arguments[0])) return input;
}
return null;
"""
)

_FIND_BUTTON: Final = (
    _WALK
    + """
for (const button of nodes(document.body)) {
  if (!["HA-ICON-BUTTON", "HA-SWITCH"].includes(button.nodeName)) continue;
  if (!visible(button)) continue;
  for (let up = button; up && up.nodeName !== "HA-FORM"; up = up.parentNode ?? up.host) {
    if (up.label === arguments[0]) return button;
  }
}
return null;
"""
)

_HAS_ICONS: Final = (
    _WALK
    + """
document.documentElement.style.caretColor = "transparent";
for (const node of nodes(document.body)) {
  if (node.nodeName !== "HA-SVG-ICON" && node.nodeName !== "HA-ICON") continue;
  if (!visible(node)) continue;
  if (![...nodes(node)].some((part) => part.nodeName === "path")) return false;
}
return true;
"""
)


class Page:
    """A page in the browser."""

    def __init__(self, driver: Chrome, url: str, screenshots: Path) -> None:
        """Look at the Home Assistant at ``url``; pictures go to a folder."""
        self._driver = driver
        self._url = url
        self._screenshots = screenshots

    def open(self, path: str) -> None:
        """Go to a page of Home Assistant."""
        self._driver.get(f"{self._url}{path}")

    @property
    def path(self) -> str:
        """Where the browser is now."""
        return self._driver.current_url.removeprefix(self._url)

    @property
    def texts(self) -> list[str]:
        """All that can be read, from top to bottom."""
        return cast(list[str], self._run(_READ) or [])

    def wait_for(self, *texts: str, seconds: float = PATIENCE) -> None:
        """Wait until all of ``texts`` can be read, each by itself."""

        def can_be_read() -> bool:
            read = self.texts
            return all(text in read for text in texts)

        self.wait_until(can_be_read, f"{texts} cannot be read", seconds)

    def wait_for_part(self, part: str, seconds: float = PATIENCE) -> None:
        """Wait until ``part`` can be read as a part of some text."""
        self.wait_until(
            lambda: any(part in text for text in self.texts),
            f"{part!r} cannot be read",
            seconds,
        )

    def wait_until(
        self, condition: Callable[[], object], otherwise: str, seconds: float = PATIENCE
    ) -> None:
        """Wait until ``condition`` is true. Raises ``AssertionError`` if it stays false."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                self.take_picture("failure")
                raise AssertionError(f"{otherwise}; there is: {' | '.join(self.texts)}")
            time.sleep(LOOK_AGAIN)

    def value_of(self, label: str) -> str:
        """Return the text that follows ``label``, an empty text if there is none."""
        read = self.texts
        if label not in read[:-1]:
            return ""
        return read[read.index(label) + 1]

    def click(self, text: str, *, last: bool = False) -> None:
        """Click what reads ``text``: the first such thing, or the last."""

        def is_clicked() -> bool:
            found = cast(list[WebElement], self._run(_FIND_TEXT, text) or [])
            if not found:
                return False
            # It may move or go away while it is about to be clicked.
            with suppress(WebDriverException):
                found[-1 if last else 0].click()
                return True
            return False

        self.wait_until(is_clicked, f"{text!r} cannot be clicked")

    def fill(self, label: str, value: str) -> None:
        """Replace what is in the field below ``label``."""

        def is_filled() -> bool:
            field = cast(WebElement | None, self._run(_FIND_INPUT, label))
            if field is None:
                return False
            with suppress(WebDriverException):
                field.send_keys(Keys.CONTROL, "a")
                field.send_keys(value)
                return field.get_property("value") == value
            return False

        self.wait_until(is_filled, f"{label!r} cannot be filled in")

    def press(self, label: str) -> None:
        """Click the first button without a text, or switch, that has this label."""

        def is_pressed() -> bool:
            button = cast(WebElement | None, self._run(_FIND_BUTTON, label))
            with suppress(WebDriverException):
                if button is not None:
                    button.click()
                    return True
            return False

        self.wait_until(is_pressed, f"{label!r} cannot be pressed")

    def leave(self, label: str) -> None:
        """Go on from a field to the next one, which takes over what was typed."""

        def is_left() -> bool:
            field = cast(WebElement | None, self._run(_FIND_INPUT, label))
            if field is not None:
                field.send_keys(Keys.TAB)
            return field is not None

        self.wait_until(is_left, f"there is no field {label!r}")

    def content_of(self, label: str) -> str:
        """Return what is in a field, an empty text if there is none."""
        field = cast(WebElement | None, self._run(_FIND_INPUT, label))
        return str(field.get_property("value")) if field is not None else ""

    def scroll_to(self, text: str) -> None:
        """Bring what reads ``text`` to the top of the window."""
        for element in self._run(_FIND_TEXT, text)[:1]:
            self._run("arguments[0].scrollIntoView({block: 'start'});", element)

    def resize(self, width: int, height: int) -> None:
        """Give the window a size, in pixels."""
        self._driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": width,
                "height": height,
                "deviceScaleFactor": 1,
                "mobile": False,
            },
        )

    def take_picture(self, name: str) -> None:
        """Take a picture, once all icons are there and nothing moves any more."""
        end = time.monotonic() + PATIENCE
        picture, since = b"", 0.0
        while time.monotonic() < end:
            taken = self._driver.get_screenshot_as_png()
            if taken != picture or not self._run(_HAS_ICONS):
                picture, since = taken, time.monotonic()
            elif time.monotonic() - since > STILL:
                break
            time.sleep(LOOK_AGAIN)
        (self._screenshots / f"{name}.png").write_bytes(picture)

    def _run(self, script: str, *arguments: object) -> Any:
        """Return the result of a script, ``None`` if the page is just being replaced."""
        with suppress(JavascriptException):
            return self._driver.execute_script(script, *arguments)
        return None


def find_browser() -> tuple[str, str] | None:
    """Return the paths of a browser and its driver, ``None`` if there are none."""
    driver = shutil.which("chromedriver")
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    return (browser, driver) if browser and driver else None


@contextmanager
def opened_page(
    browser: str,
    driver: str,
    url: str,
    *,
    profile: Path,
    screenshots: Path,
    time_zone: str,
) -> Iterator[Page]:
    """Open a browser with an empty profile."""
    options = Options()
    options.binary_location = browser
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    chrome = Chrome(options=options, service=Service(driver))
    try:
        page = Page(chrome, url, screenshots)
        page.resize(WIDTH, HEIGHT)
        chrome.execute_cdp_cmd(
            "Emulation.setTimezoneOverride", {"timezoneId": time_zone}
        )
        yield page
    finally:
        chrome.quit()
