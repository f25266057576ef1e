"""The survey: which pairs, the page in a browser, and the answers that it saves."""

from __future__ import annotations

import re
import shutil
import subprocess
import urllib.parse
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from boed.cli import app
from boed.data.observation import Observation
from boed.report.survey.answers import ANSWERS, read_answers
from boed.report.survey.page import survey_page, write_survey
from boed.report.survey.pairs import Pair, likelihood_pairs

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Shades:
    """Completes by one shade of grey; lighter ones are the likelier, by the scene's own slope."""

    log_prob_is, levels, counts = "exact", 256, "hidden"

    def sample(self, observation: Observation, n: int, seed: Any = 0) -> Tensor:
        shades = torch.linspace(0.1, 0.9, n)[:, None, None, None, None]
        return observation.composite(shades.expand(n, *observation.values.shape))

    def log_prob(self, scene: Tensor, observation: Observation) -> Tensor:
        hidden = 1 - observation.mask
        slope = 1 + observation.values[:, 0, 0, 0]  # a seen corner
        return slope * (scene * hidden).sum((1, 2, 3))


class Same(Shades):
    """The likeliest completion alone."""

    deterministic = True


class Level(Shades):
    """All completions are as likely, but for those of two scenes: one impossible, one no more."""

    def log_prob(self, scene: Tensor, observation: Observation) -> Tensor:
        nats = torch.zeros(len(scene))
        nats[0] = -torch.inf
        return nats


def seen(number: int = 6, size: int = 8) -> Observation:
    scenes = torch.linspace(0, 1, number)[:, None, None, None].expand(-1, 1, size, size)
    mask = torch.zeros(number, 1, size, size)
    mask[:, :, :2] = 1
    return Observation.of(scenes, mask)


def made(number: int = 4) -> list[Pair]:
    return likelihood_pairs(seen(), Shades(), n=5, pairs=number)


def test_pairs_are_the_extremes_of_the_scenes_that_differ_most() -> None:
    found = made(3)
    assert [each.row for each in found] == [5, 4, 3]  # the steepest slopes
    for each in found:
        slope = 1 + each.row / 5
        assert each.difference == pytest.approx(slope * 0.8, rel=1e-4)  # nats of a hidden pixel
        assert each.most[0, -1, -1] == pytest.approx(0.9)
        assert each.least[0, -1, -1] == pytest.approx(0.1)
        assert torch.equal(each.most[:, :2], each.values[:, :2])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"n": 1}, "n is 1, expected at least 2"),
        ({"pairs": 0}, "pairs is 0"),
        ({"pairs": 7}, "pairs is 7, expected at most the scenes, 6"),
        (
            {"observation": Observation.everything(torch.zeros(6, 1, 8, 8))},
            "pairs is 2, and 0 of 6 scenes have hidden pixels",
        ),
        ({"completer": Same()}, "completer Same makes the same completion each time"),
        ({"completer": Level()}, "pairs is 2, and 0 of 6 scenes have hidden pixels"),
        ({"completer": object()}, "has no log_prob"),
    ],
)
def test_what_makes_no_pairs_is_refused(given: dict[str, Any], told: str) -> None:
    asked: dict[str, Any] = {"observation": seen(), "completer": Shades(), "pairs": 2, **given}
    with pytest.raises(ValueError, match=told):
        likelihood_pairs(asked.pop("observation"), asked.pop("completer"), **asked)


def test_scenes_that_hide_nothing_are_left_out() -> None:
    """As some of the mask `holes` do."""
    observation = seen()
    observation.mask[[1, 5]] = 1
    found = likelihood_pairs(observation, Shades(), n=5, pairs=4)
    assert [each.row for each in found] == [4, 3, 2, 0]


def test_the_page_stands_alone_and_shows_no_likelihood(tmp_path: Path) -> None:
    text, name = survey_page(made(), about="greys")
    assert survey_page(made(), about="greys") == (text, name)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)[^\"]*[/.]", text)  # nothing from elsewhere
    for each in made():
        assert f"{each.difference:.3f}" not in text
    out = tmp_path / "survey.html"
    assert write_survey(made(), out, about="greys") == name
    with pytest.raises(ValueError, match=r"survey\.html exists, and people may have been given it"):
        write_survey(made(), out, about="greys")
    with pytest.raises(ValueError, match="pairs is empty"):
        survey_page([], about="greys")


