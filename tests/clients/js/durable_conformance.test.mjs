// The protocol's own suite, without subscriptions; DURABLE_URL is a server whose long-polls wait 500 ms.
import { runConformanceTests } from "@durable-streams/server-conformance-tests";

runConformanceTests({
  baseUrl: process.env.DURABLE_URL,
  longPollTimeoutMs: 500,
  subscriptions: false,
});
