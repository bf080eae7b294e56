// Writes the figures: those of the newest clicks, and the comparison of all clicks.

import { newest, trials } from "./journal.js";
import { knows } from "./measure.js";

const WAYS = ["blocking", "background"];
const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const exact = new Intl.NumberFormat("en", { maximumFractionDigits: 3 });
const seconds = new Intl.NumberFormat("en", { maximumFractionDigits: 1, minimumFractionDigits: 1 });
const rows = document.querySelectorAll(".figures [data-way]");
const comparison = document.querySelector(".comparison");
const verdict = comparison.querySelector("#verdict");
const INVITATION = verdict.textContent;
const NEEDS = { inp: "event", forced: "long-animation-frame", shift: "layout-shift" };

const WORDS = {
  firstByte: (value) => whole.format(value),
  feedback: (value) => whole.format(value),
  result: (value, { failed }) => failed ?? whole.format(value),
  inp: (value) => (value === 0 ? "< 16" : whole.format(value)),
  draws: (value) => whole.format(value),
  forced: (value) => whole.format(value),
  shift: (value) => exact.format(value),
};

export function draw() {
  for (const row of rows) {
    const { experiment } = row.closest("form").dataset;
    const trial = newest(experiment, row.dataset.way);
    for (const cell of row.querySelectorAll("[data-figure]"))
      write(cell, word(cell.dataset.figure, trial));
  }
  compare();
}

function word(figure, trial) {
  if (NEEDS[figure] && !knows(NEEDS[figure])) return "n/a";
  const value = trial?.[figure] ?? (trial && figure === "result" && trial.failed ? 0 : null);
  return value === null ? "–" : WORDS[figure](value, trial);
}

function compare() {
  const waits = WAYS.map((way) =>
    trials.filter((trial) => trial.way === way).map(({ feedback }) => feedback).filter(isKnown));
  const medians = waits.map(median);
  const longest = Math.max(...medians.filter(isKnown), 1);
  WAYS.forEach((way, place) => {
    const row = comparison.querySelector(`[data-way=${way}]`);
    const value = medians[place];
    row.querySelector(".bar").style.inlineSize = `${(100 * (value ?? 0)) / longest}%`;
    write(row.querySelector(".median"), isKnown(value) ? `${whole.format(value)} ms` : "–");
    write(row.querySelector(".sum"), total(waits[place]));
  });
  write(verdict, judge(...medians));
  comparison.querySelector("#forget").hidden = !trials.length;
}

function total(waits) {
  if (!waits.length) return "no click yet";
  const sum = waits.reduce((one, other) => one + other, 0);
  return `${waits.length} ${waits.length === 1 ? "click" : "clicks"}, ${seconds.format(sum / 1000)} s`;
}

function judge(blocking, background) {
  if (!isKnown(blocking) || !isKnown(background)) return INVITATION;
  return `In the background the page reacts ${whole.format(blocking / background)} times sooner.`;
}

function median(values) {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.floor(sorted.length / 2)];
}

function isKnown(value) {
  return value !== null && value !== undefined;
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
