// Runs an exported model on an image or the camera and draws what it finds.
// What is done to an image here, emo_mm/deployment/infer.py does in Python.
import * as ort from './runtime/ort.wasm.min.mjs';

ort.env.wasm.wasmPaths = new URL('./runtime/', import.meta.url).href;
ort.env.wasm.numThreads = self.crossOriginIsolated
  ? Math.min(navigator.hardwareConcurrency, 4) : 1;

const element = (id) => document.getElementById(id);
const canvas = element('canvas');
const pen = canvas.getContext('2d', { willReadFrequently: true });
let models, metadata, session, current, results;

async function load(name) {
  say('Loading the model …');
  const loaded = await ort.InferenceSession.create(`models/${encodeURIComponent(name)}`);
  await session?.release();
  [session, metadata, results] = [loaded, models[name], undefined];
  say(`${metadata.task}, ${metadata.classes.length} classes. Choose an image.`);
}

function say(text) { element('status').textContent = text; }

// --- Images -----------------------------------------------------------------
function pixels(source, width, height) {
  const work = new OffscreenCanvas(width, height);
  const context = work.getContext('2d');
  context.imageSmoothingQuality = 'high';
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const image = new Uint8Array(width * height * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    image[j++] = data[i]; image[j++] = data[i + 1]; image[j++] = data[i + 2];
  }
  return image;
}

function resize(source, width, height) {
  if (metadata.resize.antialias || (source.width === width && source.height === height))
    return pixels(source, width, height);
  // As OpenCV does it: linear between the two nearest, without averaging.
  const old = pixels(source, source.width, source.height);
  const image = new Uint8Array(width * height * 3);
  const along = (length, from) => Array.from({ length }, (_, i) => {
    const x = Math.min(Math.max((i + 0.5) * from / length - 0.5, 0), from - 1);
    const low = Math.floor(x);
    return [low, Math.min(low + 1, from - 1), x - low];
  });
  const columns = along(width, source.width);
  along(height, source.height).forEach(([top, bottom, down], y) => {
    columns.forEach(([left, right, across], x) => {
      for (let c = 0; c < 3; c++) {
        const at = (row, column) => old[(row * source.width + column) * 3 + c];
        const upper = at(top, left) * (1 - across) + at(top, right) * across;
        const lower = at(bottom, left) * (1 - across) + at(bottom, right) * across;
        image[(y * width + x) * 3 + c] = upper * (1 - down) + lower * down + 0.5;
      }
    });
  });
  return image;
}

// Part of an image, or an image with grey around it.
function place(image, width, height, to, left, top, fill) {
  const placed = new Uint8Array(to.width * to.height * 3);
  for (let y = 0; y < to.height; y++)
    for (let x = 0; x < to.width; x++)
      for (let c = 0; c < 3; c++) {
        const [row, column] = [y + top, x + left];
        const inside = row >= 0 && column >= 0 && row < height && column < width;
        placed[(y * to.width + x) * 3 + c] =
          inside ? image[(row * width + column) * 3 + c] : fill[c];
      }
  return placed;
}

// The image that the model takes, and the area of it that shows the source.
function prepare(source) {
  const { resize: how, input } = metadata;
  const grey = metadata.normalisation.mean.map(Math.round);
  const wanted = input.dynamic ? null : { width: input.width, height: input.height };
  if (how.mode === 'crop') {
    const short = Math.min(source.width, source.height);
    const [width, height] = [source.width, source.height].map(
      (side) => Math.floor(how.short * side / short));
    const image = place(resize(source, width, height), width, height, how,
      Math.round((width - how.width) / 2), Math.round((height - how.height) / 2), grey);
    return { image, width: how.width, height: how.height, area: how };
  }
  if (how.mode === 'stretch') {
    const { width, height } = wanted ?? how;
    return { image: resize(source, width, height), width, height, area: { width, height } };
  }
  const [long, short] = [Math.max(source.width, source.height), Math.min(source.width, source.height)];
  let scale = 1;
  if (wanted) scale = Math.min(wanted.width / source.width, wanted.height / source.height);
  else if (how.mode === 'fit') scale = Math.min(how.long / long, how.short / short);
  const area = {
    width: Math.max(1, Math.floor(source.width * scale + 0.5)),
    height: Math.max(1, Math.floor(source.height * scale + 0.5)),
  };
  let image = resize(source, area.width, area.height);
  if (wanted) image = place(image, area.width, area.height, wanted, 0, 0, grey);
  return { image, ...(wanted ?? area), area };
}

// --- Results ----------------------------------------------------------------
async function run(source) {
  const { image, width, height, area } = prepare(source);
  const type = metadata.input.dtype;
  const data = type === 'uint8' ? image : Float32Array.from(image);
  const start = performance.now();
  const outputs = await session.run({ image: new ort.Tensor(type, data, [height, width, 3]) });
  const time = performance.now() - start;
  results = { time, width: source.width, height: source.height, area };
  for (const name of metadata.outputs)
    results[name] = { data: outputs[name].data, dims: outputs[name].dims };
  if (results.boxes) {
    const scale = [source.width / area.width, source.height / area.height];
    results.boxes.data = results.boxes.data.map((x, i) => x * scale[i % 2]);
  }
  return results;
}

