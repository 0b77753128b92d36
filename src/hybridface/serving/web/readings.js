// What the model says of one face, with how sure it is.
import { make, percent } from "./elements.js";

const UNSURE = 0.5;
const TURNS = {
  yaw: ["to the right of the picture", "to the left of the picture"],
  pitch: ["up", "down"],
  roll: ["tilted to the right of the picture", "tilted to the left of the picture"],
};

export function card(faces, number, tasks) {
  const face = faces[number];
  const title = make("h3", { id: `face-${number}-title`, tabindex: "-1" }, `Face ${number + 1}`);
  const score = face.score == null ? [] : [make("p", { class: "soft" },
    `The detector is ${percent(face.score)} sure that this is a face.`)];
  const parts = Object.entries(tasks).map(([name, task]) => section(name, task, face[name], faces.map((each) => each[name])));
  return make("article", { class: "card face", "aria-labelledby": title.id }, title, ...score, ...parts);
}

function section(name, task, reading, all) {
  const kinds = { classification: classes, pose, regression };
  return make("section", {}, ...kinds[task.kind](name, task, reading, all));
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

const MOST_DECIMALS = 6;

// 1, 2 or 5 times a power of ten, not below a number.
function round(number) {
  if (!(number > 0)) return 1;
  const power = Math.floor(Math.log10(number));
  return [1, 2, 5, 10].map((each) => Number(`${each}e${power}`)).find((each) => each >= number);
}

// The ends of a bar on which the readings of all faces fit, so that they can be compared.
function ends(all, years) {
  const most = Math.max(...all.map(({ mean, deviation }) => mean + deviation));
  if (years) return [0, Math.max(100, Math.ceil(most / 50) * 50)];
  const least = Math.min(...all.map(({ mean, deviation }) => mean - deviation));
  const far = round(Math.max(most, -least));
  return [least < 0 ? -far : 0, far];
}

function regression(name, task, { mean, deviation, unit = "" }, all) {
  const years = unit === "years";
  const [middle, low, high] = [mean, mean - deviation, mean + deviation].map((each) => (years ? Math.max(0, each) : each));
  const decimals = Math.min(MOST_DECIMALS, Math.max(0, -Math.floor(Math.log10(deviation))));
  const write = (number) => (Number(number.toFixed(decimals)) + 0).toFixed(decimals); // + 0: no "-0"
  const [left, right] = ends(all, years);
  const part = (length) => `${(100 * length) / (right - left)}%`;
  const band = make("span");
  Object.assign(band.style, { left: part(low - left), width: part(high - low) });
  const mark = make("span", { class: "mark" });
  mark.style.left = part(middle - left);
  return [
    make("p", {}, make("span", { class: "said" }, `${capital(name)}: about ${write(middle)} ${unit}`.trim()),
      `, give or take ${write(deviation)}: most likely between ${write(low)} and ${write(high)}.`),
    make("span", { class: "track", "aria-hidden": "true" }, band, mark),
    make("p", { class: "ends", "aria-hidden": "true" }, ...[left, right].map((each) => make("span", {}, String(each)))),
  ];
}
