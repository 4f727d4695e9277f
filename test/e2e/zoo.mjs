// Runs small decoders of models/zoo in ONNX Runtime: node zoo.mjs JOBS.json. JOBS is a list of {model, ids, chunk, out} and, where wanted,
// level (of graph optimization), encoder and features (its input's shape), inputs (one call, no cache). For each, the
// logits of `ids` in one call are written to `out` (float32, little endian, [ids, vocabulary]) and compared with those of chunked and of token-by-token
// calls. Prints one JSON line a job: {model, vocab, chunked, stepped} (largest differences) or {model, error}.
// onnxruntime-node is looked for in $ORT_NODE_DIR.
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';

const ort = createRequire(path.join(process.env.ORT_NODE_DIR || process.cwd(), 'package.json'))('onnxruntime-node');
const ARRAYS = { float32: Float32Array, int64: BigInt64Array, int32: Int32Array, bool: Uint8Array };

function integers(type, values, dims) {
  return new ort.Tensor(type, type === 'int64' ? BigInt64Array.from(values.map(BigInt)) : Int32Array.from(values), dims);
}

// The output that becomes the cache input `name` of the next call.
function successor(name) {
  if (name.startsWith('past_key_values.')) return name.replace('past_key_values', 'present');
  return name.startsWith('past_') ? name.replace('past_', 'present_') : 'updated_' + name;
}

// The state of one sequence: growing caches (past_* → present*) or fixed ones (*_cache.N → updated_*_cache.N). `fixed` holds inputs that stay.
class Sequence {
  constructor(session, fixed) {
    this.session = session;
    this.length = 0;
    this.fixed = fixed;
    this.ids = session.inputMetadata.find(m => m.name === 'input_ids').type;
    this.past = {};
    this.names = new Set(session.inputNames);
    for (const m of session.inputMetadata) {
      if (!/^past_|_cache\./.test(m.name) || fixed[m.name]) continue;
      const dims = m.shape.map((d, i) => typeof d === 'string' ? (i === 0 ? 1 : 0) : Number(d));
      this.past[m.name] = new ort.Tensor('float32', new Float32Array(dims.reduce((a, b) => a * b, 1)), dims);
    }
  }
  async step(ids) {
    const total = this.length + ids.length;
    const inputs = { ...this.past, ...this.fixed, input_ids: integers(this.ids, ids, [1, ids.length]) };
    if (this.names.has('attention_mask')) inputs.attention_mask = integers('int64', Array(total).fill(1), [1, total]);
    if (this.names.has('position_ids')) inputs.position_ids = integers('int64', ids.map((_, i) => this.length + i), [1, ids.length]);
    if (this.names.has('write_indices')) inputs.write_indices = integers('int64', [this.length], [1]);
    if (this.names.has('nonpad_kv_seqlen')) inputs.nonpad_kv_seqlen = integers('int64', [total], [1]);
    if (this.names.has('use_cache_branch')) inputs.use_cache_branch = new ort.Tensor('bool', Uint8Array.from([this.length > 0 ? 1 : 0]), [1]);
    const outputs = await this.session.run(inputs);
    for (const name of Object.keys(this.past)) {
      if (!(name.includes('.encoder.') && this.length > 0)) this.past[name] = outputs[successor(name)];   // a merged decoder gives those once
    }
    this.length = total;
    return outputs.logits;
  }
  async all(ids, chunk) {
    const rows = [];
    for (let i = 0; i < ids.length; i += chunk) rows.push((await this.step(ids.slice(i, i + chunk))).data);
    const result = new Float32Array(rows.reduce((n, r) => n + r.length, 0));
    let at = 0;
    for (const r of rows) { result.set(r, at); at += r.length; }
    return result;
  }
}

function largest(a, b) {
  let d = a.length === b.length ? 0 : Infinity;
  for (let i = 0; i < a.length; i++) d = Math.max(d, Number.isFinite(a[i]) ? Math.abs(a[i] - b[i]) : Infinity);
  return d;
}

async function open(model, level) {
  return ort.InferenceSession.create(model, { executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, logSeverityLevel: 4,
    graphOptimizationLevel: level ?? 'all' });
}

for (const job of JSON.parse(fs.readFileSync(process.argv[2]))) {
  try {
    const session = await open(job.model, job.level);
    const fixed = {};
    if (job.encoder) {
      const encoder = await open(job.encoder, job.level), shape = job.features;
      let seed = 7;
      const noise = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => (seed = (seed * 48271) % 2147483647) / 2147483647 * 2 - 1);
      const states = await encoder.run({ [encoder.inputNames[0]]: new ort.Tensor('float32', noise, shape) });
      for (const name of session.inputNames) {
        const from = name === 'encoder_hidden_states' ? 'last_hidden_state' : /^past_/.test(name) ? successor(name) : '';
        if (states[from]) fixed[name] = states[from];
      }
    }
    if (job.inputs) {   // no cache: one call, the first output
      const inputs = Object.fromEntries(Object.entries(job.inputs).map(([k, v]) => [k, integers('int64', v.flat(), [v.length, v[0].length])]));
      const outputs = await session.run(inputs), first = outputs[session.outputNames[0]];
      fs.writeFileSync(job.out, Buffer.from(first.data.buffer, first.data.byteOffset, first.data.byteLength));
      console.log(JSON.stringify({ model: job.model, shape: first.dims }));
      continue;
    }
    const whole = await new Sequence(session, fixed).all(job.ids, job.ids.length);
    const chunked = await new Sequence(session, fixed).all(job.ids, job.chunk);
    const stepped = await new Sequence(session, fixed).all(job.ids, 1);
    fs.writeFileSync(job.out, Buffer.from(whole.buffer));
    console.log(JSON.stringify({ model: job.model, vocab: whole.length / job.ids.length, chunked: largest(whole, chunked), stepped: largest(whole, stepped) }));
  } catch (error) {
    console.log(JSON.stringify({ model: job.model, error: String(error.message ?? error).slice(0, 600) }));
  }
}
