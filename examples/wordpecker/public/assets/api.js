/** Calls the backend; throws an Error with its message when it refuses or cannot be reached. */
export async function api(method, path, body) {
  let response;
  try {
    response = await fetch(`/api${path}`, {
      method,
      headers: body === undefined ? {} : { 'content-type': 'application/json' },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Error('No connection to the server. Try again.');
  }
  if (response.status === 204) return null;
  const answer = await response.json().catch(() => null);
  if (response.ok && answer?.success) return answer.data;
  const message = answer?.error?.message ?? `the server answered ${response.status}`;
  throw new Error(`${message[0].toUpperCase()}${message.slice(1)}.`);
}
