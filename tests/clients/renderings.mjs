// Asks each question plainly and for a stream: `renderings.mjs BASE_URL COUNT`.
//
// The answer of a question is the same in both renderings, so what a client makes of both has to be. Half of the questions
// are asked plainly first.

import { createRequire } from "node:module";
import { Steps } from "./steps.mjs";

// By `require`, which finds packages in NODE_PATH.
const require = createRequire(import.meta.url);
const { OpenAI } = require("openai");
const { Anthropic } = require("@anthropic-ai/sdk");

const [url, count] = process.argv.slice(2);
const steps = new Steps();
const settings = { maxRetries: 0, timeout: 20_000, fetch: steps.fetch };
const gpt = new OpenAI({ baseURL: `${url}/v1`, apiKey: "sk-test", ...settings });
const claude = new Anthropic({ baseURL: url, apiKey: "sk-ant-test", ...settings });
const user = (content) => [{ role: "user", content }];

const apis = {
  chat(text, streams) {
    const request = { model: "gpt-4.1", messages: user(text) };
    if (!streams) return gpt.chat.completions.create(request);
    return gpt.chat.completions.stream({ ...request, stream_options: { include_usage: true } }).finalChatCompletion();
  },
  responses(text, streams) {
    const request = { model: "gpt-5-mini", input: text };
    return streams ? gpt.responses.stream(request).finalResponse() : gpt.responses.create(request);
  },
  messages(text, streams) {
    const request = { model: "claude-sonnet-5", max_tokens: 2048, messages: user(text) };
    return streams ? claude.messages.stream(request).finalMessage() : claude.messages.create(request);
  },
};

for (const [api, ask] of Object.entries(apis)) {
  for (let number = 0; number < Number(count); number += 1) {
    for (const order of [[false, true], [true, false]]) {
      const question = `${api} ${number} ${order[0]}`;
      const answers = [];
      for (const streams of order) answers.push([await ask(question, streams), steps.cache]);
      console.log(JSON.stringify({ question, answers }));
    }
  }
}
