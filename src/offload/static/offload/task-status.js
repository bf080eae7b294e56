// <task-status> shows a job as it changes. Elements draw; a hub gathers what a page follows, and
// the hub of one visible tab leads: it has the only connection, and tells the other tabs. States
// are whole and have versions, so it does not matter how they come, or how often.

const GATHER = 50; // ms in which elements come and go before it connects anew
const FIRST_BYTE = 5_000; // ms; a stream silent for longer is held up by a proxy
const SILENCE = 45_000; // ms without data or ping: the connection is dead
const POLL_ONLY = 300_000; // ms until streaming is tried again where it failed
const MAX_IDS = 100; // that the server takes at once
const CHANGED = {}; // why a request was given up
const { locks } = navigator; // missing on http://, except on localhost

const awake = () => !document.hidden && !document.prerendering;
const roughly = (ms) => ms * (0.8 + 0.4 * Math.random());

// --- words ---

let texts;

function text(name, value) {
  texts ??= JSON.parse(document.getElementById("offload-texts")?.textContent ?? "{}");
  return (texts[name] ?? name).replace("{}", value);
}

function details({ error, progress, estimate }) {
  if (error) return [error.title, error.detail, text("reference", error.reference)];
  const { step, message } = progress ?? {};
  const left = estimate?.remaining_seconds;
  const seconds = `${left % 60}`.padStart(2, "0");
  return [
    step && [step.number + (step.of ? `/${step.of}` : ""), step.name].join(" "),
    message,
    left != null && text("remaining", `${Math.floor(left / 60)}:${seconds}`),
  ];
}

