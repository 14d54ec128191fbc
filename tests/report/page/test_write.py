"""`index.html` as a file: its policy, its texts, its size, its colours."""

import base64
import hashlib
import re

import pytest

from sprint_lmeval.errors import InputError
from sprint_lmeval.report.page.write import STATIC, write_page
from tests.shared.page_examples import HOSTILE, make_page, packed


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_page(tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def text(path):
    return path.read_text("utf-8")


def test_the_policy_names_the_one_script(text):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    [script] = re.findall(r'<script type="module">(.*?)</script>', text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' blob:;" in policy and policy.startswith("default-src 'none';")
    assert set(re.findall(r"<script\b[^>]*>", text)) - {'<script type="module">'} == set(
        re.findall(r'<script type="text/plain" id="[\w-]+">', text)
    )


def test_no_text_of_a_problem_or_a_model_is_markup(text):
    assert HOSTILE not in text and "window.hacked" not in text
    assert "lab/large<b>" not in text
    core = packed(text, "core")
    assert any("lab/large<b>" in run["label"] for run in core["runs"])
    assert core["notes"] == ["A note."]


def test_nothing_is_loaded_from_elsewhere(text):
    without_parts = re.sub(r'<script type="text/plain".*?</script>', "", text, flags=re.S)
    assert not re.search(r"""(?:src|href|action)\s*=\s*["']?(?!#|data:)[a-z/.]""", without_parts.replace("src: a", ""))
    assert not re.search(r"url\(\s*['\"]?(?!data:|#)", without_parts) and "@import" not in without_parts


def test_blocks_that_have_no_room_stand_beside_the_page(tmp_path, text):
    first = re.search(r'id="block-0-0">([^<]*)<', text)[1]
    page = make_page(tmp_path, room=len(first)).read_text("utf-8")
    inside = set(re.findall(r'id="(block-[\w-]+)"', page))
    beside = {file.stem: file.read_text() for file in (tmp_path / "responses").iterdir()}
    assert inside and beside and not inside & beside.keys()
    assert inside | beside.keys() == set(re.findall(r'id="(block-[\w-]+)"', text))
    for name, script in beside.items():
        packed_text = re.fullmatch(r'document\.currentScript\.packed = "([\w+/=]+)";\n', script)[1]
        assert f'id="{name}">{packed_text}<' in text


def test_only_a_page_with_files_beside_it_allows_them(tmp_path, text):
    """By a nonce that no text of the page can name, since it is a digest of all of them."""
    assert "nonce" not in text.partition("<style>")[0]
    nonces = []
    for number, room in enumerate((0, 1_500)):
        page = make_page(tmp_path / str(number), room=room).read_text("utf-8")
        nonces += [re.search(r"blob: 'nonce-([0-9a-f]{64})';", page)[1]]
        assert f'<script type="module" nonce="{nonces[-1]}">' in page
    assert nonces[0] != nonces[1]


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_page([], [], tmp_path / "file" / "index.html")


def luminance(color: str) -> float:
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [":root {", ":root.dark {"])
def test_contrast_of_both_themes(theme):
    style = (STATIC / "page.css").read_text()
    block = style[style.index(theme) :].split("}")[0]
    color = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
    for name in ("text", "quiet", "accent"):  # WCAG AA of text
        assert min(contrast(color[name], color[back]) for back in ("page", "panel", "hover")) >= 4.5, name
    assert contrast(color["good"], color["good-back"]) >= 4.5 and contrast(color["bad"], color["bad-back"]) >= 4.5
    assert contrast(color["text"], color["none-back"]) >= 4.5
    for number in range(10):  # of lines
        assert contrast(color[f"series-{number}"], color["panel"]) >= 3
