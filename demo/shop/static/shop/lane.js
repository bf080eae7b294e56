// One of a card's two lanes: a bar that grows until the answer is there, and a line of words.

const WORDS = { READY: "Waiting", RUNNING: "Running", SUCCESSFUL: "Done", FAILED: "Failed" };
const SHORTEST_SCALE = 1000;

export class Lane {
  constructor(form, name) {
    this.form = form;
    this.lane = form.querySelector(`[data-lane=${name}]`);
    this.state = this.lane.querySelector(".state");
    this.progress = this.lane.querySelector("progress");
  }

  begin() {
    this.begun = performance.now();
    this.say("RUNNING", "The page waits for the answer");
    this.clock = setInterval(() => this.measure(), 50);
    this.measure();
  }

  answered() {
    clearInterval(this.clock);
    this.measure();
  }

  show({ state, done, total }) {
    const words = total > 1 ? `${done} of ${total}` : WORDS[state];
    this.say(state, `${words} · ${this.seconds()}`);
    if (!this.progress) return;
    this.progress.hidden = state !== "READY" && state !== "RUNNING";
    if (total > 1) [this.progress.value, this.progress.max] = [done, total];
  }

  ended({ state, error }) {
    this.say(state, state === "FAILED" ? error : `Done after ${this.seconds()}`);
  }

  broke(error) {
    clearInterval(this.clock);
    if (this.progress) this.progress.hidden = true;
    this.say("FAILED", error.message);
  }

  say(state, words) {
    this.lane.dataset.state = state;
    this.state.textContent = words;
  }

  seconds() {
    return `${((performance.now() - this.begun) / 1000).toFixed(1)} s`;
  }

  measure() {
    const milliseconds = Math.round(performance.now() - this.begun);
    this.lane.dataset.milliseconds = milliseconds;
    this.lane.querySelector(".time").textContent = `${milliseconds.toLocaleString("en")} ms`;
    scale(this.form.querySelectorAll(".lane"));
  }
}

function scale(lanes) {
  const times = [...lanes].map((lane) => Number(lane.dataset.milliseconds ?? 0));
  const longest = Math.max(...times, SHORTEST_SCALE);
  lanes.forEach((lane, place) => {
    lane.querySelector(".bar").style.inlineSize = `${(100 * times[place]) / longest}%`;
  });
}
