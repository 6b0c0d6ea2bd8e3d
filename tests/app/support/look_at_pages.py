"""Looks at report pages in headless Chromium: on a phone and on a wide screen, light and dark.

  look_at_pages.py PAGE…                  the exit code is 1 when one of them has a fault
  look_at_pages.py --picture PNG PAGE     takes a picture of it
"""

import sys

from browser import Browser

# What is wrong with the page as it is laid out, as a list of sentences.
FAULTS = r"""(() => {
  const faults = [], width = document.documentElement.clientWidth;
  const name = e => `${e.tagName}.${e.getAttribute('class') || ''} "${(e.textContent || '').trim().slice(0, 30)}"`;
  const say = (what, e) => faults.push(`${what}: ${name(e)}`);
  if (document.documentElement.scrollWidth > width) faults.push(`the page is ${document.documentElement.scrollWidth} wide`);
  for (const box of document.querySelectorAll('.scroll')) if (box.scrollWidth > box.clientWidth) say('a table is cut', box);

  for (const plot of document.querySelectorAll('svg[role=img]')) {
    const marks = [...plot.querySelectorAll('.mark')].map(mark => mark.getBBox());
    const shown = marks.filter(box => box.width > 0 && box.height > 0);
    if (shown.length === 0) faults.push(`the plot ${plot.id} is empty`);
    const box = plot.getBoundingClientRect(), texts = [...plot.querySelectorAll('text')];
    if (box.width < 100 || box.height < 20) faults.push(`the plot ${plot.id} is ${box.width} x ${box.height}`);
    const boxes = texts.map(text => text.getBoundingClientRect());
    texts.forEach((text, i) => {
      if (boxes[i].left < 0 || boxes[i].right > width) say('beyond the screen', text);
      for (let k = 0; k < i; ++k)
        if (Math.min(boxes[i].right, boxes[k].right) - Math.max(boxes[i].left, boxes[k].left) > 0.5 &&
            Math.min(boxes[i].bottom, boxes[k].bottom) - Math.max(boxes[i].top, boxes[k].top) > 4)
          say('on ' + name(texts[k]), text);
    });
  }

  // Contrast as WCAG 2 has it.
  const numbers = colour => colour.match(/[\d.]+/g).map(Number);
  const light = colour => numbers(colour).slice(0, 3)
      .map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4)
      .reduce((sum, c, i) => sum + c * [.2126, .7152, .0722][i], 0);
  const contrast = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
  const ground = e => {
    for (; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return 'rgb(255, 255, 255)';
  };
  const own = e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  for (const e of document.querySelectorAll('body *')) {
    if (!own(e) || ['title', 'desc'].includes(e.tagName)) continue;
    const style = getComputedStyle(e);
    let below = ground(e), ink = style.color;
    if (e.tagName === 'text') ink = style.fill;
    if (e.matches('text.inside')) below = getComputedStyle(e.previousElementSibling).fill;
    if (contrast(ink, below) < 4.5) say(`contrast ${contrast(ink, below).toFixed(2)}`, e);
    if (parseFloat(style.fontSize) < 11) say('small', e);
  }
  return faults;
})()"""


def look(browser, page):
    grounds = set()
    for width in (360, 640, 1000, 1280):
        for scheme in ("light", "dark"):
            browser.open(page, width, scheme)
            assert not browser.complaints, browser.complaints
            assert all(url.startswith("file://") and url.endswith(".html") for url in browser.requests), browser.requests
            for state in ("folded", "unfolded"):
                faults = browser.evaluate(FAULTS)
                assert not faults, (page, width, scheme, state, faults)
                browser.evaluate("for (const e of document.querySelectorAll('details')) e.open = true")
            grounds.add((scheme, browser.evaluate("getComputedStyle(document.body).backgroundColor")))
    assert len(grounds) == len({colour for _, colour in grounds}) == 2, grounds


def main(arguments):
    with Browser() as browser:
        if arguments[0] == "--picture":
            browser.open(arguments[2], 1120, "light")
            browser.screenshot(arguments[1])
            return
        for path in arguments:
            look(browser, path)
            print(path, "looks well")


if __name__ == "__main__":
    main(sys.argv[1:])
