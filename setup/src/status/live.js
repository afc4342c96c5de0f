// Keeps the page up to date: asks for it again, and replaces the sections that have changed. Without it the page is complete.
"use strict";

const live = document.getElementById("live");
let tag = null;

function say(text, state) {
  if (live.textContent !== text) live.textContent = text;
  live.className = `live ${state}`;
}

// The reader's state of sections is kept when they are replaced: focus, scrolling, open parts. All of it is read before
// anything is replaced: reading a position after a change makes the browser lay out the whole page again.
function exchange(pairs) {
  const within = (selector) => pairs.flatMap(([old]) => [...old.querySelectorAll(selector)]);
  const focused = pairs.some(([old]) => old.contains(document.activeElement)) ? document.activeElement.id : "";
  const scrolled = within("[id]").map((part) => [part.id, part.scrollLeft, part.scrollTop]);
  const open = within("details[open]").map((part) => part.id);
  for (const [old, fresh] of pairs) old.replaceWith(fresh);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const [id, left, top] of scrolled) {
    if (left || top) document.getElementById(id)?.scrollTo(left, top);
  }
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

function update(text) {
  performance.mark("update-begins");
  const fresh = new DOMParser().parseFromString(text, "text/html");
  const main = document.querySelector("main");
  const [before, after] = [[...main.children], [...fresh.querySelector("main").children]];
  const same = before.length === after.length && before.every((part, place) => part.id === after[place].id);
  if (same) {
    const pairs = before.map((part, place) => [part, after[place]]);
    exchange(pairs.filter(([old, fresh]) => old.dataset.v !== fresh.dataset.v));
  } else {
    main.replaceChildren(...after);
  }
  document.body.dataset.poll = fresh.body.dataset.poll;
  performance.measure("update", "update-begins");
}

async function look() {
  const headers = tag ? { "If-None-Match": tag } : {};
  const answer = await fetch(location.pathname + location.search, { headers, cache: "no-store" });
  if (answer.status === 200) {
    tag = answer.headers.get("ETag");
    update(await answer.text());
  } else if (answer.status !== 304) {
    throw new Error(`status ${answer.status}`);
  }
  const failing = document.getElementById("notice");
  say(failing ? "the table does not answer" : `live · ${new Date().toISOString().slice(11, 19)} UTC`, failing ? "off" : "on");
}

async function follow() {
  for (;;) {
    if (!document.hidden) {
      try {
        await look();
      } catch {
        say("baton status has ended", "off");
      }
    }
    await new Promise((passed) => setTimeout(passed, Number(document.body.dataset.poll)));
  }
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden) look().catch(() => say("baton status has ended", "off"));
});

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(document.getElementById(button.dataset.copy));
    button.textContent = "Selected";
  }
  setTimeout(() => (button.textContent = "Copy"), 2000);
});

follow();
