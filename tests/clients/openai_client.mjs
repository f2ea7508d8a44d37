// OpenAI's client for Node.js: `openai_client.mjs BASE_URL`. Each step asks something that no other step asks.

import { createRequire } from "node:module";
import { Steps, each, same, whole } from "./steps.mjs";

// By `require`, which finds packages in NODE_PATH.
const { OpenAI } = createRequire(import.meta.url)("openai");

const MODEL = "gpt-4.1";
const WEATHER = {
  type: "object",
  properties: { location: { type: "string" }, unit: { type: "string" } },
  required: ["location", "unit"],
  additionalProperties: false,
};
const TOOLS = [
  { type: "function", function: { name: "get_weather", strict: true, parameters: WEATHER } },
  { type: "function", function: { name: "get_time", parameters: { type: "object", properties: {} } } },
];
const RESPONSES_TOOLS = [{ type: "function", name: "get_weather", strict: true, parameters: WEATHER }];
const PURCHASE = {
  type: "object",
  properties: { food: { type: "string" }, kilos: { type: "number" } },
  required: ["food", "kilos"],
  additionalProperties: false,
};

const steps = new Steps();
const client = new OpenAI({
  baseURL: `${process.argv[2]}/v1`,
  apiKey: "sk-test",
  organization: "org-abc",
  maxRetries: 0,
  timeout: 20_000,
  fetch: steps.fetch,
});

// What no client makes an error of its own of is a connection that breaks.
const take = (name, ask) => steps.take(name, ask, [OpenAI.APIError, TypeError]);
const user = (content) => [{ role: "user", content }];
const chat = (content, more) => client.chat.completions.create({ model: MODEL, messages: user(content), ...more });
const respond = (input, more) => client.responses.create({ model: "gpt-5-mini", input, ...more });

async function accumulated(content, more) {
  const options = { stream_options: { include_usage: true }, ...more };
  const stream = client.chat.completions.stream({ model: MODEL, messages: user(content), ...options });
  const chunks = await each(stream);
  return { chunks, final: await stream.finalChatCompletion() };
}

async function accumulatedResponse(input, more) {
  const stream = client.responses.stream({ model: "gpt-5-mini", input, ...more });
  const kinds = (await each(stream)).map((event) => event.type);
  return { kinds, final: await stream.finalResponse() };
}

async function embeddings(text, more) {
  return whole(await client.embeddings.create({ model: "text-embedding-3-small", input: [text, "Käse"], ...more }));
}

await take("chat", async () => whole(await chat("plain")));
await take("chat with parts", async () =>
  whole(await chat([{ type: "text", text: "plain" }], { temperature: 0.2, seed: 7 })));
await take("chat, raw response", async () => {
  const { data, response, request_id } = await chat("raw").withResponse();
  same(response.headers.get("cache-status"), steps.cache);
  return { ...whole(data), request_id };
});
await take("chat, choices", async () => whole(await chat("choices", { n: 2 })));
await take("chat, stream", () => each(chat("stream", { stream: true, stream_options: { include_usage: true } })));
await take("chat, stream of choices", () => each(chat("stream of choices", { n: 2, stream: true })));
await take("chat, raw stream", async () => {
  const { data, response } = await chat("raw stream", { stream: true }).withResponse();
  same(response.headers.get("cache-status"), steps.cache);
  return each(data);
});
await take("chat, accumulated", () => accumulated("accumulated"));
await take("chat, accumulated choices", () => accumulated("accumulated choices", { n: 2 }));
await take("tools", async () => whole(await chat("tools", { tools: TOOLS })));
await take("tools, stream", () => each(chat("tools stream", { tools: TOOLS, stream: true })));
await take("tools, accumulated", () => accumulated("tools accumulated", { tools: TOOLS }));
await take("schema", async () => {
  const response_format = { type: "json_schema", json_schema: { name: "purchase", strict: true, schema: PURCHASE } };
  const request = { model: MODEL, messages: user("schema"), response_format, logprobs: true, top_logprobs: 2 };
  return whole(await client.chat.completions.parse(request));
});
await take("completions", async () =>
  whole(await client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "plain" })));
await take("completions, stream", () =>
  each(client.completions.create({ model: "gpt-3.5-turbo-instruct", prompt: "stream", stream: true })));
await take("responses", async () => whole(await respond("plain")));
await take("responses, stream", () => each(respond("stream", { stream: true })));
await take("responses, accumulated", () => accumulatedResponse("accumulated"));
await take("responses, tools", async () => whole(await respond("tools", { tools: RESPONSES_TOOLS })));
await take("responses, tools accumulated", () => accumulatedResponse("tools accumulated", { tools: RESPONSES_TOOLS }));
// By default this client asks for base64, and makes numbers of it.
await take("embeddings", () => embeddings("default"));
await take("embeddings, floats", () => embeddings("floats", { encoding_format: "float" }));
await take("embeddings, base64", () => embeddings("base64", { encoding_format: "base64" }));
for (const status of [400, 401, 404, 429, 500]) {
  await take(`error ${status}`, async () => whole(await chat("hi", { model: `error-${status}` })));
}
await take("error 429 for a stream", () => each(respond("hi", { model: "error-429", stream: true })));
await take("error in a stream", () => each(chat("hi", { model: "error", stream: true })));
await take("broken stream", () => each(chat("hi", { model: "error-cut", stream: true })));
