// The lab: which click is which trial, what becomes of it, and the result on the page.

import { draw } from "./figures.js";
import { begin, forget, keep, newest, trials } from "./journal.js";
import { epoch, firstPaint, knows, painted } from "./measure.js";

const SETTLE = 2000; // ms after the result in which frames and shifts still belong to a trial
const REDIRECT = 5000; // ms between a click and the navigation that it began, at most

let pressed = 0;
addEventListener("click", (event) => (pressed = epoch(event.timeStamp)), { capture: true });

for (const form of document.querySelectorAll("form[data-experiment]")) {
  form.addEventListener("submit", (event) => {
    const way = event.submitter.value;
    if (way === "blocking") event.stopPropagation(); // so the browser sends it, as it always did
    else if (form.getAttribute("aria-busy") === "true") return;
    const trial = begin(form.dataset.experiment, way, pressed);
    if (way === "background") note(trial, "feedback", painted());
  });
}

async function note(trial, figure, moment) {
  trial[figure] = (await moment) - trial.pressed;
  keep();
  draw();
}

// --- a blocking click: this page is its answer ---

function answerBlocking(trial) {
  if (!trial?.isOpen) return;
  const delay = performance.timeOrigin - trial.pressed;
  if (trial.firstByte !== null || delay < -5 || delay > REDIRECT) {
    trial.isOpen = false;
    return;
  }
  const [navigation] = performance.getEntriesByType("navigation");
  trial.firstByte = navigation.responseStart;
  if (outcomeOf(trial).dataset.failed !== undefined) trial.failed = "failed";
  note(trial, "feedback", firstPaint());
  settle(trial, firstPaint());
}

// --- a background click: a job ---

const known = new Set();

function trialOf(element) {
  const { experiment } = element.closest("section").querySelector("form").dataset;
  const trial = newest(experiment, "background");
  if (!trial?.isOpen) return null;
  if (trial.job === null && !known.has(element.key)) trial.job = element.key;
  known.add(element.key);
  return trial.job === element.key ? trial : null;
}

document.addEventListener("task-update", ({ target }) => {
  while (target.nextElementSibling?.localName === "task-status") target.nextElementSibling.remove();
  const trial = trialOf(target);
  if (!trial) return;
  trial.draws += 1;
  keep();
  draw();
});

document.addEventListener("task-succeeded", async ({ target, detail }) => {
  const trial = trialOf(target);
  await showOutcome(target.closest("section"), detail.links.result);
  if (trial) settle(trial, painted());
});

document.addEventListener("task-failed", ({ target, detail }) => {
  const trial = trialOf(target);
  if (!trial) return;
  trial.failed = detail.phase;
  settle(trial, painted());
});

async function showOutcome(section, address) {
  const response = await fetch(address);
  if (!response.ok) return;
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  section.querySelector(".outcome").replaceWith(page.querySelector(".outcome"));
}

function outcomeOf({ experiment }) {
  return document.querySelector(`#${experiment} .outcome`);
}

// --- both ---

async function settle(trial, moment) {
  trial.hasEnded = true;
  if (!trial.failed) await note(trial, "result", moment);
  setTimeout(close, SETTLE, trial);
}

function close(trial) {
  trial.isOpen = false;
  if (knows("event")) trial.inp ??= 0; // so short that it was not reported
  keep();
  draw();
}

document.querySelector("#forget").addEventListener("click", () => {
  forget();
  draw();
});

// The sample is put where a visitor's own photo would be, so that it is really sent.
async function offerSample(input) {
  const response = await fetch(input.dataset.sample);
  const files = new DataTransfer();
  files.items.add(new File([await response.blob()], "photo.jpg", { type: "image/jpeg" }));
  if (!input.files.length) input.files = files.files;
}

// --- what the page before this one has left ---

const answered = trials.findLast(({ way }) => way === "blocking");
for (const trial of trials)
  if (trial.isOpen && (trial.hasEnded || (trial.way === "blocking" && trial !== answered))) close(trial);
answerBlocking(answered);
for (const element of document.querySelectorAll("task-status")) {
  const trial = trialOf(element);
  // It has ended while the page was away.
  if (trial && element.dataset.finished !== undefined) settle(trial, firstPaint());
}
draw();

addEventListener("measured", () => requestAnimationFrame(draw));
addEventListener("load", () => setTimeout(offerSample, 0, document.querySelector("[data-sample]")));
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
