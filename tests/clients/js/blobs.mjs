// blobs.mjs BYTES URL… — files up and down, and a transcription, by the official client at each address;
// what it got, as JSON.
import { createHash } from "node:crypto";
import OpenAI, { toFile } from "openai";

async function visit(url, size) {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "k", maxRetries: 0 });
  const bytes = Buffer.alloc(size);
  for (let i = 0; i < size; i++) bytes[i] = 7 * i + Math.floor(i / 253);
  const file = await client.files.create({
    file: await toFile(bytes, "a.bin"), purpose: "user_data" });
  const text = await client.audio.transcriptions.create({
    file: await toFile(bytes, "a.mp3"), model: "mock", language: "is" }); // the file goes first
  const content = await client.files.content(`bytes-${size}`);
  const back = createHash("sha256").update(Buffer.from(await content.arrayBuffer())).digest("hex");
  return { file: { bytes: file.bytes, sha256: file.sha256 }, text: text.text, back };
}

const [size, ...urls] = process.argv.slice(2);
const results = [];
for (const url of urls) results.push(await visit(url, Number(size)));
console.log(JSON.stringify(results));
