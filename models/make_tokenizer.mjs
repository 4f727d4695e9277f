// Derives Hugging Face's tokenizer.json of the Llama (sentencepiece, 32,000 pieces) tokenizer from the unpacked npm package
// llama-tokenizer-js. Usage: node make_tokenizer.mjs PACKAGE_DIR OUT.json
import { pathToFileURL } from 'node:url';
import { writeFileSync, renameSync } from 'node:fs';
import path from 'node:path';

const [packageDir, out] = process.argv.slice(2);
if (!out) {
  console.error('usage: make_tokenizer.mjs PACKAGE_DIR OUT.json');
  process.exit(2);
}
const { default: tokenizer } = await import(pathToFileURL(path.join(packageDir, 'llama-tokenizer.js')));
const pieces = tokenizer.vocabById;
const vocab = {};
pieces.forEach((piece, id) => { vocab[piece] = id; });
// The package keys its merges by "left right" and gives each a rank.
const merges = [...tokenizer.merges.entries()].sort((a, b) => a[1] - b[1]).map(([pair]) => pair);
const special = ['<unk>', '<s>', '</s>'].map((content) => ({
  id: vocab[content], content, special: true, single_word: false, lstrip: false, rstrip: false, normalized: false,
}));
const json = {
  version: '1.0',
  added_tokens: special,
  normalizer: { type: 'Sequence', normalizers: [
    { type: 'Prepend', prepend: '\u2581' }, { type: 'Replace', pattern: { String: ' ' }, content: '\u2581' }] },
  pre_tokenizer: null,
  decoder: { type: 'Sequence', decoders: [
    { type: 'Replace', pattern: { String: '\u2581' }, content: ' ' }, { type: 'ByteFallback' }, { type: 'Fuse' },
    { type: 'Strip', content: ' ', start: 1, stop: 0 }] },
  model: { type: 'BPE', unk_token: '<unk>', fuse_unk: true, byte_fallback: true, vocab, merges },
};
writeFileSync(out + '.part', JSON.stringify(json));
renameSync(out + '.part', out);
console.log(`${out}: ${pieces.length} pieces, ${merges.length} merges`);
