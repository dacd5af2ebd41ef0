// What the page's modules compute, beyond the networks that tests/test_explorer_network.py compares with PyTorch.
import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { test } from "node:test";

const folder = new URL("../../hwkit/explorer/page/", import.meta.url);
const load = (name) => import(new URL(name, folder));
const { Network } = await load("network.js");
const { termsOf, stepsOf, poolingOf, originOf, placeOf } = await load("terms.js");
const { matching, NO_FILTER } = await load("predictions.js");
const { fromHalf } = await load("tensors.js");
const { percent, short } = await load("dom.js");
const { scaleOf, classColour } = await load("colours.js");
const { boxAverage, inkOf, inkBox, towardsCentre, shifted, noisy } = await load("pad.js");
const { inside, placeOnAxes, featuresOf } = await load("embedding.js");
const { nearestPlaces } = await load("why.js");
const { Store } = await load("store.js");
const { shortTitles } = await load("page.js");
const { Engine } = await load("engine.js");
const { ticksOf, powersOf, smooth, valueAt } = await load("charts.js");
const { styleOf, linesOf } = await load("dashboard.js");

const close = (a, b, tolerance = 1e-5) => assert.ok(Math.abs(a - b) <= tolerance, `${a} is not ${b}`);
const random = (length, seed = 1) => Float32Array.from({ length }, () => (seed = (seed * 16807) % 2147483647) / 2147483647 - 0.5);

// A small network: convolution with stride and padding, an affine step, ReLU, pooling, flattening, a linear layer.
const nodes = [
  { op: "image", inputs: [], shape: [2, 7, 6], label: "image" },
  { op: "convolution", inputs: [0], shape: [4, 4, 6], label: "conv", weight: "w", bias: "b", kernel: [3, 3], stride: [2, 1], padding: [1, 1], dilation: [1, 1], groups: 2 },
  { op: "affine", inputs: [1], shape: [4, 4, 6], label: "norm", factor: "f", offset: "o" },
  { op: "activation", inputs: [2], shape: [4, 4, 6], label: "relu", kind: "relu", parameters: [] },
  { op: "maxPool", inputs: [3], shape: [4, 2, 3], label: "pool", rows: [[0, 2], [2, 4]], columns: [[0, 2], [2, 4], [4, 6]] },
  { op: "reshape", inputs: [4], shape: [24], label: "flatten" },
  { op: "linear", inputs: [5], shape: [3], label: "fc", weight: "v", bias: "c" },
];
const weights = { w: random(4 * 9), b: random(4, 2), f: random(4, 3), o: random(4, 4), v: random(72, 5), c: random(3, 6) };
const network = new Network(nodes, (name) => weights[name]);
const values = network.run(random(84, 7));

test("the terms of every number add up to it, from products to what is shown", () => {
  for (let element = 0; element < values[1].length; element++) {
    const { groups, bias, total } = termsOf(network, values, 1, element);
    close(groups.reduce((sum, group) => sum + group.products.reduce((a, b) => a + b, 0), bias), values[1][element]);
    close(total, values[1][element]);
    const steps = stepsOf(network, values, { weighted: 1, node: 3 }, element);
    assert.deepEqual(steps.map(({ label }) => label), ["normalised", "relu"]);
    assert.equal(steps.at(-1).value, values[3][element]);
    const pooled = poolingOf(network, values, 3, element);
    assert.equal(pooled.result, Math.max(...pooled.window));
    assert.ok(pooled.window.includes(values[3][element]));
  }
  for (let unit = 0; unit < 3; unit++) {
    const { groups, total } = termsOf(network, values, 6, unit);
    assert.equal(groups.length, 24);
    close(total, values[6][unit]);
  }
});

test("an input of a linear layer is traced to the map and the place that it comes from", () => {
  for (let element = 0; element < 24; element++) {
    const { node, channel, row, column } = originOf(network, 5, element);
    assert.equal(node, 4);
    assert.equal(values[4][(channel * 2 + row) * 3 + column], values[5][element]);
  }
  assert.deepEqual(placeOf(nodes[4], 23), { channel: 3, row: 1, column: 2 });
});

