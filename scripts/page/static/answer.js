// The answer: a digit and its probability, the bars, what the model saw and which pixels mattered.

const element = (id) => document.getElementById(id);
const HEAT = [255, 166, 43];
const UNLIT = 0.4; // fraction of a pixel's brightness that is left where nothing mattered

let rows = [];

export function setClasses(names) {
  rows = names.map(makeRow);
  element("bars").replaceChildren(...rows.map((row) => row.item));
}

// Shown while there is nothing to read.
export function showNothing(says = "Nothing drawn yet", detail = "The answer appears as you draw.", bad = false) {
  write("", says, detail, bad);
  speak(bad ? `${says}. ${detail}` : "");
  showBars([], false);
  for (const id of ["seen", "mattered"]) {
    element(id).width = 28; // clears it
    element(id).classList.add("empty");
  }
}

// `finished` is false while a stroke is being drawn; nothing is announced to screen readers then.
export function showReading(reading, names, finished) {
  const order = reading.probabilities.map((_, k) => k).sort((a, b) => reading.probabilities[b] - reading.probabilities[a]);
  const [best, second] = order.map((k) => `${names[k]} with ${percent(reading.probabilities[k])}`);
  const alone = (reading.probabilities[order[1]] ?? 0) < 0.001;
  const refused = reading.label === null;
  const says = refused ? sentence(reading.reason) : percent(reading.probability);
  const detail = refused ? `Closest: ${best}, ${second}` : alone ? "Nothing else comes close" : `Next: ${second}`;
  write(refused ? "?" : reading.label, says, detail);
  if (finished) speak(refused ? says : `${reading.label}, ${percent(reading.probability)}`);
  showBars(reading.probabilities, !refused);
  showPixels(reading);
}

function write(label, says, detail, bad = false) {
  const glyph = element("glyph");
  glyph.textContent = label;
  glyph.classList.toggle("unsure", label === "?");
  glyph.classList.toggle("long", label.length > 2);
  element("says").textContent = says;
  element("says").classList.toggle("bad", bad);
  element("detail").textContent = detail;
}

function speak(text) {
  element("spoken").textContent = text;
}

function makeRow(name) {
  const [item, label, track, bar, share] = ["li", "span", "span", "i", "span"].map((tag) => document.createElement(tag));
  label.className = "name";
  label.textContent = name;
  track.className = "track";
  track.append(bar);
  share.className = "percent";
  item.append(label, track, share);
  return { item, bar, share };
}

function showBars(probabilities, sure) {
  const best = Math.max(...probabilities);
  rows.forEach(({ item, bar, share }, k) => {
    const value = probabilities[k];
    bar.style.setProperty("--share", value ?? 0);
    share.textContent = value === undefined ? "" : percent(value);
    item.classList.toggle("best", sure && value === best);
  });
}

function showPixels({ height, width, channels, seen, importance }) {
  const pixels = bytes(seen);
  const heat = importance ? bytes(importance) : new Uint8Array(height * width); // not requested in mid-stroke
  const color = (i, c) => pixels[i * channels + (channels === 3 ? c : 0)];
  paint("seen", height, width, color);
  paint("mattered", height, width, (i, c) => {
    const share = heat[i] / 255;
    return (1 - share) * UNLIT * color(i, c) + share * HEAT[c];
  });
}

function paint(id, height, width, color) {
  const canvas = element(id);
  [canvas.width, canvas.height] = [width, height];
  canvas.classList.remove("empty");
  const image = new ImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) image.data[4 * i + c] = color(i, c);
    image.data[4 * i + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function bytes(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function sentence(words) {
  return words.charAt(0).toUpperCase() + words.slice(1);
}

function percent(share) {
  const number = share > 0.9995 ? "> 99.9" : (100 * share).toFixed(1); // never show certainty
  return `${number}\u00a0%`;
}
