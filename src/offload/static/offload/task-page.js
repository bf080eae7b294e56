// What a page does around its <task-status> elements, by their events: <form data-offload> starts
// a job, milestones are spoken, who waits in another tab is told, and `redirect` is followed.

const TRIES = 4; // of a form with a key, which starts one job however often it is sent
const QUIET = 10_000; // ms between two spoken milestones

let texts;

function text(name) {
  texts ??= JSON.parse(document.getElementById("offload-texts")?.textContent ?? "{}");
  return texts[name] ?? name;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// --- forms ---

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || !form.matches("form[data-offload][method=post i]")) return;
  event.preventDefault();
  if (form.getAttribute("aria-busy") !== "true") submit(form, event.submitter);
});

async function submit(form, button) {
  const body = new FormData(form, button);
  const url = button?.getAttribute("formaction") ?? form.getAttribute("action") ?? location.href;
  setBusy(form, button, true);
  note(form, text("sending"));
  const response = await send(url, body);
  setBusy(form, button, false);
  note(form, "");
  if (!response || response.status >= 500) return note(form, text("unsent"));
  if (response.redirected) return location.assign(response.url);
  if (!response.headers.get("Content-Type")?.includes("json")) return sendPlainly(form, button);
  const state = await response.json();
  if (!response.ok) return note(form, state.detail ?? state.title ?? text("unsent"));
  renewKey(form);
  if (state.links) show(form, state);
}

function setBusy(form, button, busy) {
  form.setAttribute("aria-busy", busy);
  if (button) button.disabled = busy;
}

function note(form, words) {
  let output = form.querySelector("[data-part=note]");
  if (!output && !form.closest("task-status")) {
    output = document.createElement("output");
    output.dataset.part = "note";
    form.append(output);
  }
  if (output) output.textContent = words;
}

async function send(url, body) {
  const key = body.get("idempotency_key");
  const headers = { Accept: "application/json" };
  if (key) headers["Idempotency-Key"] = key;
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, { method: "POST", body, headers }).catch(() => null);
    const refused = !response || [429, 502, 503, 504].includes(response.status);
    if (!refused || !key || attempt === TRIES) return response;
    const asked = 1_000 * response?.headers.get("Retry-After") || 0; // not a date
    await pause(asked * (1 + 0.2 * Math.random()) + Math.random() * 500 * 2 ** attempt);
  }
}

// The answer is a page, with the form's errors perhaps: let the browser show it.
function sendPlainly(form, button) {
  form.removeAttribute("data-offload");
  form.requestSubmit(button);
}

function renewKey({ elements }) {
  const key = elements.namedItem("idempotency_key");
  if (key) key.value = key.value.replace(/(?:\.(\d+))?$/, (_, n = 0) => `.${Number(n) + 1}`);
}

function show(form, state) {
  const around = form.closest("task-status");
  if (around) return around.receive(state);
  const template = document.getElementById("offload-task-status");
  const element = template.content.querySelector("task-status").cloneNode(true);
  element.setAttribute("href", state.links.self);
  for (const name of form.getAttributeNames())
    if (name.startsWith("data-task-"))
      element.setAttribute(name.slice("data-task-".length), form.getAttribute(name));
  const token = form.elements.namedItem("csrfmiddlewaretoken");
  if (token) element.querySelector("form")?.append(token.cloneNode());
  const target = form.dataset.target && document.querySelector(form.dataset.target);
  if (target) target.prepend(element);
  else form.after(element);
  element.receive(state);
}

// --- milestones ---

const unspoken = new Map();
const reached = new WeakMap();
let status, alert, speaking;
let spoke = -Infinity;

function region(role) {
  const element = document.createElement("div");
  element.setAttribute("role", role);
  element.className = "offload-spoken";
  document.body.append(element);
  return element;
}

// One region speaks for the whole page; of each job only the newest milestone.
function say(element, words) {
  if (element.getAttribute("announce") === "off") return;
  if (!status?.isConnected) status = region("status");
  unspoken.set(element, words);
  speaking ??= setTimeout(() => {
    status.textContent = [...unspoken.values()].join(". ");
    unspoken.clear();
    spoke = performance.now();
    speaking = null;
  }, Math.max(100, spoke + QUIET - performance.now()));
}

const sentence = ({ title, phase }) => `${title}: ${text(phase)}`;

document.addEventListener("task-update", ({ target, detail }) => {
  const quarter = Math.floor((detail.progress?.percent ?? 0) / 25);
  const before = reached.get(target) ?? { quarter: 0 };
  reached.set(target, { phase: detail.phase, quarter });
  if (detail.phase !== before.phase) say(target, sentence(detail));
  else if (quarter > before.quarter)
    say(target, `${detail.title}: ${text("percent").replace("{}", 25 * quarter)}`);
});

for (const name of ["offline", "online"])
  document.addEventListener(`task-${name}`, ({ target }) => say(target, text(name)));

document.addEventListener("task-failed", ({ target, detail }) => {
  if (target.getAttribute("announce") === "off") return;
  unspoken.delete(target);
  if (!alert?.isConnected) alert = region("alert");
  alert.textContent = [sentence(detail), detail.error?.title].filter(Boolean).join(". ");
});

// --- what follows ---

document.addEventListener("task-succeeded", ({ target }) => {
  const path = target.getAttribute("redirect");
  const url = new URL(path ?? "", document.baseURI);
  if (path && url.origin === location.origin) location.assign(url);
});

// A hidden tab is silent, unless its user wants to be told.
let hiddenFor = 0; // times that the tab was hidden
let told = 0; // ends since it is
let title;

function look() {
  if (document.hidden) {
    hiddenFor++;
    title = document.title;
    document.querySelectorAll("task-status[notify]:not([data-finished])").forEach(waitHidden);
  } else if (told) {
    told = 0;
    document.title = title;
    navigator.clearAppBadge?.();
  }
}

document.addEventListener("visibilitychange", look);
if (!document.prerendering) look(); // a tab may be opened behind others

async function waitHidden(element) {
  const time = hiddenFor;
  while (element.isConnected) {
    await pause(30_000 + 30_000 * Math.random());
    if (!document.hidden || time !== hiddenFor) return;
    await element.refresh();
    if (element.state?.is_finished) return tell(element.state);
  }
}

function tell(state) {
  document.title = `(${++told}) ${sentence(state)}`;
  navigator.setAppBadge?.();
  if (window.Notification?.permission !== "granted") return;
  try {
    new Notification(sentence(state));
  } catch {} // on Android only a service worker may
}