test("nothing outside of the receptive field changes a number, and something inside does", () => {
  const image = random(84, 7);
  for (const [row, column] of [[0, 0], [1, 2], [1, 1]]) {
    const [top, bottom, left, right] = network.receptiveField(4, [row, row, column, column]);
    const within = (i) => { const y = Math.floor((i % 42) / 6), x = i % 6; return y >= top && y <= bottom && x >= left && x <= right; };
    const at = (map) => [0, 1, 2, 3].map((c) => map[4][(c * 2 + row) * 3 + column]).join();
    const changed = (choose) => at(network.run(image.map((value, i) => (choose(i) ? value + 3 : value))));
    assert.equal(changed((i) => !within(i)), at(values));
    assert.notEqual(changed(within), at(values));
  }
});

test("filters, orders and images marked by hand", () => {
  const labels = [0, 0, 1, 1, 2];
  const predictions = { predicted: [0, 1, 1, 0, 2], confidence: [0.9, 0.8, 0.7, 0.95, 0.5], loss: [0.1, 2, 0.4, 3, 0.7] };
  const found = (changes, sort = "number", among = null) => matching({ ...NO_FILTER, ...changes }, sort, predictions, labels, among);
  assert.deepEqual(found({}), [0, 1, 2, 3, 4]);
  assert.deepEqual(found({ kind: "misclassified" }, "confident"), [3, 1]);
  assert.deepEqual(found({ kind: "correct" }, "unsure"), [4, 2, 0]);
  assert.deepEqual(found({ label: 1 }, "loss"), [3, 2]);
  assert.deepEqual(found({ predicted: 1, from: 0.75 }), [1]);
  assert.deepEqual(found({ to: 0.8 }, "number", [4, 3, 1]), [1, 4]);
});

test("half-precision numbers, subnormal ones too", () => {
  assert.deepEqual([...fromHalf(new Uint16Array([0x3c00, 0xc000, 0x0001, 0x7bff, 0x0000]))], [1, -2, 2 ** -24, 65504, 0]);
});

test("probabilities never claim what is not", () => {
  assert.deepEqual([0, 1e-9, 0.0004, 0.001, 0.5, 0.9996, 1].map(percent), ["0.0 %", "<0.1 %", "<0.1 %", "0.1 %", "50.0 %", ">99.9 %", "100.0 %"]);
  assert.deepEqual([0, -0.5, 123.4, 0.00002].map(short), ["0", "−0.500", "123", "2.0e−5"]);
});

test("maps without negative values begin at 0, others have 0 in the middle", () => {
  assert.deepEqual((({ low, high }) => [low, high])(scaleOf([0, 2, 1])), [0, 2]);
  assert.deepEqual((({ low, high }) => [low, high])(scaleOf([-3, 2])), [-3, 3]);
});

test("any number of classes has as many colours", () => {
  assert.equal(new Set(Array.from({ length: 100 }, (_, c) => classColour(["red"], c, 100))).size, 100);
  assert.equal(classColour(["red", "blue"], 1, 2), "blue");
});

test("ink is found on any even ground, fitted and centred", () => {
  const width = 12;
  const picture = (ground, ink) => Float32Array.from({ length: 144 }, (_, i) => (Math.floor(i / width) > 1 && Math.floor(i / width) < 6 && i % width === 3 ? ink : ground));
  for (const [ground, ink] of [[255, 0], [0, 255], [40, 220], [200, 90]]) {
    const found = inkOf(picture(ground, ink), width);
    assert.equal(Math.max(...found), 255);
    assert.deepEqual(inkBox(found, width), { left: 3, top: 2, width: 1, height: 4 });
    const moved = shifted(found, width, ...towardsCentre(found, width));
    const { left, top } = inkBox(moved, width);
    assert.ok(Math.abs(left - 5.5) <= 0.5 && Math.abs(top + 1.5 - 5.5) <= 0.5);
  }
  assert.equal(inkOf(new Float32Array(144).fill(80), width), null);
  assert.deepEqual([...boxAverage([0, 2, 4, 6], 2, 2)], [3]);
  assert.deepEqual([...noisy([10, 20], 0)], [10, 20]);
});

test("the lasso, places on the map, and neighbours", () => {
  const square = [[0, 0], [4, 0], [4, 4], [0, 4]];
  assert.ok(inside(square, 1, 3));
  assert.ok(!inside(square, 5, 3));
  const place = placeOnAxes([3, 4], [0.1, 0.2], [1, 0, 0, 1]);
  close(place[0], 0.5);
  close(place[1], 0.6);
  assert.deepEqual([...featuresOf([1, 3, 5, 7], [2, 1, 2])], [2, 6]);
  // Two components of four images.
  const places = [1, 0.9, 0, -1, 0, 0.1, 1, 0];
  assert.deepEqual(nearestPlaces(places, [2, 0], 0, 2).map(([i]) => i), [1, 2]);
});

