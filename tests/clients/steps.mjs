// What a client is told, step by step, as lines of JSON.

export class Steps {
  cache = null;

  /** For a client's `fetch`: hears what the cache says of each response. */
  fetch = async (url, init) => {
    const response = await fetch(url, init);
    this.cache = response.headers.get("cache-status");
    return response;
  };

  /** Runs one step. An error that the client raises, of one of these classes, is its outcome. */
  async take(name, ask, classes) {
    this.cache = null;
    let outcome;
    try {
      outcome = { object: await ask() };
    } catch (error) {
      if (!classes.some((one) => error instanceof one)) throw error;
      outcome = { error: described(error) };
    }
    console.log(JSON.stringify({ step: name, cache: this.cache, ...outcome }));
  }
}

function described(error) {
  const bases = [];
  for (let base = error.constructor; base.name; base = Object.getPrototypeOf(base)) bases.push(base.name);
  const { status, code, type, param, message } = error;
  const body = error.error ?? null;
  const retry_after = error.headers?.get("retry-after") ?? null;
  return { class: error.constructor.name, bases, status, code, type, param, message, body, retry_after };
}

/** Everything in an object of the client's, and the request's id, which is beside it. */
export const whole = (answer) => ({ request_id: answer._request_id ?? null, ...answer });

/** All that an asynchronous stream gives. */
export async function each(stream) {
  const chunks = [];
  for await (const chunk of await stream) chunks.push(chunk);
  return chunks;
}

export function same(one, other) {
  if (one !== other) throw new Error(`${one} is not ${other}`);
}