PROBE = """
<iframe src="survey.html" style="width:WIDTHpx;height:900px;border:0"></iframe>
<script>
const frame = document.querySelector('iframe'), said = [];
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const part = (name) => frame.contentDocument.getElementById(name);
const say = () => said.push(part('count').textContent);
const key = (name) => frame.contentDocument.dispatchEvent(
  new KeyboardEvent('keydown', {key: name, bubbles: true, cancelable: true}));
const reload = async () => { frame.contentWindow.location.reload(); await wait(600); };
const stored = () => Object.keys(localStorage).find((each) => each.startsWith('boed-survey-'));
const likelier = () => {
  const data = JSON.parse(part('survey-data').textContent);
  return data.questions.some((each) => each.most === part('left-image').src) ? 'left' : 'right';
};
onload = async () => {
  await wait(500);
  localStorage.clear();
  await reload();
  say();
  part(likelier()).click();                                     // agree, by button
  key(likelier() === 'left' ? 'ArrowRight' : 'ArrowLeft');      // disagree, by key
  say();
  key('Backspace');
  say();
  key(likelier() === 'left' ? 'ArrowRight' : 'ArrowLeft');
  const visitor = JSON.parse(localStorage.getItem(stored())).visitor;
  const before = part('seen').src + part('left-image').src;
  await reload();
  say();
  said.push(before === part('seen').src + part('left-image').src);
  said.push(visitor === JSON.parse(localStorage.getItem(stored())).visitor);
  const wide = frame.contentDocument.documentElement;
  said.push(wide.scrollWidth <= WIDTH);
  said.push(['left', 'right', 'neither', 'back'].every(
    (name) => part(name).getBoundingClientRect().height >= 44));
  part('neither').click();
  key('d');
  key('d');                                                     // of no question
  say();
  said.push(part('asking').hidden, part('thanks').hidden);
  said.push(part('download').href.split(',')[1]);
  part('change').click();                                       // the last one is not the last word
  say();
  part('neither').click();
  part('again').click();                                        // another person at the same screen
  await wait(600);
  say();
  said.push(visitor !== JSON.parse(localStorage.getItem(stored())).visitor);
  const sides = [], firsts = new Set();
  for (let visitor = 1; visitor <= 12; visitor++) {
    localStorage.setItem(stored(), JSON.stringify({visitor, answers: {}, place: 0}));
    await reload();
    firsts.add(part('seen').src);
    sides.push(likelier());
  }
  said.push(sides.filter((each) => each === 'left').length, firsts.size);
  localStorage.setItem(stored(), '{"visitor": "x"}');           // of another program
  await reload();
  say();
  document.title = said.join('|');
};
</script>"""
"""A visitor, who says in the title what the page shows."""


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium to run the page")
@pytest.mark.parametrize("width", [1000, 360])
def test_a_visitor_answers_in_a_browser(width: int, tmp_path: Path) -> None:
    write_survey(made(), tmp_path / "survey.html", about="greys")
    (tmp_path / "probe.html").write_text(PROBE.replace("WIDTH", str(width)))
    command = [
        str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--enable-logging=stderr", "--allow-file-access-from-files",
        f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,1000",
        "--virtual-time-budget=30000", "--dump-dom", (tmp_path / "probe.html").as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    said = done.stdout.split("<title>")[1].split("</title>")[0].split("|")
    counts, (same, visitor, fits, tall), ended = said[:4], said[4:8], said[8:]
    assert counts == ["1 of 4", "3 of 4", "2 of 4", "3 of 4"]
    assert [same, visitor, fits, tall] == ["true"] * 4
    assert ended[:3] == ["4 of 4 answered", "true", "false"]
    saved = tmp_path / "answers.csv"
    saved.write_text(urllib.parse.unquote(ended[3]))
    found = read_answers([saved])
    assert {each.answer: each.count for each in found.shares} == {
        "agree": 1, "disagree": 1, "don't know": 2,
    }  # fmt: skip
    assert (found.visitors, found.questions) == (1, 4)
    assert ended[4:7] == ["4 of 4", "1 of 4", "true"]
    assert 2 <= int(ended[7]) <= 10  # sides and order differ by visitor
    assert int(ended[8]) > 1
    assert ended[9] == "1 of 4"
    assert "CONSOLE" not in done.stderr


def answers(path: Path, *rows: str, header: str = "survey,visitor,question,answer") -> Path:
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def test_answers_are_counted_with_wilson_intervals(tmp_path: Path) -> None:
    first = answers(tmp_path / "a.csv", *(f"s,1,{i},agree" for i in range(6)))
    other = answers(tmp_path / "b.csv", "s,2,0,agree", "s,2,1,don't know", "s,2,2,disagree", "")
    found = read_answers([first, other, first])  # saved twice
    assert (found.visitors, found.questions, found.answers) == (2, 6, 9)
    agree = found.shares[0]
    assert [each.answer for each in found.shares] == list(ANSWERS)
    assert sum(each.count for each in found.shares) == 9
    z, p, n = 1.959964, 7 / 9, 9
    middle, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z * (p * (1 - p) / n + z * z / 4 / n**2) ** 0.5 / (1 + z * z / n),
    )
    assert (agree.low, agree.high) == pytest.approx((middle - half, middle + half), abs=1e-6)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (["s,1,0,perhaps"], "line 2: answer is 'perhaps', expected one of 'agree'"),
        (["s,1,0,agree", "t,1,1,agree"], "line 3 is of survey 't', expected 's'"),
        (["s,1,0,agree", "s,1,0,disagree"], "visitor 1 answered question 0 with 'disagree'"),
        (["s,1,0"], "line 2 is 's,1,0', expected a survey"),
        (["s,x,0,agree"], "line 2 is 's,x,0,agree', expected a survey"),
        ([], "hold no answer"),
    ],
)
def test_other_answers_are_refused(rows: list[str], told: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=told):
        read_answers([answers(tmp_path / "a.csv", *rows)])


