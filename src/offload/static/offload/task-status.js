// <task-status> shows a job as it changes. A hub gathers what a page follows; that of one visible
// tab leads: it alone connects, and tells the others.

const GATHER = 50; // ms for elements to come and go
const FIRST_BYTE = 5_000; // ms; else a proxy holds it up
const LONG = 15_000; // ms until a stream asks why jobs wait
const SILENCE = 45_000; // ms without a byte: dead
const POLL_ONLY = 300_000; // ms until streaming is tried again
const MAX_IDS = 100; // of one request
const CHANGED = {}; // why a request is given up
const { locks } = navigator; // not on plain http://

const awake = () => !document.hidden && !document.prerendering;
const roughly = (ms) => ms * (0.8 + 0.4 * Math.random());
const delayOf = (state) => state?.estimate?.delay;

// --- words ---

let texts;

function text(name, value) {
  texts ??= JSON.parse(document.getElementById("offload-texts")?.textContent ?? "{}");
  return (texts[name] ?? name).replace("{}", value);
}

function details({ error, progress, estimate }) {
  if (error) return [error.title, error.detail, text("reference", error.reference)];
  const { step, message } = progress ?? {};
  const { remaining_seconds: left, position } = estimate ?? {};
  const seconds = `${left % 60}`.padStart(2, "0");
  return [
    step && `${step.number}${step.of ? `/${step.of}` : ""} ${step.name}`,
    message,
    left != null && text("remaining", `${Math.floor(left / 60)}:${seconds}`),
    position && text("position", position),
  ];
}

// --- drawing, once per frame ---

const due = new Set();

function redraw(element) {
  if (due.add(element).size > 1) return;
  requestAnimationFrame(() => {
    const elements = [...due];
    due.clear();
    for (const each of elements) each.draw();
  });
}

// --- one connection for all ---

const hubs = new Map();

class Hub {
  #jobs = new Map(); // id -> { state, elements }
  #others = new Set(); // what other tabs want, or how old they are
  #covered = []; // ids of this connection
  #etags = {};
  #timers = {};
  #failures = 0;
  #mute = 0; // dead connections in a row
  #pollUntil = 0;
  #channel;
  #stopper; // while this tab takes part
  #age; // since when
  #round; // while it leads: what is under way
  offline = false;

  static of(element) {
    const base = new URL("../", element.url).href;
    const names = ["transport", "token", "channel"].map((each) => element.getAttribute(each));
    const name = `offload ${base} ${names}`;
    const [transport, token] = names;
    if (!hubs.has(name)) hubs.set(name, Object.assign(new Hub(), { name, base, transport, token }));
    return hubs.get(name);
  }

