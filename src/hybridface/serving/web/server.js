// Talking to the server: the key, and errors as sentences for a person.

const KEY = "hybridface-key";

export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

let given = null; // where the browser lets the page store nothing

export function keepKey(key) {
  given = key;
  try {
    sessionStorage.setItem(KEY, key);
  } catch { /* it is asked for again after a reload */ }
}

function keptKey() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return given;
  }
}

export async function ask(path, options = {}) {
  const key = keptKey();
  if (key && !/^[!-~]+$/.test(key)) { // fetch would refuse the header, as if no server were there
    throw new ServerError(401, "The key was not accepted: no key holds such characters. Was it copied without quotation marks?");
  }
  const headers = key ? { Authorization: `Bearer ${key}` } : {};
  let answer, content;
  try {
    answer = await fetch(path, { ...options, headers });
    content = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError(0, "The server cannot be reached, or broke off. Is it still running?");
  }
  if (!answer.ok) {
    const said = content.error ?? content.pictures?.[0]?.error ?? "no reason given";
    throw new ServerError(answer.status, sentence(answer.status, said, Boolean(key)));
  }
  return content;
}

function sentence(status, said, hadKey) {
  if (status === 401) return hadKey ? "The key was not accepted." : "";
  if (status === 429) return "The server has too much to do just now. Try again in a moment.";
  if (status === 422) return `This file could not be read as a photo: ${said}.`;
  if (status === 413) return `The photo is too large: ${said}.`;
  return `The server could not do it (${status}): ${said}.`;
}

export function upload(path, file, signal) {
  const form = new FormData();
  form.append("pictures", file, file.name ?? "photo.jpg");
  return ask(path, { method: "POST", body: form, signal });
}
