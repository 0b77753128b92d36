// The page: a photo in, what the model sees in it out.
import * as camera from "./camera.js";
import { drawFaces } from "./drawing.js";
import { byId, make } from "./elements.js";
import { show } from "./other_half.js";
import { card } from "./readings.js";
import { ask, keepKey, ServerError, upload } from "./server.js";

const state = { about: null, file: null, pending: null, asking: null, running: null, dealing: null };

function say(text) { byId("status").textContent = text; }

function complain(text, { again = false } = {}) {
  byId("problem").textContent = text;
  byId("again").hidden = !again;
}

function failed(error) {
  if (error.name === "AbortError") return;
  say("");
  if (error instanceof ServerError && error.status === 401) {
    byId("key-form").hidden = false;
    byId("choose").hidden = true;
    byId("key").focus();
  }
  const mayPass = error instanceof ServerError && (error.status >= 500 || [0, 408, 429].includes(error.status));
  complain(error.message, { again: mayPass && Boolean(state.pending || !state.about) });
  if (!byId("choose").hidden) return;
  byId("key-why").textContent = error.message || byId("key-why").textContent;
}

async function start() {
  state.asking?.abort();
  state.asking = new AbortController();
  try {
    state.about = await ask("v1/model", { signal: state.asking.signal });
  } catch (error) {
    failed(error);
    return;
  }
  byId("key-form").hidden = true;
  byId("choose").hidden = false;
  complain("");
  for (const line of byId("cannot").querySelectorAll("[data-kind]")) {
    line.hidden = !knows(line.dataset.kind);
  }
  const { version, backbone, size, trained_on: data, licence } = state.about.model;
  const terms = licence ? `; its terms: ${licence}` : "";
  if (state.pending) look(state.pending);
  byId("about").textContent = `Model: ${backbone}, faces of ${size} by ${size} pixels, trained on ${data}${terms}. hybridface ${version}.`;
}

const knows = (what) => Object.entries(state.about.tasks).some(([name, task]) => name === what || task.kind === what);

async function look(file) {
  if (!file) return;
  state.pending = file;
  complain("");
  if (!state.about) {
    await start();
    return;
  }
  state.running?.abort();
  state.dealing?.abort();
  const running = (state.running = new AbortController());
  byId("result").hidden = byId("other-half").hidden = true;
  byId("answers").replaceChildren();
  const most = state.about.limits.request_bytes;
  if (file.size > most) {
    say("");
    complain(`The photo has ${Math.ceil(file.size / 1e6)} MB; this server takes ${Math.floor(most / 1e6)} MB at most.`);
    return;
  }
  say("Looking for faces…");
  try {
    const answer = await upload("v1/predict", file, running.signal);
    running.signal.throwIfAborted();
    state.file = file;
    await showResult(answer.pictures[0], file, running.signal);
    if (answer.pictures[0].faces.length && state.about.self_supervised.length) await deal();
  } catch (error) {
    failed(error);
  }
}

async function showResult(picture, file, signal) {
  const count = picture.faces.length;
  const more = picture.faces_left_out ? `, and ${picture.faces_left_out} more that were not read` : "";
  const title = count === 0 ? "No face was found" : count === 1 ? "One face was found" : `${count} faces were found`;
  byId("result-title").textContent = `${title}${more}`;
  await showPhoto(file, signal);
  const pose = Object.entries(state.about.tasks).find(([, task]) => task.kind === "pose")?.[0];
  drawFaces(byId("stage"), byId("axes"), picture, pose, (number) => byId(`face-${number}-title`).focus());
  byId("legend").hidden = !pose || count === 0;
  const hint = make("p", { class: "card" },
    "Try a photo in which the face is larger, lighter, or turned more towards the camera.");
  byId("faces").replaceChildren(...(count ? picture.faces.map((_, number) => card(picture.faces, number, state.about.tasks)) : [hint]));
  byId("which-face").replaceChildren(...picture.faces.map((_, number) => make("option", { value: number }, String(number + 1))));
  byId("which").hidden = count < 2;
  byId("result").hidden = false;
  say("");
  byId("result-title").focus();
}

async function showPhoto(file, signal) {
  const photo = byId("photo");
  if (photo.src) URL.revokeObjectURL(photo.src);
  photo.src = URL.createObjectURL(file);
  const shown = await photo.decode().then(() => true, () => false);
  signal.throwIfAborted();
  byId("stage").classList.toggle("blank", !shown);
  if (!shown) complain("The browser cannot show this kind of file; what was read from it stands below.");
}

async function deal() {
  state.dealing?.abort();
  const dealing = (state.dealing = new AbortController());
  byId("other-half").hidden = false;
  byId("deal").disabled = true;
  byId("deal-status").textContent = "Dealing…";
  try {
    const face = byId("which-face").value || 0;
    const { answers } = await upload(`v1/self-supervised?face=${face}`, state.file, dealing.signal);
    dealing.signal.throwIfAborted();
    byId("answers").replaceChildren(...answers.map(show));
    byId("deal-status").textContent = "";
  } catch (error) {
    if (error.name !== "AbortError") byId("deal-status").textContent = error.message;
  } finally {
    if (state.dealing === dealing) byId("deal").disabled = false;
  }
}

async function openCamera() {
  complain("");
  byId("camera").disabled = true;
  try {
    await camera.open();
    byId("camera-panel").hidden = false;
    byId("shoot").focus();
  } catch (error) {
    closeCamera();
    complain(error.message);
  }
}

function putCameraAway() {
  camera.close();
  byId("camera-panel").hidden = true;
  byId("camera").disabled = false;
}

function closeCamera() {
  putCameraAway();
  byId("camera").focus();
}

async function shoot() {
  try {
    const file = await camera.shoot();
    closeCamera();
    await look(file);
  } catch (error) {
    complain(error.message);
  }
}

function takeFrom(transfer) {
  const file = [...(transfer?.files ?? [])].find((each) => each.type.startsWith("image/")) ?? transfer?.files?.[0];
  if (file) look(file);
  return Boolean(file);
}

byId("file").addEventListener("change", (event) => {
  look(event.target.files[0]);
  event.target.value = "";
});
byId("camera").addEventListener("click", openCamera);
byId("close-camera").addEventListener("click", closeCamera);
byId("shoot").addEventListener("click", shoot);
byId("again").addEventListener("click", () => (state.about ? look(state.pending) : start()));
byId("deal").addEventListener("click", deal);
byId("which-face").addEventListener("change", () => {
  byId("answers").replaceChildren();
  deal();
});
byId("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepKey(byId("key").value.trim());
  start();
});
document.addEventListener("paste", (event) => takeFrom(event.clipboardData) && event.preventDefault());
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
}
for (const name of ["dragleave", "drop"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.remove("over");
    if (name === "drop" && !takeFrom(event.dataTransfer)) complain("What was dropped is no file.");
  });
}
window.addEventListener("pagehide", putCameraAway);
await start();
