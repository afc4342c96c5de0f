"""The status page as its reader sees it."""

import json
import signal
import subprocess
import time

import pytest
from conftest import BINARIES, START

WIDE, LONG = 64, 200
HOSTILE = "<img src=x onerror=\"window.broken=1\"><script>window.broken=1</script>'\"&amp;{{7*7}}"


@pytest.fixture(autouse=True)
def plain(browser):
    browser.size(1200, 900)
    browser.colours("light")


def shown(names):
    """A classifier's product: its confusion matrix, and two of its predictions."""
    counts = [[95, 2, 3, 0], [1, 99, 0, 0], [4, 0, 88, 8], [1, 0, 9, 90]]
    rows = [[name, *row, row[place] / sum(row)] for place, (name, row) in enumerate(zip(names, counts))]
    right = {"caption": f"{names[1]} 98\u00a0%", "image": 25}
    wrong = {"caption": f"{names[3]} 64\u00a0%", "truth": f"is {names[2]}", "image": 75}
    return {"tables": [{"title": "What the model takes for what", "note": "On the validation split, images.",
                        "columns": ["true ╲ taken for", *names, "right"], "rows": rows, "matrix": True}],
            "samples": [{"title": "What it says of some images", "images_of": ["cifar10", "val"],
                         "groups": [["Evenly spread", [right, wrong]], ["The surest mistakes", [wrong]]]}]}


def a_run(table, run="my-run", workers=4, stages=12, **fields):
    for stage in range(stages + 1):
        table.put_stage(run, stage, workers)
    for worker in range(workers):
        table.put(run, f"worker#{worker:04}", stage=stages + 1, leg=0, done=100 * worker, of=6_400,
                  units_per_second=21.5, leg_ended=False)
    table.put(run, "job", job=json.dumps({"network": "vgg19", "dataset": "cifar10", "rounds": 20}))
    table.put(run, "model", shown=json.dumps(shown(["airplane", "automobile", "bird", "cat"])))
    at = START + (stages + 1) * 61_000 + 20_000
    table.put_run(run, **{"stage": stages + 1, "workers": workers, "at_ms": at, "best_stage": stages,
                          "best_value": 1 - 0.7 / (stages + 1), **fields})


def test_the_list_leads_to_a_run_and_is_live(table, browser):
    browser.open(table.url)
    browser.wait("document.body.innerText.includes('has no run yet')")
    assert "baton start" in browser.text("#runs")
    a_run(table)
    browser.wait("document.querySelector('#runs a')")
    assert "vgg19 on cifar10" in browser.text("#runs")
    browser.run("document.querySelector('#runs a').click()")
    browser.wait("document.querySelector('#state')")
    assert "my-run" in browser.text("#state")
    assert "cat 64\u00a0%\nis bird\n75" in browser.text("#samples-0")


def test_a_run_goes_on_without_loading_the_page_again(table, browser):
    a_run(table, stages=3)
    browser.open(f"{table.url}run/my-run")
    browser.wait("document.querySelector('#live').className.includes('on')")
    assert "4 of 20" in browser.text("#state")
    browser.run("window.same = true; document.querySelector('#rounds').open = true; document.querySelector('#events').focus()")
    table.put_stage("my-run", 4, 4, bars="0+500x 700+5000|1+5500 -100+90=|0+5500|2+5600/5750+240", resent=1)
    a_run(table, stages=4)
    table.put_stage("my-run", 4, 4, bars="0+500x 700+5000|1+5500 -100+90=|0+5500|2+5600/5750+240", resent=1)
    browser.wait("document.querySelector('#state').innerText.includes('5 of 20')")
    browser.wait("document.querySelector('#log').innerText.includes('died after 5.0 s')")
    log = browser.text("#log")
    assert "did what another had done first" in log and "1 event sent again in round 4." in log
    assert browser.run("return window.same && document.querySelector('#rounds').open && document.activeElement.id") == "events"
    assert browser.run("return document.querySelectorAll('.lanes .died title').length") == 1
    table.put_run("my-run", status="all rounds done", ended=True, stage=21, rounds_done=20, model="model.json", at_ms=START + 10**6)
    browser.wait("document.querySelector('#log').innerText.includes('Ended: all rounds done. The model is model.json.')")


