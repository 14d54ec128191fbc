"""`index.html` as people use it: headless Chromium, offline. Nothing may be requested, and the console stays empty."""

import re
import shutil

import pytest
from playwright.sync_api import expect, sync_playwright

from sprint_lmeval.report.leaderboard import leaderboard
from sprint_lmeval.report.page.write import write_page
from sprint_lmeval.runs.comparable import comparable_groups
from sprint_lmeval.runs.run import read_runs
from tests.shared.gate_examples import write_run
from tests.shared.page_examples import BETTER, HOSTILE, make_page

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LEADERBOARD, QUESTIONS = "#leaderboard-table tbody tr", "#questions-table tbody tr"


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"NO BROWSER: the page was not looked at, none of {', '.join(BROWSERS)} is installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Opened:
    """A page that was opened, and what went wrong on it."""

    def __init__(self, browser, path, **options):
        self.said, self.requests = [], []
        self.context = browser.new_context(offline=True, **{"viewport": {"width": 1280, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(60_000)
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def column(self, table: str, place: int) -> list[str]:
        return self.page.locator(f"{table} td:nth-child({place})").all_inner_texts()

    def heads(self) -> list[str]:
        return self.page.locator("#leaderboard-table thead th").all_inner_texts()

    def chart(self, what: str):
        return self.page.evaluate(f"document.getElementById({what.split('.')[0]!r}).{what.split('.', 1)[1]}")

    def choose_question(self, snippet: str):
        self.page.fill("#questions-search", snippet)
        self.page.locator(f"{QUESTIONS} button").first.click()
        self.page.wait_for_selector("#question:not([hidden])")
        return self.page.locator("#question")


@pytest.fixture
def opened(browser, path):
    one = Opened(browser, path)
    yield one
    one.context.close()
    local = [url for url in one.requests if not url.startswith(("blob:", "data:"))]
    assert local == [path.as_uri()], "the page asked for something"
    assert one.said == [], "the console is not empty"


def test_it_opens(opened):
    page = opened.page
    assert page.title() == "sprint-lmeval report" and page.locator("#problem").is_hidden()
    assert page.locator("#summary").inner_text() == "3 runs of 2 models on tiny_passn, 12 questions"
    assert page.locator(LEADERBOARD).count() == 3
    assert "lab/large<b>" in opened.column(LEADERBOARD, 1)
    assert page.locator("footer").inner_text().startswith("A note.")


def test_the_leaderboard_sorts(opened):
    place = opened.heads().index("Pass@1") + 1
    head = opened.page.locator(f"#leaderboard-table thead th:nth-child({place})")
    head.click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert opened.column(LEADERBOARD, place) == ["25.0", "16.7", "0.0"]
    head.locator("[tabindex]").focus()
    opened.page.keyboard.press("Enter")
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert opened.column(LEADERBOARD, place) == ["0.0", "16.7", "25.0"]


def test_what_is_best_stands_on_top_and_rare_columns_behind_a_switch(opened):
    assert opened.page.locator("#best li").inner_text().startswith("org/small on tiny_passn: coverage is best")
    assert "Difference" in opened.heads() and not {"Mean", "Questions", "N"} & set(opened.heads())
    cell = opened.page.locator("#leaderboard-table td.difference", has_text="to spread at N = 4")
    assert re.match(r"\+75\.0 \(\+.* to \+.*\)\np 0\.\d+ / 0\.\d+; to spread at N = 4", cell.inner_text())
    opened.page.locator("#leaderboard-more").check()
    assert {"Mean", "Questions", "N"} < set(opened.heads())
    opened.page.locator("#leaderboard-more").uncheck()
    assert "Mean" not in opened.heads()


@pytest.mark.parametrize("width", [390, 1280])
def test_the_leaderboard_fits(browser, path, width):
    one = Opened(browser, path, viewport={"width": width, "height": 900})
    wide = one.page.locator("#leaderboard .wide")
    assert wide.evaluate("node => node.scrollWidth <= node.clientWidth")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= width
    cell = one.page.locator("#leaderboard-table tbody td.difference").first
    assert cell.evaluate("node => getComputedStyle(node, '::before').content") == (
        '"Difference"' if width < 700 else "none"
    )
    one.context.close()


def test_fifty_runs_are_paged(browser, tmp_path):
    for seed in range(50):
        write_run(tmp_path / "runs" / str(seed), ["cici"] * 6, sprint={"strategy": "random", "strategy_seed": seed})
    write_page(leaderboard(comparable_groups(read_runs([tmp_path / "runs"]).runs)), [], tmp_path / "index.html")
    one = Opened(browser, tmp_path / "index.html")
    assert one.page.locator(LEADERBOARD).count() == 25 and one.page.locator("#curves-legend button").count() == 51
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 1280
    one.page.locator("#leaderboard .dt-paging-button", has_text="2").click()
    assert one.page.locator(LEADERBOARD).count() == 25 and one.said == []
    one.context.close()


def test_the_leaderboard_filters(opened):
    opened.page.locator("#filter-1").select_option(label="coverage")
    assert opened.column(LEADERBOARD, 2) == ["coverage"]
    opened.page.locator("#filter-1").select_option(label="all")
    opened.page.fill("#leaderboard-search", "large")
    assert opened.column(LEADERBOARD, 1) == ["lab/large<b>"]
    opened.page.fill("#leaderboard-search", "nothing like it")
    assert opened.page.locator("#leaderboard-table").inner_text().endswith("No run fits.")


def test_the_legend_toggles_curves(opened):
    button = opened.page.locator("#curves-legend button", has_text="org/small: coverage")
    assert button.get_attribute("aria-pressed") == "true" and opened.chart("curves-chart.data.length") == 3
    button.focus()
    opened.page.keyboard.press("Space")
    assert button.get_attribute("aria-pressed") == "false"
    names = opened.chart("curves-chart.data.map((line) => line.name)")
    assert len(names) == 2 and "org/small: coverage" not in names and "lab/large&lt;b&gt;: spread" in names
    button.click()
    assert opened.chart("curves-chart.data.length") == 3
    everything = opened.page.get_by_role("button", name="Show all / none")
    everything.click()
    assert opened.chart("curves-chart.data.length") == 0
    everything.click()
    assert opened.page.locator("#curves-chart .scatterlayer .trace").count() == 3


def test_curves_show_the_values(opened):
    opened.page.get_by_text("Values as a table").first.click()
    table = opened.page.locator("#curves-values").inner_text()
    assert re.search(r"org/small: coverage\s+16.7\s+91.7\s+91.7\s+100.0", table)
    find = ".data.find((line) => line.name === 'org/small: coverage')"
    assert opened.chart(f"curves-chart{find}.y") == pytest.approx([100 / 6, 1100 / 12, 1100 / 12, 100], abs=0.01)
    opened.page.locator("#curves-axis").select_option(value="tokens")
    assert opened.chart(f"curves-chart{find}.x") == [10, 30, 60, 100]
    opened.page.locator("#curves-bands").check()
    assert opened.chart("curves-chart.data.length") == 6


def test_the_heat_map_follows_the_subject(opened):
    assert opened.chart("heads-chart.data[0].z") == [[0, 0], [-25, 0]]
    opened.page.locator("#heads-subject").select_option(label="算术 (2)")
    opened.page.locator("#heads-measure").select_option(label="Pass@1, %")
    assert opened.chart("heads-chart.data[0].z") == [[50, 100], [0, 0]]
    assert opened.chart("heads-chart.data[0].y") == ["L0", "L2"]
    assert "The whole model solves 50.0 % of these 2 questions." in opened.page.locator("#heads-note").inner_text()


def test_a_question_is_explored(opened):
    opened.page.locator("#questions-run").select_option(label="org/small: coverage")
    question = opened.choose_question("pen costs")
    assert question.locator(".problem-text math msup").count() == 1
    assert "a pen costs $2 and a book $5" in question.inner_text()
    assert "Algebra · level 1 · test/0" in question.inner_text() and "Correct answer: 9" in question.inner_text()
    question.get_by_text("The prompt as sent").click()
    expect(question.locator(".prompt pre")).to_have_text("Question: What is 0 + 1?\nAnswer:")
    rows = question.locator(".cards tbody tr")
    cells = [re.split(r"\s+", row) for row in rows.all_inner_texts()]
    assert [row[:5] for row in cells] == [
        ["1", "base", "0.9000", "✓", "correct"],
        ["2", "L0H0", "0.5000", "✓", "correct"],
        ["3", "L0H1", "0.2500", "✗", "incorrect"],
        ["4", "L0H2", "0.1250", "✓", "correct"],
    ]
    assert "cut" in cells[1] and "cut" not in cells[0]
    rows.first.locator("summary").click()
    expect(rows.first.locator("pre")).to_have_text("it is 0 0 #### 0")
    strip = question.locator(".strips tr", has_text="org/small: spread")
    assert strip.locator(".sign").all_inner_texts() == ["✗", "✓", "✗", "✗"]
    strip.locator("button").click()
    question.get_by_text("org/small: spread: answers in the order of the strategy").wait_for()
    assert (
        opened.page.locator("#questions-run").evaluate("node => node.selectedOptions[0].label") == "org/small: spread"
    )
    assert (
        question.locator(".cards thead").inner_text().split() == "Rank Candidate Verdict Answer Tokens Response".split()
    )


def test_questions_are_filtered_and_stepped_through(opened):
    page = opened.page
    page.locator("#questions-run").select_option(label="org/small: coverage")
    page.locator("#questions-outcome").select_option(label="solved by the first answer")
    first = sum(letters[0] == "c" for letters in BETTER)
    assert page.locator(QUESTIONS).count() == first == 2
    page.locator("#questions-outcome").select_option(label="runs differ")
    assert page.locator(QUESTIONS).count() == 9
    page.locator("#questions-outcome").select_option(label="any")
    page.locator("#questions-subject").select_option(label="Algebra")
    assert opened.column(QUESTIONS, 3) == ["Algebra", "Algebra"]
    button = page.locator(f"{QUESTIONS} button").first
    button.focus()
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Question 1").wait_for()
    assert page.evaluate("document.activeElement.id") == "question"
    page.get_by_role("button", name="next →").press("Enter")
    page.get_by_role("heading", name="Question 2").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "next →"
    page.get_by_role("button", name="close").click()
    assert page.locator("#question").is_hidden()


def test_an_address_leads_to_a_question_and_a_view(browser, path, tmp_path):
    one = Opened(browser, path)
    one.page.locator("#curves-bands").check()
    one.page.locator("#filter-1").select_option(label="coverage")
    one.page.locator("#questions-run").select_option(label="org/small: spread")
    one.page.locator("#questions-subject").select_option(label="Algebra")
    one.choose_question("window.hacked")
    one.page.get_by_role("heading", name="Question 2").wait_for()
    link = one.page.locator("#question header a")
    expect(link).to_have_attribute("href", one.page.evaluate("location.hash"))
    address = one.page.url
    assert "question=test%2F1" in address and "questions-run=org%2Fsmall" in address
    other = one.context.new_page()
    other.goto(address)
    other.get_by_role("heading", name="Question 2").wait_for()
    other.wait_for_selector("html[data-ready]")
    chosen = "(id) => document.getElementById(id).selectedOptions[0].textContent"
    assert other.evaluate(chosen, "questions-run") == "org/small: spread"
    assert other.evaluate(chosen, "questions-subject") == "Algebra" and other.locator("#curves-bands").is_checked()
    assert other.locator(LEADERBOARD).count() == 1 and other.locator(QUESTIONS).count() == 1
    other.get_by_role("button", name="close").click()
    assert "question=" not in other.url
    other.goto(path.as_uri() + "#question=nothing&questions-run=<b>&filter-1=x&__proto__=1")
    other.reload()
    other.wait_for_selector("html[data-ready]")
    assert other.locator("#question").is_hidden() and other.locator("#problem").is_hidden()
    assert one.said == []
    one.context.close()


def test_a_page_without_texts(browser, tmp_path):
    one = Opened(browser, make_page(tmp_path, texts=False))
    one.page.locator(f"{QUESTIONS} button").first.click()
    one.page.wait_for_selector("#question:not([hidden])")
    shown = one.page.locator("#question").inner_text()
    assert "The text of the problem is not in this page." in shown and "Correct answer" not in shown
    assert one.page.locator("#question .cards td.response").all_inner_texts() == ["left out"] * 4
    assert one.page.locator("#question .prompt").count() == 0
    one.context.close()


def test_hostile_texts_are_shown_and_never_run(opened):
    opened.page.locator("#questions-run").select_option(label="org/small: coverage")
    question = opened.choose_question("window.hacked")
    assert question.locator(".problem-text").inner_text() == HOSTILE
    question.locator(".cards summary").first.click()
    expect(question.locator(".cards pre").first).to_have_text(HOSTILE)
    assert HOSTILE in question.locator(".cards td.answer").all_inner_texts()
    assert question.locator(".cards td.answer mfrac").count() == 1
    assert question.locator("img, script, b").count() == 0
    assert opened.page.evaluate("window.hacked") is None


def test_responses_beside_the_page_are_loaded_when_they_are_asked_for(browser, tmp_path):
    one = Opened(browser, make_page(tmp_path, room=0))
    assert not [url for url in one.requests if "/block-" in url]
    one.page.locator("#questions-run").select_option(label="org/small: coverage")
    question = one.choose_question("window.hacked")
    question.locator(".cards summary").first.click()
    expect(question.locator(".cards pre").first).to_have_text(HOSTILE)
    [loaded] = {url for url in one.requests if "/block-" in url}
    assert loaded.startswith((tmp_path / "responses").as_uri()) and one.said == []
    one.context.close()


def test_a_page_without_its_responses_says_so(browser, tmp_path):
    path = make_page(tmp_path, room=0)
    shutil.rmtree(tmp_path / "responses")
    one = Opened(browser, path)
    question = one.choose_question("pen costs")
    assert re.search(r"responses/block-\d-0.js is not beside the page", question.inner_text())
    assert question.locator(".problem-text math").count() and question.locator(".strips tr").count() == 3
    one.context.close()


def test_the_policy_of_a_page_with_files_beside_it_holds(browser, tmp_path):
    one = Opened(browser, make_page(tmp_path, room=0))
    (tmp_path / "other.js").write_text("window.ran = 1")
    one.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {src: 'other.js'}))")
    one.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    tried = "fetch('https://example.org/').then(() => 'sent', (error) => error.name)"
    assert one.page.evaluate(tried) == "TypeError" and one.page.evaluate("window.ran") is None
    assert len([said for said in one.said if "Content Security Policy" in said]) >= 3
    one.context.close()


def test_the_policy_holds(browser, path):
    one = Opened(browser, path)
    one.page.evaluate("document.body.append(Object.assign(document.createElement('script'), {text: 'window.ran = 1'}))")
    tried = "fetch('https://example.org/').then(() => 'sent', (error) => error.name)"
    assert one.page.evaluate(tried) == "TypeError" and one.page.evaluate("window.ran") is None
    assert len([said for said in one.said if "Content Security Policy" in said]) >= 2
    one.context.close()


def background(page) -> str:
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_dark_and_light(browser, path):
    one = Opened(browser, path, color_scheme="dark")
    assert background(one.page) == "rgb(20, 23, 26)" and one.chart("curves-chart.layout.font.color") == "#e4e7ea"
    button = one.page.locator("#theme")
    assert button.get_attribute("aria-pressed") == "true"
    button.click()
    assert background(one.page) == "rgb(247, 247, 245)" and one.chart("curves-chart.layout.font.color") == "#1d2329"
    one.page.reload()
    one.page.wait_for_selector("html[data-ready]")
    assert background(one.page) == "rgb(247, 247, 245)" and one.said == []  # the choice is kept
    one.context.close()


def test_the_system_is_followed_while_the_page_is_open(browser, path):
    one = Opened(browser, path, color_scheme="light")
    one.page.emulate_media(color_scheme="dark")
    expect(one.page.locator("body")).to_have_css("background-color", "rgb(20, 23, 26)")
    assert one.chart("heads-chart.layout.font.color") == "#e4e7ea"
    one.context.close()


def test_a_phone(browser, path):
    one = Opened(browser, path, viewport={"width": 375, "height": 812}, has_touch=True)
    question = one.choose_question("pen costs")
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 375
    for block in question.locator(".cards tbody tr, .strips tr").all():
        box = block.bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= 375
    cell = question.locator(".cards tbody td").first
    assert cell.evaluate("node => getComputedStyle(node, '::before').content") == '"Rank"'
    expect(one.page.locator("#questions-table td.about-problem").first).to_be_hidden()
    for link in one.page.locator("nav a, nav button").all():
        box = link.bounding_box()
        assert box["x"] + box["width"] <= 375
    assert one.said == []
    one.context.close()


def test_every_control_is_reached_by_keyboard_and_has_a_name(opened):
    page = opened.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "leaderboard"
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))
    ids = page.evaluate("[...document.querySelectorAll('select, input, nav button')].map((node) => node.id)")
    assert set(ids) <= reached and "Show all / none" in reached
    assert len([name for name in reached if name.endswith(("lab/large<b>: spread", "org/small: coverage"))]) >= 2
    unnamed = "[...document.querySelectorAll('select, input')].filter((node) => !node.labels.length).map((n) => n.id)"
    assert page.evaluate(unnamed) == []


@pytest.mark.parametrize(("runs", "matrices"), [(True, False), (False, True)])
def test_sections_without_data_are_not_shown(browser, tmp_path, runs, matrices):
    one = Opened(browser, make_page(tmp_path, runs=runs, matrices=matrices))
    for name in ("leaderboard", "curves", "questions"):
        assert one.page.locator(f"#{name}").is_visible() == runs
    for place in ("#heads", 'nav a[href="#heads"]'):
        assert one.page.locator(place).is_visible() == matrices
    assert one.said == []
    one.context.close()


def test_a_damaged_page_says_so(browser, path, tmp_path):
    damaged = tmp_path / "index.html"
    text = path.read_text("utf-8")
    damaged.write_text(re.sub(r'(id="core">).{40}', r"\1", text), "utf-8")
    page = browser.new_page()
    page.goto(damaged.as_uri())
    page.wait_for_selector("#problem:not([hidden])", timeout=10_000)
    assert "The page could not be shown" in page.locator("#problem").inner_text()
    page.close()
