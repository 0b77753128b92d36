// The self-supervised heads at work: what they were dealt and what they answered.
import { make, percent } from "./elements.js";

const LARGEST_NUMBERED = 5;

export function show(answer) {
  return answer.kind === "puzzle" ? puzzle(answer) : inpaint(answer);
}

const counted = (order) => order.map((tile) => tile + 1).join(" ");

function puzzle(answer) {
  const { grid, dealt, answered, laid, right, probabilities, pictures } = answer;
  const slots = dealt.length;
  const sits = laid.map((slot) => dealt[slot]);
  const marks = sits.map((tile, place) => (tile === place ? "right" : "wrong"));
  const rows = dealt.map((tile, slot) => make("tr", { class: tile === answered[slot] ? "right" : "wrong" },
    ...[slot, tile].map((each) => make("td", {}, String(each + 1))),
    make("td", {}, `${answered[slot] + 1} (${percent(probabilities[slot])})`),
    make("td", {}, tile === answered[slot] ? "right" : "wrong")));
  const names = ["Place", "Tile dealt", "Tile that the model named", ""];
  return make("section", { class: "answer puzzle" },
    make("h3", {}, `Puzzle of ${grid} by ${grid} tiles`),
    make("p", {}, make("span", { class: "said" }, `The model named ${right} of ${slots} tiles rightly.`),
      " Guessing gets one right, on average."),
    make("div", { class: "three" },
      tiles(pictures.dealt, grid, dealt, [], `As it was dealt: ${counted(dealt)}`),
      tiles(pictures.answered, grid, sits, marks, `As the model put it back: ${counted(sits)}`),
      tiles(pictures.intact, grid, dealt.map((_, tile) => tile), [], "The face, its tiles numbered")),
    make("details", {}, make("summary", {}, "Tile by tile"),
      make("div", { class: "scroll" }, make("table", {},
        make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)))),
        make("tbody", {}, ...rows)))));
}

function tiles(source, grid, numbers, marks, caption) {
  const over = make("ol", { "aria-hidden": "true" });
  over.style.gridTemplate = `repeat(${grid}, 1fr) / repeat(${grid}, 1fr)`;
  if (grid <= LARGEST_NUMBERED) {
    over.append(...numbers.map((tile, place) => {
      const sign = { right: " ✓", wrong: " ✗" }[marks[place]] ?? "";
      return make("li", { class: marks[place] ?? "" }, make("span", {}, `${tile + 1}${sign}`));
    }));
  }
  return figure(make("div", { class: "tiles" }, make("img", { src: source, alt: caption }), over), caption);
}

const figure = (inside, caption) => make("figure", {}, inside, make("figcaption", {}, caption));

const plain = (source, caption) =>
  figure(make("div", { class: "tiles" }, make("img", { src: source, alt: caption })), caption);

function inpaint({ holes, psnr, pictures }) {
  return make("section", { class: "answer inpaint" },
    make("h3", {}, "Holes to be filled"),
    make("p", {}, `${percent(holes)} of the face were blank; the model saw nothing of what was there. `,
      make("span", { class: "said" }, `Its fill comes within ${psnr.toFixed(1)} dB of the truth`),
      " (20 is rough, 30 is hard to tell apart)."),
    make("div", { class: "three" },
      plain(pictures.dealt, "With holes, as it was dealt"),
      plain(pictures.answered, "As the model filled them"),
      plain(pictures.intact, "The face")));
}
