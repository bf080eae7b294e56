// What was measured, kept as long as the tab is open: a blocking click takes the page away.

const KEY = "lab";
const MOST = 200; // trials that are kept

export const trials = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");

// A trial is one click. `pressed` is in ms since 1970, so that the next page understands it;
// its figures are null until they are known, and it is open until nothing more belongs to it.
export function begin(experiment, way, pressed) {
  const unknown = { firstByte: null, feedback: null, result: null, inp: null };
  const counted = { draws: way === "background" ? 0 : null, forced: 0, shift: 0 };
  const trial = { experiment, way, pressed, job: null, isOpen: true, ...unknown, ...counted };
  const before = newest(experiment, way);
  if (before) before.isOpen = false;
  trials.push(trial);
  keep();
  return trial;
}

export function keep() {
  sessionStorage.setItem(KEY, JSON.stringify(trials.slice(-MOST)));
}

export function forget() {
  trials.length = 0;
  keep();
}

export function newest(experiment, way) {
  return trials.findLast((trial) => trial.experiment === experiment && trial.way === way);
}

export function open() {
  return trials.filter((trial) => trial.isOpen);
}
