// The measurements, kept in sessionStorage: a blocking click replaces the page.

const KEY = "lab";
const MAX_TRIALS = 200;

export const trials = JSON.parse(sessionStorage.getItem(KEY) ?? "[]");

// A trial is one click. `pressed` is in ms since 1970, which the next page understands too. Its
// figures are null until they are known. It is open while measurements still belong to it.
export function start(experiment, way, pressed) {
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
  sessionStorage.setItem(KEY, JSON.stringify(trials.slice(-MAX_TRIALS)));
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