def test_64_workers_and_200_stages_are_smooth(table, browser, picture):
    a_run(table, workers=WIDE, stages=LONG, course={"rounds": 240})
    browser.open(f"{table.url}run/my-run")
    paint = browser.wait("performance.getEntriesByName('first-contentful-paint')[0]?.startTime")
    browser.wait("document.querySelector('#live').className.includes('on')")
    nodes = browser.run("return document.querySelectorAll('*').length")
    length = browser.run("return fetch(location.href).then((answer) => answer.text()).then((text) => text.length)")
    took = []
    for stage in range(LONG + 1, LONG + 6):
        before, seen = browser.metrics(), browser.run("return performance.getEntriesByName('update').length")
        table.put_stage("my-run", stage, WIDE)
        table.put_run("my-run", stage=stage + 1, course={"rounds": 240}, workers=WIDE, at_ms=START + (stage + 1) * 61_000)
        while not browser.run(f"return performance.getEntriesByName('update').length > {seen} && document.querySelector('#state').innerText.includes('{stage + 1} of')"):
            time.sleep(0.3)
        browser.run("document.body.getBoundingClientRect()")
        after = browser.metrics()
        # All work of the page's thread in this time: the update with its style and layout, and this test's own reading.
        took.append([1_000 * (after[name] - before[name]) for name in ("TaskDuration", "RecalcStyleDuration", "LayoutDuration")])
    worst = max(took)
    print(f"{WIDE} workers, {LONG} stages: first paint {paint:.0f} ms; of {len(took)} updates the longest {worst[0]:.0f} ms "
          f"(of it style {worst[1]:.0f}, layout {worst[2]:.0f}); {nodes} elements, {length / 1e3:.0f} kB")
    assert paint < 1_000 and worst[0] < 100
    picture("wide")
    browser.run("document.querySelector('#earlier').click()")
    browser.wait("document.querySelector('#later')")


def test_hostile_names_are_only_text(table, browser):
    a_run(table, "fine", course={name: HOSTILE for name in ("title", "called", "unit")}, status=f"failed: {HOSTILE}", ended=True, model=HOSTILE)
    table.put("fine", "job", job=json.dumps({"weights": HOSTILE}))
    table.put("fine", "model", shown=json.dumps(shown([HOSTILE] * 4)))
    table.put("fine", "stage#000002", began_ms=START, bars=HOSTILE, share=1)
    table.put_run(HOSTILE, course={"title": HOSTILE})
    browser.open(table.url)
    browser.wait("document.querySelectorAll('#runs tbody tr').length === 2")
    assert HOSTILE in browser.text("#runs") and browser.run("return document.querySelectorAll('#runs a').length") == 1
    browser.open(f"{table.url}run/fine")
    browser.wait("document.querySelector('#table-0')")
    for part in ("#state", "#log", "#table-0", "#samples-0"):
        assert "onerror=" in browser.text(part), part
    time.sleep(0.3)
    assert browser.run("return [window.broken ?? 0, document.querySelectorAll('main img, main script').length]") == [0, 0]


@pytest.mark.complains
def test_the_policy_lets_nothing_else_run(table, browser):
    a_run(table)
    browser.open(f"{table.url}run/my-run")
    browser.run("const own = document.createElement('script'); own.textContent = 'window.broken = 1'; document.body.append(own);"
                "document.body.insertAdjacentHTML('beforeend', '<b id=b style=\"position:fixed\" onclick=\"window.broken=1\"></b>'); document.querySelector('#b').click()")
    assert browser.run("return [window.broken ?? 0, getComputedStyle(document.querySelector('#b')).position]") == [0, "static"]
    assert browser.run("return fetch('http://127.0.0.1:9/').then(() => 'asked', (error) => error.message)") == "Failed to fetch"
    assert any("Content Security Policy" in line for line in browser.complaints())
    hosts = browser.run("return performance.getEntriesByType('resource').map((entry) => new URL(entry.name).host)")
    assert set(hosts) <= {table.url.split("/")[2], "127.0.0.1:9"}, hosts


