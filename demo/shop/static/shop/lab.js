// The lab: assigns clicks and job states to trials, and puts results into the page.

import { draw } from "./figures.js";
import { forget, keep, newest, start, trials } from "./journal.js";
import { epoch, firstPaint, knows, painted } from "./measure.js";

const SETTLE_MS = 2000; // frames and shifts this long after the result belong to the trial
const MAX_REDIRECT_MS = 5000; // longest time between a click and the navigation it starts

let pressed = 0;
addEventListener("click", (event) => (pressed = epoch(event.timeStamp)), { capture: true });

for (const form of document.querySelectorAll("form[data-experiment]")) {
  form.addEventListener("submit", (event) => {
    const way = event.submitter.value;
    if (way === "blocking") event.stopPropagation(); // the browser submits it as usual
    else if (form.getAttribute("aria-busy") === "true") return;
    const trial = start(form.dataset.experiment, way, pressed);
    if (way === "background") note(trial, "feedback", painted());
  });
}

async function note(trial, figure, moment) {
  trial[figure] = (await moment) - trial.pressed;
  keep();
  draw();
}

// --- a blocking click: this page is the response ---

function answerBlocking(trial) {
  if (!trial?.isOpen) return;
  const delay = performance.timeOrigin - trial.pressed;
  if (trial.firstByte !== null || delay < -5 || delay > MAX_REDIRECT_MS) {
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
  trial.isFinished = true;
  if (!trial.failed) await note(trial, "result", moment);
  setTimeout(close, SETTLE_MS, trial);
}

function close(trial) {
  trial.isOpen = false;
  if (knows("event")) trial.inp ??= 0; // too short to be reported
  keep();
  draw();
}

document.querySelector("#forget").addEventListener("click", () => {
  forget();
  draw();
});

// The sample takes the place of a visitor's own photo, so that it is really uploaded.
async function offerSample(input) {
  const response = await fetch(input.dataset.sample);
  const files = new DataTransfer();
  files.items.add(new File([await response.blob()], "photo.jpg", { type: "image/jpeg" }));
  if (!input.files.length) input.files = files.files;
}

// --- trials of the previous page ---

const answered = trials.findLast(({ way }) => way === "blocking");
for (const trial of trials)
  if (trial.isOpen && (trial.isFinished || (trial.way === "blocking" && trial !== answered))) close(trial);
answerBlocking(answered);
for (const element of document.querySelectorAll("task-status")) {
  const trial = trialOf(element);
  // The job finished before this page was loaded.
  if (trial && element.dataset.finished !== undefined) settle(trial, firstPaint());
}
draw();

addEventListener("measured", () => requestAnimationFrame(draw));
addEventListener("load", () => setTimeout(offerSample, 0, document.querySelector("[data-sample]")));
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
