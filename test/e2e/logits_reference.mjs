// Logits of a decoder by ONNX Runtime, the reference of quality.py: windows of ids, each from an empty cache.
// Usage: node logits_reference.mjs MODEL.onnx OUT.f32 < WINDOWS.json
// WINDOWS.json: a list of lists of ids. OUT.f32: float32, little endian, [all ids of all windows, vocabulary]. onnxruntime-node is looked for in
// $ORT_NODE_DIR, then in the current folder.
import { createRequire } from 'node:module';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import path from 'node:path';

const require = createRequire(path.join(process.env.ORT_NODE_DIR || process.cwd(), 'package.json'));
const ort = require('onnxruntime-node');

const [model, out] = process.argv.slice(2);
const windows = JSON.parse(readFileSync(0, 'utf8'));
const session = await ort.InferenceSession.create(model, { intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 3 });
const file = openSync(out, 'w');
for (const ids of windows) {
  const int64 = (values) => new ort.Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
  const feeds = {};
  for (const { name, shape } of session.inputMetadata) {
    if (name === 'input_ids') feeds[name] = int64(ids);
    else if (name === 'attention_mask') feeds[name] = int64(ids.map(() => 1));
    else if (name === 'position_ids') feeds[name] = int64(ids.map((_, i) => i));
    else if (name.startsWith('past_key_values')) feeds[name] = new ort.Tensor('float32', new Float32Array(0), [1, Number(shape[1]), 0, Number(shape[3])]);
    else throw new Error(`input ${name} is not known`);
  }
  const { logits } = await session.run(feeds, ['logits']);
  writeSync(file, Buffer.from(logits.data.buffer, logits.data.byteOffset, logits.data.byteLength));
}
closeSync(file);
