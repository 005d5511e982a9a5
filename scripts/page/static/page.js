// Wires up the page: drawings and pictures are sent to be read, one request at a time, always the newest next.

import { setClasses, showNothing, showReading } from "./answer.js";
import { keep, setLabels } from "./inbox.js";
import { Paper } from "./paper.js";

const element = (id) => document.getElementById(id);
const POLL = 250; // milliseconds between checks while the model is loading
const MAX_BYTES = 10_000_000;
const WAITING = "The model is loading; this will be read as soon as it is ready.";
const LOST = "draw.py does not respond; is it still running?";

const paper = new Paper(element("paper"), changed);
let model = { state: "loading", classes: [..."0123456789"], inbox: "" };
let reading = false; // true while a request is in progress
let wanted = null; // what to read next: { finished }

function changed(finished) {
  element("hint").hidden = !paper.isBlank;
  element("undo").disabled = !paper.canUndo;
  element("clear").disabled = paper.isBlank;
  element("kept").textContent = "";
  for (const button of element("labels").children) button.disabled = paper.isBlank;
  wanted = { finished };
  readNext();
}

async function readNext() {
  element("answer").ariaBusy = String(Boolean(reading || wanted));
  if (reading || !wanted || model.state !== "ready") return showWaiting();
  const { finished } = wanted;
  wanted = null;
  reading = true;
  if (paper.isBlank) showNothing();
  else show(await post(finished ? "read?importance" : "read", await paper.content()), finished);
  reading = false;
  readNext();
}

function show(answer, finished) {
  if (paper.isBlank) showNothing();
  else if (answer.error) showNothing("Not read", answer.error, true);
  else showReading(answer, model.classes, finished);
  if (answer.lost) setTimeout(watch, answer.after);
}

function showWaiting() {
  if (paper.isBlank) showNothing();
  if (model.state === "loading" && !paper.isBlank) showNothing("One moment", WAITING);
  if (model.state === "failed") showNothing("Model not loaded", model.error, true);
  if (model.state === "lost") showNothing("No response", model.error, true);
}

// Return the server's answer. Without `error` it is a success; `lost` means: ask again in `after` ms.
async function post(path, body) {
  if (body.size > MAX_BYTES) return { error: "the picture is larger than 10 MB" };
  try {
    const response = await fetch(path, { method: "POST", body });
    const after = 1000 * (response.headers.get("Retry-After") ?? 0);
    return { ...(await response.json()), lost: response.status === 503, after };
  } catch {
    return { error: LOST, lost: true, after: 0 };
  }
}

// Poll the state of the model until it is ready or has failed.
async function watch() {
  try {
    const response = await fetch("status");
    const answer = await response.json();
    model = response.ok ? answer : { ...model, state: "lost", error: answer.error };
  } catch {
    model = { ...model, state: "lost", error: LOST };
  }
  const state = element("state");
  state.dataset.state = model.state;
  const ready = `${model.model} is ready`;
  const words = { loading: "Loading the model", ready, failed: "No model", lost: "No response" };
  if (state.textContent !== words[model.state]) state.textContent = words[model.state]; // avoid repeated announcements
  if (model.state === "ready") return setUp();
  showWaiting();
  if (model.state !== "failed") setTimeout(watch, POLL);
}

function setUp() {
  setClasses(model.classes);
  setLabels(model, (label) => keep(label, model, () => paper.content(), post));
  changed(true);
}

async function take(files) {
  const [file] = files;
  if (file) await paper.show(file);
}

element("undo").addEventListener("click", () => paper.undo());
element("clear").addEventListener("click", () => paper.clear());
element("brush").addEventListener("change", (event) => (paper.brush = Number(event.target.value)));
element("open").addEventListener("click", () => element("file").click());
element("file").addEventListener("change", async ({ target }) => {
  await take(target.files);
  target.value = ""; // so that the same file can be opened again
});

addEventListener("paste", (event) => take(event.clipboardData.files));
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  take(event.dataTransfer.files);
});

addEventListener("keydown", (event) => {
  if (document.querySelector("dialog[open]")) return;
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z") paper.undo();
  else if (["Escape", "Delete", "Backspace"].includes(event.key)) paper.clear();
  else return;
  event.preventDefault();
});

setUp();
watch();
