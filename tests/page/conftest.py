"""Pages, and a real browser to look at them; without one, the tests that need it are left out (never on CI)."""

import os
import shutil

import page_data
import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# As root and without network: no sandbox, and nothing that looks for its makers.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="session")
def pages(tmp_path_factory):
    """Each page as a file, by name."""
    folder = tmp_path_factory.mktemp("pages")
    made = {}
    for name in ("with_policies", "with_ensemble", "hostile", "odd"):
        made[name] = folder / f"{name}.html"
        getattr(page_data, name)().save(made[name])
    return made


@pytest.fixture(scope="module")
def browser():
    """Chromium, headless; closed with its tests, for its driver keeps an event loop running."""
    path = os.environ.get("KLIMIT_TEST_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        assert not os.environ.get("CI"), "no browser: install chromium (make test does so where it may)"
        pytest.skip("no browser is installed: chromium, or name one in KLIMIT_TEST_BROWSER")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield opened
        opened.close()
