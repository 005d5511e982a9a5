// The paper: strokes or one picture, with undo. A stroke's points are in [0, 1], so that any size can be redrawn.

const BLANK = { strokes: [], picture: null };
const SENT_SIDE = 280; // pixels of a drawing when it is read: ten times the model's
const MARGIN = 14; // pixels of them that stay white on each side, so that strokes visibly end at the paper's edge
const KEY_STEP = 1 / 28;

export class Paper {
  // `changed(finished)` is called after every change; `finished` is false while a stroke is being drawn.
  constructor(canvas, changed) {
    this.canvas = canvas;
    this.changed = changed;
    this.brush = 0.07;
    this.past = [];
    this.now = BLANK;
    this.stroke = null; // the stroke being drawn
    this.pen = null; // position of the keyboard's pen
    this.held = new Set(); // arrow keys being held
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("mousedown", (event) => event.preventDefault()); // keep the keyboard focus
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.#drop());
    canvas.addEventListener("keydown", (event) => this.#keyDown(event));
    canvas.addEventListener("keyup", (event) => this.held.delete(event.key));
    canvas.addEventListener("blur", () => this.#leave());
    new ResizeObserver(() => this.draw()).observe(canvas);
    addEventListener("themechange", () => this.draw());
  }

  get isBlank() {
    return !this.now.picture && !this.now.strokes.length && !this.stroke;
  }

  get canUndo() {
    return this.past.length > 0;
  }

  undo() {
    if (!this.canUndo) return;
    this.stroke = null;
    this.now = this.past.pop();
    this.#tell(true);
  }

  clear() {
    this.stroke = null;
    if (!this.isBlank) this.#become(BLANK);
  }

  // Show a picture file instead of strokes; a format that the browser cannot show is still read by the server.
  async show(file) {
    const image = await createImageBitmap(file).catch(() => null);
    this.#become({ strokes: [], picture: { file, image } });
  }

  // The content to read: the picture's own file, or the strokes in black on white, whatever the screen and theme.
  async content() {
    if (this.now.picture && !this.stroke) return this.now.picture.file;
    const sheet = new OffscreenCanvas(SENT_SIDE, SENT_SIDE);
    const context = sheet.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, SENT_SIDE, SENT_SIDE);
    const inner = SENT_SIDE - 2 * MARGIN;
    context.translate(MARGIN, MARGIN);
    context.beginPath();
    context.rect(0, 0, inner, inner);
    context.clip();
    this.#inkStrokes(context, inner, "#000");
    return sheet.convertToBlob({ type: "image/png" });
  }

  draw() {
    const side = Math.round(this.canvas.clientWidth * devicePixelRatio);
    if (this.canvas.width !== side) this.canvas.width = this.canvas.height = side;
    const context = this.canvas.getContext("2d");
    const colors = getComputedStyle(this.canvas);
    context.clearRect(0, 0, side, side);
    if (this.now.picture?.image && !this.stroke) drawWhole(context, this.now.picture.image, side);
    this.#inkStrokes(context, side, colors.getPropertyValue("--ink"));
    if (this.pen) drawPen(context, this.pen, this.brush, side, colors.getPropertyValue("--accent"));
  }

  #inkStrokes(context, side, color) {
    const strokes = this.stroke ? [...this.now.strokes, this.stroke] : this.now.strokes;
    context.strokeStyle = context.fillStyle = color;
    context.lineCap = context.lineJoin = "round";
    for (const stroke of strokes) drawStroke(context, stroke, side);
  }

  #tell(finished) {
    this.draw();
    this.changed(finished);
  }

  #become(state) {
    this.past.push(this.now);
    this.now = state;
    this.#tell(true);
  }

  #begin(point) {
    this.stroke = { width: this.brush, points: [point] };
    this.#tell(false);
  }

  #finish() {
    const strokes = [...this.now.strokes, this.stroke];
    this.stroke = null;
    this.#become({ strokes, picture: null });
  }

  #drop() {
    if (!this.stroke) return;
    this.stroke = null;
    this.#tell(true);
  }

  #down(event) {
    if (this.stroke || !event.isPrimary || event.button !== 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.pen = null;
    this.#begin(this.#place(event));
  }

  #move(event) {
    if (!this.stroke || !event.isPrimary || !this.canvas.hasPointerCapture(event.pointerId)) return;
    const events = event.getCoalescedEvents?.() ?? [];
    for (const each of events.length ? events : [event]) this.stroke.points.push(this.#place(each));
    this.#tell(false);
  }

  #up(event) {
    if (this.stroke && event.isPrimary) this.#finish();
  }

  #place(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  }

  #keyDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") this.#togglePen();
    else if (event.key.startsWith("Arrow")) this.#movePen(event.key);
    else return;
    event.preventDefault(); // keep the page from scrolling
  }

  #togglePen() {
    this.pen ??= [0.5, 0.5];
    if (this.stroke) this.#finish();
    else this.#begin([...this.pen]);
  }

  // Two arrow keys held together move the pen diagonally.
  #movePen(key) {
    this.held.add(key);
    const [x, y] = this.pen ?? [0.5, 0.5];
    const along = (more, less) => (Number(this.held.has(more)) - Number(this.held.has(less))) * KEY_STEP;
    const within = (value) => Math.min(1, Math.max(0, value));
    this.pen = [within(x + along("ArrowRight", "ArrowLeft")), within(y + along("ArrowDown", "ArrowUp"))];
    if (!this.stroke) return this.draw();
    this.stroke.points.push([...this.pen]);
    this.#tell(false);
  }

  #leave() {
    this.held.clear();
    if (!this.pen) return;
    this.pen = null;
    if (this.stroke) this.#finish();
    else this.draw();
  }
}

// Each point controls a curve between the midpoints around it, which is smooth however few points there are.
function drawStroke(context, { width, points }, side) {
  const [first, ...rest] = points.map(([x, y]) => [x * side, y * side]);
  context.lineWidth = width * side;
  context.beginPath();
  context.moveTo(...first);
  let [px, py] = first;
  for (const [x, y] of rest) {
    context.quadraticCurveTo(px, py, (px + x) / 2, (py + y) / 2);
    [px, py] = [x, y];
  }
  context.lineTo(px, py); // a single point becomes a dot because of its round ends
  context.stroke();
}

function drawWhole(context, image, side) {
  const scale = Math.min(side / image.width, side / image.height);
  const [width, height] = [image.width * scale, image.height * scale];
  context.imageSmoothingQuality = "high";
  context.drawImage(image, (side - width) / 2, (side - height) / 2, width, height);
}

function drawPen(context, [x, y], brush, side, color) {
  context.strokeStyle = color;
  context.lineWidth = Math.max(2, side / 200);
  context.beginPath();
  context.arc(x * side, y * side, (brush * side) / 2 + context.lineWidth, 0, 2 * Math.PI);
  context.stroke();
}
