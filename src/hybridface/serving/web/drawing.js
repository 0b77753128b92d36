// What is drawn over the photo: a box a face, and the axes of its head.
import { make } from "./elements.js";

const SVG = "http://www.w3.org/2000/svg";

// As hybridface.rotations.picture_axes: the head's right, top and nose as [x, y] in the picture.
export function axes({ yaw, pitch, roll }) {
  const [y, p, r] = [yaw, -pitch, -roll].map((angle) => (angle * Math.PI) / 180);
  const [sy, sp, sr] = [y, p, r].map(Math.sin);
  const [cy, cp, cr] = [y, p, r].map(Math.cos);
  const across = [cy * cr, -cy * sr, sy];
  const up = [cp * sr + sp * sy * cr, cp * cr - sp * sy * sr, -sp * cy];
  return across.map((x, axis) => [x, -up[axis]]);
}

export function drawFaces(stage, svg, picture, pose, choose) {
  stage.querySelectorAll(".box").forEach((old) => old.remove());
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${picture.width} ${picture.height}`);
  picture.faces.forEach((face, number) => {
    stage.append(box(face, number, picture, choose));
    if (pose && face[pose]) svg.append(...lines(face, face[pose]));
  });
}

function box(face, number, { width, height }, choose) {
  const [left, top, right, bottom] = face.box;
  const label = `Face ${number + 1}`;
  const frame = make("button", { type: "button", class: "box", "aria-label": `${label}: show what was read` },
    make("span", { "aria-hidden": "true" }, String(number + 1)));
  const part = (value, whole) => `${(100 * value) / whole}%`;
  Object.assign(frame.style, {
    left: part(left, width), top: part(top, height),
    width: part(right - left, width), height: part(bottom - top, height),
  });
  frame.addEventListener("click", () => choose(number));
  return frame;
}

function lines(face, pose) {
  const [left, top, right, bottom] = face.box;
  const [x, y] = face.landmarks?.[2] ?? [(left + right) / 2, (top + bottom) / 2];
  const length = (right - left + bottom - top) / 4;
  const [side, up, nose] = axes(pose);
  const ends = { right: side, down: up.map((each) => -each), nose };
  return Object.entries(ends).map(([name, [across, down]]) => {
    const line = document.createElementNS(SVG, "line");
    const places = { x1: x, y1: y, x2: x + across * length, y2: y + down * length };
    for (const [key, value] of Object.entries(places)) line.setAttribute(key, value);
    line.setAttribute("class", `line-${name}`);
    return line;
  });
}