// --- drawing: once per frame, without a look at the layout ---

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
  #others = new Set(); // ids that the leader follows for other tabs
  #covered = []; // ids of the present connection
  #etags = {};
  #timers = {};
  #failures = 0;
  #mute = 0; // dead connections in a row
  #pollUntil = 0;
  #channel;
  #stopper; // while this tab takes part
  #round; // while it leads: the request or pause under way
  offline = false;

  static of(element) {
    const base = new URL("../", element.url).href;
    const names = ["transport", "token", "channel"].map((name) => element.getAttribute(name));
    const key = `offload ${base} ${names}`;
    if (!hubs.has(key)) hubs.set(key, new Hub(key, base, ...names));
    return hubs.get(key);
  }

  constructor(name, base, transport, token) {
    Object.assign(this, { name, base, transport, token });
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
    this.#hear({ lead: true });
    const lead = () => this.#lead(signal);
    if (locks) locks.request(this.name, { signal }, lead).catch(() => {});
    else lead();
  }

  stop() {
    if (!this.#stopper) return;
    this.#be(false);
    this.#channel.close();
    this.#stopper.abort();
    this.#stopper = null;
    this.#others.clear();
    this.wake();
  }

  wake() {
    this.#round?.abort(CHANGED);
  }

  take({ items = [], missing = [] }) {
    if (this.#round) this.#tell({ items });
    for (const state of items) {
      const job = this.job(state.id);
      if (state.version <= job.state?.version) continue;
      if (state.done !== job.state?.done) this.#change();
      if (state.done) this.#covered = this.#covered.filter((id) => id !== state.id);
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

  // Half a version: newer than what is known, older than what may come.
  #lose(id, phase) {
    const { state } = this.job(id);
    const version = (state?.version ?? 1e9) + 0.5;
    this.take({ items: [{ ...state, id, phase, version, done: true }] });
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

  #hear({ want, lead, items, offline }) {
    if (lead) this.#tell({ want: this.#wanted() });
    if (items) this.take({ items });
    if (offline !== undefined) this.#be(offline);
    if (!want || !this.#round || !locks) return;
    want.forEach((id) => this.#others.add(id));
    this.#tell({ items: want.map((id) => this.job(id).state).filter(Boolean) });
    this.#change();
  }

  #wanted() {
    const own = [...this.#jobs.keys()].filter((id) => this.job(id).elements.size);
    const ids = new Set([...own, ...this.#others]);
    return [...ids].filter((id) => !this.job(id).state?.done).sort();
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
      this.#tell({ lead: true }); // the others answer with what they want
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

  // Without locks every tab leads, and a stream of each would use up a browser's connections.
  #canStream() {
    const may = locks && this.transport !== "poll" && performance.now() > this.#pollUntil;
    return may && this.#covered.length <= MAX_IDS;
  }

  async #pause(ms) {
    const { signal } = (this.#round = new AbortController());
    await new Promise((resolve) => {
      signal.addEventListener("abort", resolve);
      setTimeout(resolve, ms);
    });
  }

  #fail({ name, status, wait = 0 }) {
    this.#never("health");
    const refused = [404, 405, 406, 501].includes(status);
    if (this.#canStream() && (refused || (name === "AbortError" && ++this.#mute > 1))) {
      this.#pollUntil = performance.now() + POLL_ONLY;
      return 0;
    }
    this.#later("offline", 3_000, () => this.#be(true));
    if (status === 401 || status === 403)
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
    // A redirect would lead to a page for signing in.
    const response = await fetch(this.base + path, { headers, signal, redirect: "manual" });
    response.wait = 1_000 * response.headers.get("Retry-After");
    if (response.ok || response.status === 304) return response;
    throw { status: response.status || 401, wait: response.wait };
  }

  async #poll() {
    let wait = Infinity;
    for (let ids = this.#covered; ids.length; ids = ids.slice(MAX_IDS)) {
      const path = `?ids=${ids.slice(0, MAX_IDS)}`;
      const headers = { "If-None-Match": this.#etags[path] ?? "" };
      this.#expect(SILENCE);
      const response = await this.#get(path, headers, this.#round.signal);
      const body = response.status === 200 ? await response.json() : {};
      this.#etags[path] = response.headers.get("ETag");
      this.#heard();
      this.take(body);
      wait = Math.min(wait, body.poll_ms ?? (response.wait || 2_000));
    }
    return roughly(wait);
  }

  async #stream() {
    const states = this.#covered.map((id) => this.job(id).state).filter(Boolean);
    const known = states.map(({ id, version }) => `${id}.${version}`);
    const headers = { Accept: "text/event-stream", "Last-Event-ID": `${known}` };
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
        const fields = block.split("\n").map((line) => line.split(/: ?(.*)/s));
        const { event, data = "{}" } = Object.fromEntries(fields);
        const body = JSON.parse(data);
        this.take(event === "task" ? { items: [body] } : body);
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
addEventListener("online", () => all("wake"));

// --- the element ---

class TaskStatus extends HTMLElement {
  static observedAttributes = ["token"];
  #hub;
  #shown;
  #offline = false;
  #timers = [];
  #internals = this.attachInternals();

  get url() {
    return new URL(this.getAttribute("href"), document.baseURI);
  }

  get key() {
    return this.url.pathname.split("/").at(-2);
  }

  get state() {
    return this.#hub?.job(this.key).state;
  }

  connectedCallback() {
    this.#hub = Hub.of(this);
    this.#date();
    this.removeAttribute("hx-get"); // htmx polls only where no module runs
    if (this.dataset.done !== undefined && !this.#shown) return;
    this.#hub.join(this);
    const limit = this.getAttribute("stop-after");
    const slow = () => this.toggleAttribute("data-slow", this.dataset.phase === "queued");
    this.#timers = [
      setTimeout(slow, 15_000),
      limit && setTimeout(() => this.#hub.leave(this), 1_000 * limit),
    ];
  }

  disconnectedCallback() {
    this.#timers.forEach(clearTimeout);
    this.#hub.leave(this);
  }

  attributeChangedCallback() {
    if (!this.#hub) return;
    this.disconnectedCallback();
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
    const known = this.#shown ? -1 : (this.getAttribute("version") ?? -1);
    if (state !== this.#shown && state?.version > known) this.#show(state);
    if (offline === this.#offline) return;
    this.#offline = this.toggleAttribute("data-offline", offline);
    this.#emit(offline ? "offline" : "online");
  }

  #show(state) {
    const { phase, title, done, progress, links = {} } = state;
    const percent = progress?.percent;
    this.#shown = state;
    this.dataset.phase = phase;
    this.toggleAttribute("data-done", done);
    this.#internals.states.clear();
    this.#internals.states.add(phase);
    this.#write("title", title);
    this.#write("phase", text(phase));
    this.#write("percent", percent == null ? "" : text("percent", Math.floor(percent)));
    this.#write("details", details(state).filter(Boolean).join(" · "));
    this.#set("time", "datetime", state.finished_at ?? state.run_after);
    this.#date();
    this.#set("bar", "value", percent);
    this.#set("bar", "aria-label", title);
    this.#set("cancel", "action", links.cancel);
    this.#set("result", "href", links.result);
    this.#emit("update");
    if (["missing", "gone", "signed-out"].includes(phase)) this.#emit("offline");
    else if (done) this.#emit(state.status === "SUCCESSFUL" ? "done" : "failed");
  }

  // The server does not know the reader's time zone.
  #date() {
    const moment = this.#part("time")?.dateTime;
    const language = document.documentElement.lang || [];
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