test("many changes are drawn once, and views that are out of sight wait", () => {
  const frames = [];
  globalThis.requestAnimationFrame = (draw) => frames.push(draw);
  const store = new Store({ a: 0, b: 0, open: false });
  const drawn = [];
  store.view(["a"], ({ a }) => drawn.push(`a${a}`));
  store.view(["b"], ({ b }) => drawn.push(`b${b}`), ({ open }) => open);
  store.draw();
  for (let i = 1; i <= 50; i++) store.set({ a: i, b: i });
  assert.equal(frames.length, 1);
  frames.pop()();
  assert.deepEqual(drawn, ["a0", "a50"]);
  store.set({ open: true });
  frames.pop()();
  assert.deepEqual(drawn, ["a0", "a50", "b50"]);
});

test("of many questions asked while one is answered, only the last is sent", async () => {
  const sent = [];
  globalThis.URL.createObjectURL ??= () => "";
  globalThis.Worker = class { postMessage(message) { sent.push(message); } };
  const engine = new Engine("", "");
  const answers = [1, 2, 3, 4].map((image) => engine.ask("run", { kind: "run", image }));
  const reply = () => engine.worker.onmessage({ data: { id: sent.at(-1).id, result: sent.at(-1).image } });
  reply();
  reply();
  assert.deepEqual(await Promise.all(answers), [1, null, null, 4]);
  assert.deepEqual(sent.filter(({ kind }) => kind).map(({ image }) => image), [1, 4]);
});

test("ticks are round and within the axis, also on logarithmic ones", () => {
  assert.deepEqual(ticksOf(0, 0.98, 5), [0, 0.2, 0.4, 0.6, 0.8]);
  assert.deepEqual(powersOf(0.003, 0.4), [0.005, 0.01, 0.02, 0.05, 0.1, 0.2]);
  assert.deepEqual(smooth([1, 1, 4, 1, 1], 3).map((value) => Number(value.toFixed(2))), [1, 2, 2, 2, 1]);
  assert.equal(valueAt({ x: [0, 10], y: [1, 2] }, 5), 1.5);
  assert.equal(valueAt({ x: [0, 10], y: [1, 2] }, 11), null);
});

test("48 runs are told apart by colour and dashes; seeds become one line with a band", () => {
  globalThis.document = { documentElement: { dataset: { theme: "light" } } };
  const seen = new Set(Array.from({ length: 48 }, (_, place) => JSON.stringify(styleOf(place))));
  delete globalThis.document;
  assert.equal(seen.size, 48);
  globalThis.document = { documentElement: { dataset: { theme: "light" } } };
  const runs = [0, 1].map((seed) => ({ name: "net", seed, group: "g", data: "d" }));
  const payload = { array: (name) => Float32Array.from(name.endsWith("iteration") ? [1, 2] : name.startsWith("0") ? [0.2, 0.4] : [0.4, 0.8]) };
  const state = { quantity: "test_accuracy", axis: "iteration", smoothing: 0, band: true, hidden: new Set() };
  const [line, ...rest] = linesOf({ runs, groups: ["g"], payload, store: { state } }, "d");
  delete globalThis.document;
  assert.equal(rest.length, 0);
  assert.equal(line.name, "net, 2 seeds");
  [0.3, 0.6].forEach((value, i) => close(line.y[i], value));
  [0.4, 0.8].forEach((value, i) => close(line.high[i], value));
});

test("no two modules give one name twice, so that they can be one script", () => {
  const names = readdirSync(folder).filter((name) => name.endsWith(".js")).flatMap((name) => {
    const text = readFileSync(new URL(name, folder), "utf8");
    return [...text.matchAll(/^(?:export )?(?:async )?(?:const|let|function|class) (\w+)/gm)].map((match) => match[1]);
  });
  assert.deepEqual(names.filter((name, i) => names.indexOf(name) !== i), []);
});

test("runs whose titles are long or alike go by letters", () => {
  assert.deepEqual(shortTitles(["mnist", "mnist-l2"]), ["mnist", "mnist-l2"]);
  assert.deepEqual(shortTitles(["mnist", "mnist"]), ["A", "B"]);
  assert.deepEqual(shortTitles(["cifar10[holdout=5000, epochs=4]", "cifar10"]), ["A", "B"]);
  assert.deepEqual(shortTitles(["cifar10[holdout=5000, epochs=4]"]), ["cifar10[holdout=5000, epochs=4]"]);
});