function draw(source) {
  // Small images are enlarged, so that there is room for names.
  const enlarged = Math.max(1, Math.ceil(640 / Math.max(source.width, source.height)));
  canvas.width = source.width * enlarged;
  canvas.height = source.height * enlarged;
  pen.drawImage(source, 0, 0, canvas.width, canvas.height);
  const color = (label) => `rgb(${metadata.colors[label].join(' ')})`;
  let lines = [];
  if (results.boxes) lines = drawBoxes(color);
  else if (results.mask) lines = drawMask(color);
  else {
    const order = [...results.probabilities.data.keys()].sort(
      (a, b) => results.probabilities.data[b] - results.probabilities.data[a]);
    lines = order.slice(0, 5).map((label) => [label,
      `${metadata.classes[label]} ${results.probabilities.data[label].toFixed(3)}`]);
  }
  element('results').replaceChildren(...lines.map(([label, text]) => {
    const line = document.createElement('li');
    const mark = document.createElement('i');
    mark.style.background = color(label);
    line.append(mark, text);
    return line;
  }));
  say(`${results.time.toFixed(0)} ms at ${results.area.width} × ${results.area.height}`);
}

// As readable_on in infer.py.
function readableOn(color) {
  const [red, green, blue] = color.map((value) => (value / 255) ** 2.2);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 ? 'black' : 'white';
}

function drawBoxes(color) {
  const threshold = Number(element('threshold').value);
  const size = Math.max(14, Math.round(canvas.width / 50));
  const enlarged = canvas.width / results.width;
  const lines = [];
  pen.font = `${size}px sans-serif`;
  pen.lineWidth = size / 6;
  results.scores.data.forEach((score, i) => {
    if (score < threshold) return;
    const label = results.labels.data[i];
    const [x1, y1, x2, y2] = [...results.boxes.data.slice(4 * i, 4 * i + 4)]
      .map((x) => x * enlarged);
    const text = `${metadata.classes[label]} ${score.toFixed(2)}`;
    pen.strokeStyle = pen.fillStyle = color(label);
    pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
    pen.fillRect(x1, Math.max(0, y1 - size), pen.measureText(text).width, size);
    pen.fillStyle = readableOn(metadata.colors[label]);
    pen.fillText(text, x1, Math.max(0, y1 - size) + size * 0.85);
    lines.push([label, text]);
  });
  return lines;
}

function drawMask(color) {
  const { data, dims: [, columns] } = results.mask;
  const shown = pen.getImageData(0, 0, canvas.width, canvas.height);
  const counts = new Map();
  for (let y = 0; y < canvas.height; y++)
    for (let x = 0; x < canvas.width; x++) {
      const row = Math.floor(y * results.area.height / canvas.height);
      const label = data[row * columns + Math.floor(x * results.area.width / canvas.width)];
      counts.set(label, (counts.get(label) ?? 0) + 1);
      const at = (y * canvas.width + x) * 4;
      for (let c = 0; c < 3; c++)
        shown.data[at + c] = (shown.data[at + c] + metadata.colors[label][c]) / 2;
    }
  pen.putImageData(shown, 0, 0);
  const total = canvas.width * canvas.height;
  return [...counts].sort((a, b) => b[1] - a[1]).map(([label, count]) => [label,
    `${metadata.classes[label]} ${(100 * count / total).toFixed(1)} %`]);
}

// --- The page ---------------------------------------------------------------
// One thing after the other, as a session runs one image at a time.
let last = Promise.resolve();
function queue(work) {
  last = last.then(work).catch((error) => say(`error: ${error.message ?? error}`));
  return last;
}

async function show(source) {
  current = source;
  await run(source);
  draw(source);
}

async function read(file) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${file.name} is not an image that this browser reads`);
  }
}

element('image').onchange = ({ target }) => {
  const [file] = target.files;
  if (!file) return;
  stopCamera();
  queue(async () => show(await read(file)));
};
element('model').onchange = ({ target }) => queue(async () => {
  await load(target.value);
  if (current) await show(current);
});
element('threshold').oninput = ({ target }) => {
  element('shown').textContent = Number(target.value).toFixed(2);
  if (current && results) draw(current);
};

let stream;
function stopCamera() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = undefined;
  element('camera').textContent = 'Start the camera';
}
element('camera').onclick = async () => {
  if (stream) return stopCamera();
  const video = document.createElement('video');
  let own;
  try {
    own = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
    stream = own;
  } catch (error) {
    return say(`error: no camera (${error.message})`);
  }
  element('camera').textContent = 'Stop the camera';
  video.srcObject = stream;
  await video.play();
  while (stream === own) {
    await queue(async () => {
      const frame = await createImageBitmap(video);
      if (stream === own) await show(frame);
    });
    await new Promise(requestAnimationFrame);
  }
};

try {
  models = await (await fetch('models.json')).json();
  for (const name of Object.keys(models)) element('model').add(new Option(name));
  await load(element('model').value);
  document.body.dataset.ready = 'true';
} catch (error) {
  say(`error: ${error.message ?? error}`);
}
// For tests, and for whoever looks closer in the browser's console.
window.emo = { results: () => results, metadata: () => metadata, idle: () => last };