  job(id) {
    if (!this.#jobs.has(id)) this.#jobs.set(id, { elements: new Set() });
    return this.#jobs.get(id);
  }

  join(element) {
    this.job(element.key).elements.add(element);
    redraw(element);
    this.#change();
  }

  leave(element) {
    this.job(element.key).elements.delete(element);
    this.#change();
  }

  start() {
    for (const job of this.#jobs.values()) if (job.state?.phase === "signed-out") job.state = null;
    if (this.#stopper || !awake() || !this.#wanted().length) return;
    const { signal } = (this.#stopper = new AbortController());
    this.#channel = new BroadcastChannel(this.name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#age = Date.now() + Math.random();
    this.#hear({ lead: true });
    const lead = () => this.#lead(signal);
    if (locks) locks.request(this.name, { signal }, lead).catch(() => {});
    else lead();
  }

  stop() {
    if (!this.#stopper) return;
    this.#channel.close();
    this.#stopper.abort();
    this.#stopper = null;
    this.#be(false);
    this.#others.clear();
    this.wake();
  }

  wake() {
    this.#round?.abort(CHANGED);
  }

  take({ items = [], missing = [] }) {
    if (this.#round && items[0]) this.#tell({ items });
    for (const state of items) {
      const job = this.job(state.id);
      const newer = state.version - job.state?.version;
      if (newer < 0 || (newer === 0 && !delayOf(state))) continue;
      if (state.is_finished !== job.state?.is_finished) this.#change();
      if (state.is_finished) this.#covered = this.#covered.filter((id) => id !== state.id);
      job.state = state;
      job.elements.forEach(redraw);
    }
    for (const id of missing) this.look(id);
  }

  async look(id) {
    try {
      const response = await this.#get(`${id}/`);
      this.take({ items: [await response.json()] });
    } catch ({ status }) {
      if (status === 404) this.#lose(id, "missing");
      if (status === 410) this.#lose(id, "gone");
    }
  }

  // Half a version: what may come is newer.
  #lose(id, phase) {
    const { state } = this.job(id);
    const version = (state?.version ?? 1e9) + 0.5;
    this.take({ items: [{ ...state, id, phase, version, is_finished: true }] });
  }

  #later(name, ms, callback) {
    this.#timers[name] ??= setTimeout(() => {
      this.#timers[name] = null;
      callback();
    }, ms);
  }

  #never(name) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = null;
  }

  #tell(message) {
    if (this.#stopper) this.#channel.postMessage(message);
  }

  #hear({ want, age, lead, items, offline }) {
    if (lead) this.#tell({ want: this.#wanted(), age: this.#age });
    if (age < this.#age) this.#others.add(age);
    if (!locks) return; // each tab for itself
    if (items) this.take({ items });
    if (offline !== undefined) this.#be(offline);
    if (!want || !this.#round) return;
    want.forEach((id) => this.#others.add(id));
    this.#tell({ items: this.#states(want) });
    this.#change();
  }

  #states(ids) {
    return ids.map((id) => this.job(id).state).filter(Boolean);
  }

  #wanted() {
    const isWanted = (id) => this.job(id).elements.size || this.#others.has(id);
    const ids = [...this.#jobs.keys()].filter(isWanted);
    return ids.filter((id) => !this.job(id).state?.is_finished).sort();
  }

  #change() {
    this.#later("change", GATHER, () => {
      const wanted = this.#wanted();
      if (!wanted.length) this.stop();
      else if (!this.#stopper) this.start();
      else if (!this.#round) this.#tell({ want: wanted });
      else if (`${wanted}` !== `${this.#covered}`) this.wake();
    });
  }

  #be(offline) {
    this.#never("offline");
    if (offline === this.offline) return;
    this.offline = offline;
    if (this.#round) this.#tell({ offline });
    for (const job of this.#jobs.values()) job.elements.forEach(redraw);
  }

  async #lead(stopped) {
    while (!stopped.aborted) {
      this.#others.clear();
      this.#tell({ lead: true }); // others say what they want
      await this.#pause(GATHER);
      if (stopped.aborted) break;
      this.#covered = this.#wanted();
      this.#round = new AbortController();
      let wait = 0;
      try {
        wait = await (this.#canStream() ? this.#stream() : this.#poll());
      } catch (error) {
        if (error !== CHANGED) wait = this.#fail(error);
      }
      if (!stopped.aborted) await this.#pause(wait);
    }
    this.#round = null;
  }

  // Without locks all tabs lead, and the two oldest stream.
  #canStream() {
    const { length } = this.#covered;
    const may = this.transport !== "poll" && (locks || this.#others.size < 2);
    return may && performance.now() > this.#pollUntil && length && length <= MAX_IDS;
  }

  #pause(ms) {
    this.#round = new AbortController();
    return new Promise((resolve) => {
      this.#round.signal.onabort = resolve;
      setTimeout(resolve, ms);
    });
  }

  #fail({ name, status, wait = 0 }) {
    this.#never("health");
    this.#never("long");
    const refused = [404, 405, 406, 501].includes(status);
    if (this.#canStream() && (refused || (name === "AbortError" && ++this.#mute > 1))) {
      this.#pollUntil = performance.now() + POLL_ONLY;
      return 0;
    }
    this.#later("offline", 3_000, () => this.#be(true));
    if ([0, 401, 403].includes(status)) // 0: redirected
      for (const id of this.#covered) this.#lose(id, "signed-out");
    const backOff = Math.min(30_000, 1_000 * 2 ** this.#failures++);
    return Math.max(roughly(wait), Math.random() * backOff);
  }

  #expect(ms) {
    const round = this.#round;
    this.#never("silence");
    this.#later("silence", ms, () => round.abort());
  }

  #heard() {
    this.#expect(SILENCE);
    this.#be(false);
    this.#mute = 0;
    this.#later("health", 10_000, () => (this.#failures = 0));
  }

  async #get(path, headers = {}, signal = null) {
    if (this.token) headers.Authorization = `Offload ${this.token}`;
    const response = await fetch(this.base + path, { headers, signal, redirect: "manual" });
    response.wait = 1_000 * response.headers.get("Retry-After") || 0; // not a date
    if (response.ok || response.status === 304) return response;
    throw response;
  }

  async #poll() {
    let wait = 60_000;
    for (let ids = this.#covered; ids.length; ids = ids.slice(MAX_IDS)) {
      const path = `?ids=${ids.slice(0, MAX_IDS)}`;
      const headers = { "If-None-Match": this.#etags[path] ?? "" };
      this.#expect(SILENCE);
      const response = await this.#get(path, headers, this.#round.signal);
      const body = response.status === 200 ? await response.json() : {};
      this.#etags[path] = response.headers.get("ETag");
      this.#heard();
      this.take(body);
      wait = Math.min(wait, body.poll_ms || response.wait || 2_000);
    }
    return roughly(wait);
  }

  async #stream() {
    const states = () => this.#states(this.#covered);
    const known = states().map(({ id, version }) => `${id}.${version}`);
    const headers = { Accept: "text/event-stream", "Last-Event-ID": `${known}` };
    const waits = () => states().some(({ phase }) => phase === "queued");
    this.#later("long", LONG, () => waits() && this.wake());
    this.#expect(FIRST_BYTE);
    const response = await this.#get(`events/?ids=${this.#covered}`, headers, this.#round.signal);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) throw {};
      this.#heard();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const body = JSON.parse(block.split(/^data: ?/m)[1] ?? "{}");
        this.take(body.id ? { items: [body] } : body);
        const { reason } = body;
        if (reason) return roughly({ lifetime: 200, shutdown: 1_000 }[reason] ?? SILENCE);
      }
    }
  }
}

