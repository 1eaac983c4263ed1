// The plainest gateway: each piece of the provider's response is passed on as it comes, nothing is kept.
import { ask, begin, serve } from "./house.mjs";

serve(async (request, response) => {
  const answer = await ask(request);
  begin(response, answer);
  response.on("close", () => answer.destroy());
  answer.pipe(response);
});
