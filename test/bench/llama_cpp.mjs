// llama.cpp's side of llama_native.py, by node-llama-cpp's prebuilt library, one thread.
// Usage: node llama_cpp.mjs MODEL.gguf THREADS   (package in $LLAMA_NODE_DIR). Every line on stdin, {prompt: [ids], generate: N}, is answered by a line
// {ids, prefill: seconds, steps: [seconds a decode call]}; the cache is empty before each. Greedy; a step's time includes the choice of the id.
import { pathToFileURL } from 'node:url';
import readline from 'node:readline';
import path from 'node:path';

const [model, threads] = process.argv.slice(2);
const entry = path.join(process.env.LLAMA_NODE_DIR, 'node_modules/node-llama-cpp/dist/index.js');
const { getLlama } = await import(pathToFileURL(entry));
const llama = await getLlama({ gpu: false, build: 'never', logLevel: 'error', maxThreads: Number(threads), progressLogs: false });
const loaded = await llama.loadModel({ modelPath: model });
const context = await loaded.createContext({ contextSize: 1024, batchSize: 512, threads: { ideal: Number(threads), min: Number(threads) } });
const sequence = context.getSequence();

/** Evaluates ids and gives the best next one. */
async function evaluate(ids) {
  const start = performance.now();
  const out = await sequence.controlledEvaluate(ids.map((id, i) => (i + 1 < ids.length ? id : [id, { generateNext: { token: true, options: { temperature: 0 } } }])));
  return [out[ids.length - 1].next.token, (performance.now() - start) / 1000];
}

console.log(JSON.stringify({ ready: true }));
for await (const line of readline.createInterface({ input: process.stdin })) {
  const { prompt, generate } = JSON.parse(line);
  await sequence.clearHistory();
  let [token, prefill] = await evaluate(prompt);
  const ids = [token], steps = [];
  for (let i = 1; i < generate; ++i) {
    const [next, seconds] = await evaluate([token]);
    token = next;
    ids.push(token);
    steps.push(seconds);
  }
  console.log(JSON.stringify({ ids, prefill, steps }));
}
process.exit(0);
