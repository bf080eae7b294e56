// <task-status> shows a job as it changes. A hub connects for all elements of a page. One of the
// visible tabs leads: it alone connects, and updates the others.

const GATHER_MS = 50;
const FIRST_BYTE_MS = 5_000; // later, a proxy buffers it
const QUEUED_MS = 15_000; // until queue positions are requested
const SILENCE_MS = 45_000;
const POLL_MS = 300_000; // until streaming is tried again
const MAX_IDS = 100; // of one request
const { locks } = navigator; // undefined on plain http://

const isVisible = () => !document.hidden && !document.prerendering;
const jitter = (ms) => ms * (0.8 + 0.4 * Math.random());
const delayOf = (state) => state?.estimate?.delay;

// --- texts ---

let texts;

function text(name, value) {
  texts ??= JSON.parse(document.getElementById("offload-texts")?.textContent ?? "{}");
  return (texts[name] ?? name).replace("{}", value);
}

function details({ is_finished, error, progress, estimate }) {
  if (is_finished && !error) return [];
  if (error) return [error.title, error.detail, text("reference", error.reference)];
  const { step, message } = progress ?? {};
  const { remaining_seconds: left, position, reason } = estimate ?? {};
  const seconds = `0${left % 60}`.slice(-2);
  return [
    step && `${step.number}${step.of ? `/${step.of}` : ""} ${step.name}`,
    message,
    left != null && text("remaining", `${Math.floor(left / 60)}:${seconds}`),
    position && text("position", position),
    reason,
  ];
}

// --- drawing ---

const changed = new Set();

function redraw(element) {
  if (changed.add(element).size > 1) return;
  requestAnimationFrame(() => {
    const elements = [...changed];
    changed.clear();
    for (const element of elements) element.draw();
  });
}

// --- the connection ---

const hubs = new Map();

class Hub {
  #jobs = new Map(); // id -> { state, elements }
  #ids = []; // of this connection
  #otherIds = new Set(); // shown by other tabs
  #olderTabs = new Set(); // since when
  #etags = {};
  #timers = {};
  #failures = 0;
  #timeouts = 0;
  #pollUntil = 0;
  #channel;
  #active;
  #activeSince;
  #round; // of the leader: aborts its request or pause
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

  add(element) {
    this.job(element.key).elements.add(element);
    redraw(element);
    this.#change();
  }

  remove(element) {
    this.job(element.key).elements.delete(element);
    this.#change();
  }

