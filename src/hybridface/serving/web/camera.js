// The camera: opened only when asked for, closed as soon as the picture is taken.
import { byId } from "./elements.js";

let stream = null;

const REASONS = {
  NotAllowedError: "The camera was refused. Allow it in the browser's settings for this page, or choose a file.",
  NotFoundError: "No camera was found. Choose a file instead.",
  NotReadableError: "The camera is in use by another program. Close that, or choose a file.",
};

export async function open() {
  close();
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("The browser gives pages the camera only over https or on this machine itself. "
      + "Choose a file instead: on a phone that offers the camera too.");
  }
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user", width: { ideal: 1280 } } });
  } catch (error) {
    throw new Error(REASONS[error.name] ?? `The camera cannot be used (${error.name}). Choose a file instead.`);
  }
  const video = byId("video");
  video.srcObject = stream;
  try {
    await video.play();
  } catch (error) {
    close();
    throw new Error(`The camera gave no picture (${error.name}). Choose a file instead.`);
  }
}

export function close() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = null;
  byId("video").srcObject = null;
}

export function shoot() {
  const video = byId("video");
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [video.videoWidth, video.videoHeight];
  canvas.getContext("2d").drawImage(video, 0, 0);
  return new Promise((done, fail) => canvas.toBlob(
    (blob) => (blob ? done(new File([blob], "camera.jpg", { type: blob.type })) : fail(new Error("The camera gave no picture."))),
    "image/jpeg", 0.92));
}
