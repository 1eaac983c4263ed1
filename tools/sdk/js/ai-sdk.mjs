// Chats of the AI SDK (`ai`) that their users come back to, without a store of streams beside the one
// that tokenlog keeps: to resume is to make the same call with the same key again, which is answered
// from the recording's start and followed to its end, and is paid once.
//
//   const chats = resumableChats(async (messages, headers) =>
//     streamText({ model, messages: await convertToModelMessages(messages), headers }));
//
//   POST /api/chat               →  chats.post(await request.json())
//   GET  /api/chat/{id}/stream   →  chats.get(id)      204: there is nothing to come back to
//
// In the browser nothing changes: useChat({ resume: true }), or Chat's resumeStream(). What a call is made
// of must not change between its repeats (the model, tools, system prompt): tokenlog refuses the key then.

/**
 * @param answer  makes the call: (messages, headers) → the result of streamText. The headers must reach
 *                tokenlog.
 * @param active  the chats that are being answered, by ID: { key, messages }. Any Map-like; one that
 *                several processes share (its methods may be asynchronous) lets any of them resume.
 */
export function resumableChats(answer, active = new Map()) {
  async function respond(id, chat) {
    const result = await answer(chat.messages, { 'Idempotency-Key': chat.key });
    return result.toUIMessageStreamResponse({
      originalMessages: chat.messages,
      generateMessageId: () => `${chat.key}-answer`, // the same at each repeat
      async onEnd({ isCancelled }) {
        // Who was cut off may come back; who has it all need not.
        if (!isCancelled && (await active.get(id))?.key === chat.key) await active.delete(id);
      },
    });
  }

  return {
    async post({ id, messages }) {
      const chat = { key: `${id}-${crypto.randomUUID()}`, messages };
      await active.set(id, chat);
      return respond(id, chat);
    },
    async get(id) {
      const chat = await active.get(id);
      return chat ? respond(id, chat) : new Response(null, { status: 204 });
    },
  };
}
