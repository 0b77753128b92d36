// What the model says of one face, with how sure it is.
import { make, percent } from "./elements.js";

const UNSURE = 0.5;
const TURNS = {
  yaw: ["to the right of the picture", "to the left of the picture"],
  pitch: ["up", "down"],
  roll: ["tilted to the right of the picture", "tilted to the left of the picture"],
};

export function card(face, number, tasks) {
  const title = make("h3", { id: `face-${number}-title`, tabindex: "-1" }, `Face ${number + 1}`);
  const score = face.score == null ? [] : [make("p", { class: "soft" },
    `The detector is ${percent(face.score)} sure that this is a face.`)];
  const parts = Object.entries(tasks).map(([name, task]) => section(name, task, face[name]));
  return make("article", { class: "card face", "aria-labelledby": title.id }, title, ...score, ...parts);
}

function section(name, task, reading) {
  const kinds = { classification: classes, pose, regression };
  return make("section", {}, ...kinds[task.kind](name, task, reading));
}

const capital = (word) => word.charAt(0).toUpperCase() + word.slice(1).replaceAll("_", " ");

function classes(name, task, reading) {
  const ranked = Object.entries(reading.probabilities).sort((a, b) => b[1] - a[1]);
  const unsure = reading.probability < UNSURE ? " The model is unsure: no answer reaches 50 %." : "";
  const rows = ranked.map(([label, part]) => {
    const fill = make("span");
    fill.style.width = `${100 * part}%`;
    return make("li", {}, make("span", {}, label),
      make("span", { class: "track", "aria-hidden": "true" }, fill),
      make("span", { class: "value" }, percent(part)));
  });
  return [
    make("p", {}, make("span", { class: "said" }, `${capital(name)}: ${reading.label}`),
      ` (${percent(reading.probability)}).${unsure}`),
    make("ul", { class: "bars", "aria-label": `${capital(name)}, probability of each answer` }, ...rows),
  ];
}

function pose(name, task, reading) {
  const rows = Object.entries(TURNS).map(([axis, words]) => {
    const angle = Math.round(reading[axis]);
    const way = angle === 0 ? "straight" : words[angle > 0 ? 0 : 1];
    return make("tr", {}, make("th", { scope: "row" }, capital(axis)),
      make("td", {}, `${Math.abs(angle)}°`), make("td", {}, way));
  });
  return [
    make("p", { class: "said" }, "Head pose"),
    make("div", { class: "scroll" }, make("table", {}, make("tbody", {}, ...rows))),
    make("p", { class: "soft" }, "The model gives no range for angles."),
  ];
}

function regression(name, task, { mean, deviation, unit = "" }) {
  const [low, high] = [Math.max(0, Math.round(mean - deviation)), Math.max(0, Math.round(mean + deviation))];
  const top = Math.max(100, Math.ceil(high / 50) * 50);
  const band = make("span");
  Object.assign(band.style, { left: `${(100 * low) / top}%`, width: `${(100 * (high - low)) / top}%` });
  const mark = make("span", { class: "mark" });
  mark.style.left = `${(100 * Math.min(top, Math.max(0, mean))) / top}%`;
  return [
    make("p", {}, make("span", { class: "said" }, `${capital(name)}: about ${Math.max(0, Math.round(mean))} ${unit}`.trim()),
      `, give or take ${Math.round(deviation)}: most likely between ${low} and ${high}.`),
    make("span", { class: "track", "aria-hidden": "true" }, band, mark),
    make("p", { class: "ends", "aria-hidden": "true" }, make("span", {}, "0"), make("span", {}, String(top))),
  ];
}