def test_files_that_hold_no_answers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv cannot be read"):
        read_answers([tmp_path / "a.csv"])
    with pytest.raises(ValueError, match="has the columns a, b, expected survey, visitor"):
        read_answers([answers(tmp_path / "b.csv", header="a,b")])
    (tmp_path / "c.csv").write_bytes(b"\x89PNG\xff\x00")
    with pytest.raises(ValueError, match=r"c\.csv cannot be read"):
        read_answers([tmp_path / "c.csv"])
    with pytest.raises(ValueError, match="answers is empty"):
        read_answers([])


def boed(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(each) for each in arguments])


@pytest.mark.slow
def test_a_survey_of_the_shipped_completer_is_made_and_read(tmp_path: Path) -> None:
    out, given = tmp_path / "digits.html", ("--scenes", 4, "--completions", 2, "--pairs", 2)
    made = boed("survey", "make", "pc-cnn", *given, "--out", out)
    assert made.exit_code == 0, made.output
    text = out.read_text()
    name = re.search(r"survey (\w+):", made.output)
    assert name is not None
    assert f'"survey": "{name[1]}"' in text or f'"survey":"{name[1]}"' in text
    assert text.count("data:image/png;base64,") == 6  # what is seen and two completions of each
    again = boed("survey", "make", "pc-cnn", *given, "--out", out)
    assert again.exit_code == 2
    assert "exists, and people may have been given it" in " ".join(again.output.split())
    saved = answers(tmp_path / "a.csv", f"{name[1]},7,0,agree", f"{name[1]},7,1,disagree")
    read = boed("survey", "read", saved)
    assert read.exit_code == 0, read.output
    assert f"survey {name[1]}: visitors 1, questions 2, answers 2" in " ".join(read.output.split())
    assert "9.5% to 90.5%" in read.output  # one of two, by Wilson


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("flow",), "has no log_prob"),
        (("np",), "completer np has no log_prob; expected one with a likelihood, such as"),
        (("pc-cnn", "--pairs", 9, "--scenes", 8), "pairs is 9, expected at most"),
        (("pc-cnn", "--masks", "blob"), "did you mean 'blobs'"),
        (("pc-cnn", "--scenes", 10**6, "--pairs", 2), "scenes is 1000000"),
    ],
)
def test_what_makes_no_survey_is_told_before_any_work(
    given: tuple[object, ...], told: str, tmp_path: Path
) -> None:
    made = boed("survey", "make", *given, "--out", tmp_path / "page.html")
    assert made.exit_code == 2
    assert told in " ".join(made.output.replace("│", " ").split())
    assert not list(tmp_path.iterdir())
