// What a page does around its <task-status> elements: <form data-offload> starts a job, milestones
// are announced to screen readers, hidden tabs notify the user, and `redirect` is followed.

const MAX_ATTEMPTS = 4; // to send a form whose idempotency key prevents a second job
const ANNOUNCE_MS = 10_000; // between two announcements
const HIDDEN_POLL_MS = 30_000; // at least; up to twice as long at random

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

// The server may respond between the two clicks of a double-click: the second starts no other job.
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("button, input");
  const isSecondClick = event.detail > 1; // 0 for the keyboard
  if (isSecondClick && button?.type === "submit" && button.form?.matches("form[data-offload]"))
    event.preventDefault();
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
  if (!response.headers.get("Content-Type")?.includes("json")) return submitPlainly(form, button);
  const state = await response.json();
  if (!response.ok) return note(form, state.detail ?? state.title ?? text("unsent"));
  renewKey(form);
  if (state.links) show(form, state);
}

function setBusy(form, button, busy) {
  form.setAttribute("aria-busy", busy);
  if (button) button.disabled = busy;
}

function note(form, message) {
  let output = form.querySelector("[data-part=note]");
  if (!output && !form.closest("task-status")) {
    output = document.createElement("output");
    output.dataset.part = "note";
    form.append(output);
  }
  if (output) output.textContent = message;
}

async function send(url, body) {
  const key = body.get("idempotency_key");
  const headers = { Accept: "application/json" };
  if (key) headers["Idempotency-Key"] = key;
  for (let attempt = 1; ; attempt++) {
    const response = await fetch(url, { method: "POST", body, headers }).catch(() => null);
    const refused = !response || [429, 502, 503, 504].includes(response.status);
    if (!refused || !key || attempt === MAX_ATTEMPTS) return response;
    const delay = 1_000 * response?.headers.get("Retry-After") || 0; // not a date
    await pause(delay * (1 + 0.2 * Math.random()) + Math.random() * 500 * 2 ** attempt);
  }
}

// The response is a page, for example with the form's errors: the browser shows it.
function submitPlainly(form, button) {
  form.removeAttribute("data-offload");
  form.requestSubmit(button);
}

function renewKey({ elements }) {
  const key = elements.namedItem("idempotency_key");
  if (key) key.value = key.value.replace(/(?:\.(\d+))?$/, (_, n = 0) => `.${Number(n) + 1}`);
}

function show(form, state) {
  const cancelled = form.closest("task-status"); // the form of its cancel button
  if (cancelled) return cancelled.receive(state);
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

// --- announcements ---

const pending = new Map(); // element -> its newest milestone
const milestones = new WeakMap(); // element -> its last milestone
let status, alert, timer;
let announcedAt = -Infinity;

function addRegion(role) {
  const element = document.createElement("div");
  element.setAttribute("role", role);
  element.className = "offload-announcer";
  document.body.append(element);
  return element;
}

// One region announces the newest milestone of each job on the page.
function announce(element, message) {
  if (element.getAttribute("announce") === "off") return;
  if (!status?.isConnected) status = addRegion("status");
  pending.set(element, message);
  timer ??= setTimeout(() => {
    status.textContent = [...pending.values()].join(". ");
    pending.clear();
    announcedAt = performance.now();
    timer = null;
  }, Math.max(100, announcedAt + ANNOUNCE_MS - performance.now()));
}

const sentence = ({ title, phase }) => `${title}: ${text(phase)}`;

document.addEventListener("task-update", ({ target, detail }) => {
  const quarter = Math.floor((detail.progress?.percent ?? 0) / 25);
  const previous = milestones.get(target) ?? { quarter: 0 };
  milestones.set(target, { phase: detail.phase, quarter });
  if (detail.phase !== previous.phase) announce(target, sentence(detail));
  else if (quarter > previous.quarter)
    announce(target, `${detail.title}: ${text("percent").replace("{}", 25 * quarter)}`);
});

for (const name of ["offline", "online"])
  document.addEventListener(`task-${name}`, ({ target }) => announce(target, text(name)));

document.addEventListener("task-failed", ({ target, detail }) => {
  if (target.getAttribute("announce") === "off") return;
  pending.delete(target);
  if (!alert?.isConnected) alert = addRegion("alert");
  alert.textContent = [sentence(detail), detail.error?.title].filter(Boolean).join(". ");
});

// --- redirects ---

document.addEventListener("task-succeeded", ({ target }) => {
  const path = target.getAttribute("redirect");
  const url = new URL(path ?? "", document.baseURI);
  if (path && url.origin === location.origin) location.assign(url);
});

// --- hidden tabs: they connect to nothing, and poll only for elements with `notify` ---

let hiddenCount = 0; // how often the tab was hidden
let finishedCount = 0; // jobs that have finished while it is hidden
let title;

function onVisibilityChange() {
  if (document.hidden) {
    hiddenCount++;
    title = document.title;
    document.querySelectorAll("task-status[notify]:not([data-finished])").forEach(pollHidden);
  } else if (finishedCount) {
    finishedCount = 0;
    document.title = title;
    navigator.clearAppBadge?.();
  }
}

document.addEventListener("visibilitychange", onVisibilityChange);
if (!document.prerendering) onVisibilityChange(); // a tab may be opened in the background

async function pollHidden(element) {
  const count = hiddenCount;
  while (element.isConnected) {
    await pause(HIDDEN_POLL_MS * (1 + Math.random()));
    if (!document.hidden || count !== hiddenCount) return;
    await element.refresh();
    if (element.state?.is_finished) return notify(element.state);
  }
}

function notify(state) {
  document.title = `(${++finishedCount}) ${sentence(state)}`;
  navigator.setAppBadge?.();
  if (window.Notification?.permission !== "granted") return;
  try {
    new Notification(sentence(state));
  } catch {} // on Android only a service worker can
}