const all = (verb) => hubs.forEach((hub) => hub[verb]());
const follow = () => all(awake() ? "start" : "stop");
document.addEventListener("visibilitychange", follow);
document.addEventListener("prerenderingchange", follow);
addEventListener("pageshow", follow);
addEventListener("pagehide", () => all("stop"));
for (const type of ["online", "offline"]) addEventListener(type, () => all("wake"));

// --- the element ---

class TaskStatus extends HTMLElement {
  static observedAttributes = ["href", "token"];
  #hub;
  #shown;
  #offline = false;
  #timer;
  #internals = this.attachInternals();

  get state() {
    return this.#hub?.job(this.key).state;
  }

  connectedCallback() {
    this.url = new URL(this.getAttribute("href"), document.baseURI);
    this.key = this.url.pathname.split("/").at(-2);
    this.#hub = Hub.of(this);
    this.#date();
    this.removeAttribute("hx-get"); // htmx need not poll
    if (this.dataset.finished !== undefined && !this.#shown) return;
    this.#hub.join(this);
    const limit = this.getAttribute("stop-after");
    if (limit) this.#timer = setTimeout(() => this.#hub.leave(this), 1_000 * limit);
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#hub.leave(this);
  }

  attributeChangedCallback(name) {
    if (!this.#hub || !this.isConnected) return;
    this.disconnectedCallback();
    if (name === "href") this.#shown = {}; // whatever comes is new
    this.connectedCallback();
  }

  refresh() {
    this.#hub.join(this);
    return this.#hub.look(this.key);
  }

  cancel() {
    this.#part("cancel").requestSubmit();
  }

  receive(state) {
    this.#hub.take({ items: [state] });
  }

  draw() {
    const { state } = this;
    const { offline } = this.#hub;
    const known = (!this.#shown && this.getAttribute("version")) || -1;
    if (state !== this.#shown && (state?.version > known || delayOf(state))) this.#show(state);
    if (offline === this.#offline) return;
    this.#offline = this.toggleAttribute("data-offline", offline);
    this.#emit(offline ? "offline" : "online");
  }

  #show(state) {
    const { phase, title, is_finished, progress, links = {} } = state;
    const percent = progress?.percent;
    const delay = delayOf(state);
    this.#shown = state;
    this.dataset.phase = phase;
    this.toggleAttribute("data-finished", is_finished);
    this.toggleAttribute("data-slow", !!delay);
    try {
      this.#internals.states.clear();
      this.#internals.states.add(phase);
    } catch {} // older browsers
    this.#write("title", title);
    this.#write("phase", text(phase));
    this.#write("percent", percent == null ? "" : text("percent", Math.floor(percent)));
    this.#write("details", details(state).filter(Boolean).join(" · "));
    this.#write("slow", text(delay ?? ""));
    this.#set("time", "datetime", state.finished_at ?? state.run_after);
    this.#date();
    this.#set("bar", "value", percent);
    this.#set("bar", "aria-label", title);
    this.#set("cancel", "action", links.cancel);
    this.#set("result", "href", links.result);
    this.#emit("update");
    if (["missing", "gone", "signed-out"].includes(phase)) this.#emit("offline");
    else if (is_finished) this.#emit(state.status === "SUCCESSFUL" ? "succeeded" : "failed");
  }

  #date() {
    const moment = this.#part("time")?.dateTime;
    const language = document.documentElement.lang.replace("_", "-") || [];
    const style = { dateStyle: "short", timeStyle: "short" };
    this.#write("time", moment ? new Date(moment).toLocaleString(language, style) : "");
  }

  #part(name) {
    return this.querySelector(`[data-part=${name}]`);
  }

  #write(name, words) {
    const part = this.#part(name);
    if (part && part.textContent !== words) part.textContent = words;
  }

  #set(name, attribute, value) {
    const part = this.#part(name);
    if (value == null) part?.removeAttribute(attribute);
    else if (part?.getAttribute(attribute) !== `${value}`) part?.setAttribute(attribute, value);
  }

  #emit(name) {
    const options = { detail: this.state, bubbles: true, composed: true };
    this.dispatchEvent(new CustomEvent(`task-${name}`, options));
  }
}
customElements.define("task-status", TaskStatus);
