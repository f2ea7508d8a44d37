// Anthropic's client for Node.js: `anthropic_client.mjs BASE_URL`. Each step asks something that no other step asks.

import { createRequire } from "node:module";
import { Steps, each, same, whole } from "./steps.mjs";

// By `require`, which finds packages in NODE_PATH.
const { Anthropic } = createRequire(import.meta.url)("@anthropic-ai/sdk");

const TOOLS = [
  { name: "get_weather", input_schema: { type: "object", properties: { location: { type: "string" } } } },
  { name: "get_time", input_schema: { type: "object", properties: {} } },
];
const THINKING = { type: "adaptive" };

const steps = new Steps();
const client = new Anthropic({
  baseURL: process.argv[2],
  apiKey: "sk-ant-test",
  maxRetries: 0,
  timeout: 20_000,
  fetch: steps.fetch,
});

// What no client makes an error of its own of is a connection that breaks.
const take = (name, ask) => steps.take(name, ask, [Anthropic.APIError, TypeError]);
const request = (content, more) => ({
  model: "claude-sonnet-5",
  max_tokens: 2048,
  messages: [{ role: "user", content }],
  ...more,
});
const create = (content, more) => client.messages.create(request(content, more));

async function accumulated(content, more) {
  const stream = client.messages.stream(request(content, more));
  const { response, request_id } = await stream.withResponse();
  same(response.headers.get("cache-status"), steps.cache);
  return { events: await each(stream), request_id, final: await stream.finalMessage() };
}

await take("message", async () => whole(await create("plain")));
await take("message with parts", async () =>
  whole(await create([{ type: "text", text: "plain" }], { system: "Short.", temperature: 0.2 })));
await take("message, raw response", async () => {
  const { data, response, request_id } = await create("raw").withResponse();
  same(response.headers.get("cache-status"), steps.cache);
  return { ...whole(data), request_id };
});
await take("stream", () => each(create("stream", { stream: true })));
await take("raw stream", async () => {
  const { data, response } = await create("raw stream", { stream: true }).withResponse();
  same(response.headers.get("cache-status"), steps.cache);
  return each(data);
});
await take("accumulated", () => accumulated("accumulated"));
await take("tools", async () => whole(await create("tools", { tools: TOOLS })));
await take("tools, stream", () => each(create("tools stream", { tools: TOOLS, stream: true })));
await take("tools, accumulated", () => accumulated("tools accumulated", { tools: TOOLS }));
await take("thinking", async () => whole(await create("thinking", { thinking: THINKING })));
await take("thinking, stream", () => each(create("thinking stream", { thinking: THINKING, stream: true })));
await take("thinking, accumulated", () => accumulated("thinking accumulated", { thinking: THINKING }));
for (const status of [400, 401, 404, 429, 500, 529]) {
  await take(`error ${status}`, async () => whole(await create("hi", { model: `error-${status}` })));
}
await take("error 529 for a stream", () => each(create("hi", { model: "error-529", stream: true })));
await take("error in a stream", () => each(create("hi", { model: "error", stream: true })));
await take("broken stream", () => each(create("hi", { model: "error-cut", stream: true })));
