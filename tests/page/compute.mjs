// What the page computes, for tests in Python: reads a JSON list of cases, writes one of results.
//   case: {payload, image}, and {gradient: element of the last node} or {until: node}
import { readFileSync, writeFileSync } from "node:fs";
import { Network } from "../../hwkit/explorer/page/network.js";
import { Payload } from "../../hwkit/explorer/page/tensors.js";

const [, , source, target] = process.argv;
const results = [];
for (const { payload, image, element } of JSON.parse(readFileSync(source))) {
  const read = await Payload.decode(payload);
  const network = new Network(read.about.nodes, (name) => read.array(name));
  const values = network.run(Float32Array.from(image));
  const last = values.length - 1;
  const started = performance.now();
  network.run(Float32Array.from(image));
  const seconds = (performance.now() - started) / 1000;
  const plain = (arrays) => arrays.map((array) => array && [...array]);
  const gradients = values[last] ? plain(network.gradientsOf(values, last, element ?? 0)) : null;
  results.push({ values: plain(values), gradients, seconds, computable: network.computable });
}
writeFileSync(target, JSON.stringify(results));
