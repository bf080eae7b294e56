// Boards: what a page shows beside the state of jobs. They are read again when a job of the page
// begins or ends, with `data-board="each"` whenever it changes, and with `data-every` by the clock.

let isReading = false;
let isStale = false;

document.addEventListener("task-update", ({ target, detail }) => {
  const whole = target.closest("[data-whole]");
  if (!whole) return;
  while (target.nextElementSibling?.localName === "task-status") target.nextElementSibling.remove();
  const board = whole.closest("section").querySelector("[data-board]");
  if (board.dataset.board === "each" || isOutdated(board, detail)) read();
});

// A part has made its picture.
document.addEventListener("task-succeeded", ({ target }) => {
  const image = target.closest("li")?.querySelector("img[data-src]");
  if (image) image.src = image.dataset.src;
});

const clock = document.querySelector("[data-every]");
if (clock) setInterval(() => document.hidden || read(), Number(clock.dataset.every));

function isOutdated({ dataset }, { id, is_finished }) {
  return dataset.job !== id || (dataset.ended !== undefined) !== is_finished;
}

// One request at a time; whatever changes meanwhile is in the next one.
async function read() {
  isStale = true;
  if (isReading) return;
  isReading = true;
  while (isStale) {
    isStale = false;
    await replace().catch(() => {});
  }
  isReading = false;
}

async function replace() {
  const response = await fetch(location.pathname);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const board of page.querySelectorAll("[data-board]")) {
    document.getElementById(board.id).replaceWith(board);
    // This page may know an older, final state of a job that runs again.
    for (const element of board.querySelectorAll("task-status:not([data-finished])"))
      if (element.state?.is_finished) element.refresh();
  }
}
