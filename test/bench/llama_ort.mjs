// ONNX Runtime's side of llama_native.py, on a model in onnxruntime-genai's style.
// Usage: node llama_ort.mjs MODEL.onnx THREADS   (package in $ORT_NODE_DIR). Lines on stdin and stdout as in llama_cpp.mjs; a step's time is the session's alone.
import { createRequire } from 'node:module';
import readline from 'node:readline';
import path from 'node:path';

const require = createRequire(path.join(process.env.ORT_NODE_DIR, 'package.json'));
const ort = require('onnxruntime-node');
const [model, threads] = process.argv.slice(2);
const session = await ort.InferenceSession.create(model, { graphOptimizationLevel: 'all', executionMode: 'sequential', intraOpNumThreads: Number(threads), interOpNumThreads: 1 });
const pastNames = session.inputNames.filter(name => name.startsWith('past_key_values'));
const shapes = Object.fromEntries(session.inputMetadata.map(m => [m.name, m.shape]));

console.log(JSON.stringify({ ready: true }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { prompt, generate } = JSON.parse(line);
  const past = {};
  for (const name of pastNames) {
    const [, heads, , size] = shapes[name];
    past[name] = new ort.Tensor('float32', new Float32Array(0), [1, heads, 0, size]);
  }
  let total = 0, prefill = 0, input = prompt;
  const ids = [], steps = [];
  for (let i = 0; i < generate; ++i) {
    total += input.length;
    const feeds = { input_ids: new ort.Tensor('int64', BigInt64Array.from(input, BigInt), [1, input.length]),
      attention_mask: new ort.Tensor('int64', new BigInt64Array(total).fill(1n), [1, total]), ...past };
    const start = performance.now();
    const out = await session.run(feeds);
    const seconds = (performance.now() - start) / 1000;
    if (i) steps.push(seconds); else prefill = seconds;
    const logits = out.logits.data, vocabulary = out.logits.dims[2], last = logits.length - vocabulary;
    let best = 0;
    for (let j = 1; j < vocabulary; ++j) if (logits[last + j] > logits[last + best]) best = j;
    ids.push(best);
    input = [best];
    for (const name of pastNames) past[name] = out[name.replace('past_key_values', 'present')];
  }
  console.log(JSON.stringify({ ids, prefill, steps }));
}
process.exit(0);