  start() {
    for (const job of this.#jobs.values()) if (job.state?.phase === "signed-out") job.state = null;
    if (this.#active || !isVisible() || !this.#unfinished().length) return;
    const { signal } = (this.#active = new AbortController());
    this.#channel = new BroadcastChannel(this.name);
    this.#channel.onmessage = ({ data }) => this.#receive(data);
    this.#activeSince = Date.now() + Math.random();
    this.#receive({ leads: true });
    const lead = () => this.#lead(signal);
    if (locks) locks.request(this.name, { signal }, lead).catch(() => {});
    else lead();
  }

  stop() {
    if (!this.#active) return;
    this.#channel.close();
    this.#active.abort();
    this.#active = null;
    this.#setOffline(false);
    this.#otherIds.clear();
    this.restart();
  }

  restart() {
    this.#round?.abort("changed");
  }

  update({ items = [], missing = [] }) {
    if (this.#round && items[0]) this.#post({ items });
    for (const state of items) {
      const job = this.job(state.id);
      const newer = state.version - job.state?.version;
      if (newer < 0 || (newer === 0 && !delayOf(state))) continue;
      if (state.is_finished !== job.state?.is_finished) this.#change();
      if (state.is_finished) this.#ids = this.#ids.filter((id) => id !== state.id);
      job.state = state;
      job.elements.forEach(redraw);
    }
    for (const id of missing) this.refresh(id);
  }

  async refresh(id) {
    try {
      const response = await this.#get(`${id}/`);
      this.update({ items: [await response.json()] });
    } catch ({ status }) {
      if (status === 404) this.#close(id, "missing");
      if (status === 410) this.#close(id, "gone");
    }
  }

  // Half a version: the next state is newer.
  #close(id, phase) {
    const { state } = this.job(id);
    const version = (state?.version ?? 1e9) + 0.5;
    this.update({ items: [{ ...state, id, phase, version, is_finished: true }] });
  }

  #setTimer(name, ms, callback) {
    this.#timers[name] ??= setTimeout(() => {
      this.#timers[name] = null;
      callback();
    }, ms);
  }

  #stopTimer(name) {
    clearTimeout(this.#timers[name]);
    this.#timers[name] = null;
  }

  #post(message) {
    if (this.#active) this.#channel.postMessage(message);
  }

  #receive({ ids, since, leads, items, offline }) {
    if (leads) this.#post({ ids: this.#unfinished(), since: this.#activeSince });
    if (since < this.#activeSince) this.#olderTabs.add(since);
    if (!locks) return; // each tab connects
    if (items) this.update({ items });
    if (offline !== undefined) this.#setOffline(offline);
    if (!ids || !this.#round) return;
    ids.forEach((id) => this.#otherIds.add(id));
    this.#post({ items: this.#states(ids) });
    this.#change();
  }

  #states(ids) {
    return ids.map((id) => this.job(id).state).filter(Boolean);
  }

  #unfinished() {
    const shown = (id) => this.job(id).elements.size || this.#otherIds.has(id);
    const ids = [...this.#jobs.keys()].filter(shown);
    return ids.filter((id) => !this.job(id).state?.is_finished).sort();
  }

  #change() {
    this.#setTimer("change", GATHER_MS, () => {
      const ids = this.#unfinished();
      if (!ids.length) this.stop();
      else if (!this.#active) this.start();
      else if (!this.#round) this.#post({ ids });
      else if (`${ids}` !== `${this.#ids}`) this.restart();
    });
  }

  #setOffline(offline) {
    this.#stopTimer("offline");
    if (offline === this.offline) return;
    this.offline = offline;
    if (this.#round) this.#post({ offline });
    for (const job of this.#jobs.values()) job.elements.forEach(redraw);
  }

  async #lead(stopped) {
    while (!stopped.aborted) {
      this.#otherIds.clear();
      this.#olderTabs.clear();
      this.#post({ leads: true }); // the others post their ids
      await this.#pause(GATHER_MS);
      if (stopped.aborted) break;
      this.#ids = this.#unfinished();
      this.#round = new AbortController();
      let wait = 0;
      try {
        wait = await (this.#canStream() ? this.#stream() : this.#poll());
      } catch (error) {
        if (this.#round.signal.reason !== "changed") wait = this.#fail(error);
      }
      if (!stopped.aborted) await this.#pause(wait);
    }
    this.#round = null;
  }

  // Without locks all tabs lead; the two oldest stream.
  #canStream() {
    const { length } = this.#ids;
    const may = this.transport !== "poll" && (locks || this.#olderTabs.size < 2);
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
    let poll = [404, 405, 406, 501].includes(status);
    if (name === "AbortError") poll ||= ++this.#timeouts > 1;
    if (this.#timers.health) poll ||= this.#failures > 1;
    this.#stopTimer("health");
    this.#stopTimer("queued");
    if (poll && this.#canStream()) {
      this.#pollUntil = performance.now() + POLL_MS;
      return 0;
    }
    this.#setTimer("offline", 3_000, () => this.#setOffline(true));
    if ([0, 401, 403].includes(status)) // 0: a redirect
      for (const id of this.#ids) this.#close(id, "signed-out");
    const backOff = Math.min(30_000, 1_000 * 2 ** this.#failures++);
    return Math.max(jitter(wait), Math.random() * backOff);
  }

  #expect(ms) {
    const round = this.#round;
    this.#stopTimer("silence");
    this.#setTimer("silence", ms, () => round.abort());
  }

  #received() {
    this.#expect(SILENCE_MS);
    this.#setOffline(false);
    this.#timeouts = 0;
    this.#setTimer("health", 10_000, () => (this.#failures = 0));
  }

  async #get(path, headers = {}, signal = null, send = fetch) {
    if (this.token) headers.Authorization = `Offload ${this.token}`;
    const response = await send(this.base + path, { headers, signal, redirect: "manual" });
    response.wait = 1_000 * response.headers.get("Retry-After") || 0; // not a date
    if (response.ok || response.status === 304) return response;
    throw response;
  }

  async #poll() {
    let wait = 60_000;
    for (let ids = this.#ids; ids.length; ids = ids.slice(MAX_IDS)) {
      const path = `?ids=${ids.slice(0, MAX_IDS)}`;
      const headers = { "If-None-Match": this.#etags[path] ?? "" };
      this.#expect(SILENCE_MS);
      const response = await this.#get(path, headers, this.#round.signal);
      const body = response.status === 200 ? await response.json() : {};
      this.#etags[path] = response.headers.get("ETag");
      this.#received();
      this.update(body);
      wait = Math.min(wait, body.poll_ms || response.wait || 2_000);
    }
    return jitter(wait);
  }

  async #stream() {
    const states = () => this.#states(this.#ids);
    const queued = () => states().some(({ phase }) => /queued|limited/.test(phase));
    const known = states().map(({ id, version }) => `${id}.${version}`);
    const headers = { Accept: "text/event-stream", "Last-Event-ID": `${known}` };
    this.#setTimer("queued", QUEUED_MS, () => queued() && this.restart());
    this.#expect(FIRST_BYTE_MS);
    const send = globalThis.offloadFetch ?? fetch; // task-socket.js
    const path = `events/?ids=${this.#ids}`;
    const response = await this.#get(path, headers, this.#round.signal, send);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ; ) {
      const { value, done } = await reader.read();
      if (done) throw {};
      this.#received();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) {
        const body = JSON.parse(block.split(/^data: ?/m)[1] ?? "{}");
        this.update(body.id ? { items: [body] } : body);
        const { reason } = body;
        if (reason) return jitter({ lifetime: 200, shutdown: 1_000 }[reason] ?? SILENCE_MS);
      }
    }
  }
}