def test_a_table_that_does_not_answer_is_told_and_comes_back(table, browser, picture):
    a_run(table)
    browser.open(f"{table.url}run/my-run")
    browser.wait("document.querySelector('#live').className.includes('on')")
    table.kill()
    browser.wait("document.querySelector('#notice')?.innerText.includes('has not answered since')")
    assert "12 of 20" in browser.text("#state") or "13 of 20" in browser.text("#state"), "what was seen stays"
    assert "What you see was read at" in browser.text("#notice")
    picture("down", whole=False)
    browser.open(table.url)
    browser.wait("document.querySelector('#notice')")
    table.begin()
    a_run(table)
    browser.wait("!document.querySelector('#notice') && document.querySelector('#runs a')")
    table.status.send_signal(signal.SIGINT)
    table.status.wait()
    browser.wait("document.querySelector('#live').innerText.includes('baton status has ended')")


def test_both_colour_schemes_can_be_read(table, browser, picture):
    a_run(table)
    browser.open(f"{table.url}run/my-run")
    papers = {}
    for scheme in ("light", "dark"):
        browser.colours(scheme)
        browser.wait(f"matchMedia('(prefers-color-scheme: {scheme})').matches")
        papers[scheme], worst = browser.run(CONTRAST)
        print(f"{scheme}: the least contrast of text is {worst[0]:.1f} ({worst[1]})")
        assert worst[0] >= 4.5
        picture(f"run-{scheme}")
    assert papers["light"] > 0.8 and papers["dark"] < 0.05, papers


# The paper's luminance, and the text that stands out least against it, by WCAG's formula.
CONTRAST = """
const light = (css) => {
  const [r, g, b] = css.match(/[0-9.]+/g).map(Number).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const paper = light(getComputedStyle(document.body).backgroundColor);
const ratio = (ink) => (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
const texts = [...document.querySelectorAll('main *, header *')].filter((part) => [...part.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
const seen = texts.filter((part) => part.checkVisibility() && !part.matches('.none, title')).map((part) => {
  const style = getComputedStyle(part);
  return [ratio(light(part instanceof SVGElement ? style.fill : style.color)), part.outerHTML.slice(0, 80)];
});
return [paper, seen.sort((a, b) => a[0] - b[0])[0]];
"""


def test_a_phone_shows_it_without_scrolling_sideways(table, browser, picture):
    a_run(table, workers=16, course={"title": "a" * 100}, status="limit reached: 0.2510 dollars, of 0.25 allowed", ended=True)
    browser.size(360, 740, mobile=True)
    for path in ("", "run/my-run"):
        browser.open(table.url + path)
        browser.wait("document.querySelector('#runs a, #state')")
        width = browser.run("return [document.documentElement.scrollWidth, innerWidth]")
        assert width == [360, 360], f"{path}: {width}"
    smallest = browser.run("return Math.min(...[...document.querySelectorAll('.plot text')].map((text) => text.getBoundingClientRect().height))")
    assert smallest >= 10, f"text of {smallest} pixels in the plots"
    picture("phone")


def test_the_keyboard_reaches_all_that_can_be_used(table, browser):
    a_run(table, workers=64, stages=40)
    browser.open(f"{table.url}run/my-run")
    browser.wait("document.querySelector('#live').className.includes('on')")
    reached = []
    for _ in range(30):
        browser.key("Tab", 9)
        found = browser.run("const at = document.activeElement; return [at.id || at.className || at.tagName, getComputedStyle(at).outlineStyle]")
        if found[0] == "BODY":
            break
        assert found[1] != "none", f"{found[0]} shows no focus"
        reached.append(found[0])
    for wanted in ("home", "lanes", "earlier", "workers-table", "table-0-rows", "events", "copy", "event"):
        assert wanted in reached, f"{wanted} is not in {reached}"
    browser.run("document.querySelector('#earlier').focus()")
    browser.key("Enter", 13)


def test_a_run_in_one_file_is_whole_by_itself(table, browser, tmp_path):
    a_run(table)
    file = tmp_path / "run.html"
    command = [BINARIES / "baton", "status", "--root", table.root, "--run", "my-run", "--export", file]
    subprocess.run(command, check=True, capture_output=True)
    browser.open(file.as_uri())
    assert "13 of 20" in browser.text("#state") and "as of 20" in browser.text("header")
    assert browser.run("return getComputedStyle(document.querySelector('.figures')).display") == "grid"
    assert browser.run("return performance.getEntriesByType('resource').length") == 0
    unknown = subprocess.run([*command[:-3], "no-such-run", "--export", file], capture_output=True, text=True)
    assert unknown.returncode == 3 and "no-such-run" in unknown.stderr