const all = (verb) => hubs.forEach((hub) => hub[verb]());
const follow = () => all(isVisible() ? "start" : "stop");
document.addEventListener("visibilitychange", follow);
document.addEventListener("prerenderingchange", follow);
addEventListener("pageshow", follow);
addEventListener("pagehide", () => all("stop"));
for (const type of ["online", "offline"]) addEventListener(type, () => all("restart"));

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
    this.removeAttribute("hx-get"); // no polling by htmx
    if (this.dataset.finished !== undefined && !this.#shown) return;
    this.#hub.add(this);
    const limit = this.getAttribute("stop-after");
    if (limit) this.#timer = setTimeout(() => this.#hub.remove(this), 1_000 * limit);
  }

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#hub.remove(this);
  }

  attributeChangedCallback(name) {
    if (!this.#hub || !this.isConnected) return;
    this.disconnectedCallback();
    if (name === "href") this.#shown = {}; // any state is newer
    this.connectedCallback();
  }

  refresh() {
    this.#hub.add(this);
    return this.#hub.refresh(this.key);
  }

  cancel() {
    this.#part("cancel").requestSubmit();
  }

  receive(state) {
    this.#hub.update({ items: [state] });
  }

  draw() {
    const { state } = this;
    const { offline } = this.#hub;
    const known = (!this.#shown && this.getAttribute("version")) || -1;
    if (state !== this.#shown && (state?.version > known || delayOf(state))) this.#show(state);
    if (offline === this.#offline) return;
    this.#offline = this.toggleAttribute("data-offline", offline);
    this.#write("offline", offline ? text("offline") : "");
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
    if (!part) return;
    if (/href|action/.test(attribute)) part.hidden = !value;
    if (value == null) part.removeAttribute(attribute);
    else if (part.getAttribute(attribute) !== `${value}`) part.setAttribute(attribute, value);
  }

  #emit(name) {
    const options = { detail: this.state, bubbles: true, composed: true };
    this.dispatchEvent(new CustomEvent(`task-${name}`, options));
  }
}
customElements.define("task-status", TaskStatus);
