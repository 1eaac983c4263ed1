/* cloudflare — the calls of Cloudflare's AI Gateway, so that its clients work with only the host changed.
 * Each is taken out of its wrapping and goes on as the call that it holds: to a provider's own path
 * (native.h), or to one of ours (/v1/…). See cloudflare_path.h for the paths, cloudflare_fields.h for the
 * header fields.
 *
 *   universal   the calls of the array one after the other, until one of them is answered well: each is a
 *               stream of its own; cf-aig-step says which it was
 *   resume      200 and the recorded bytes behind as many "\n\n" as the caller has seen (blank_lines.h),
 *               followed while they grow; none past the end · 404 {"error":"Request not found"} unknown,
 *               another project's, or gone · 500 with code 2002: no run's ID
 *
 * Unlike there, a streamed answer of any of these paths can be resumed, for as long as its recording is
 * kept. Answers are the provider's own; what is not streamed is not wrapped in {"result": …}.
 *
 *   thread  loop */
#ifndef TOKENLOG_SERVER_API_CLOUDFLARE_H
#define TOKENLOG_SERVER_API_CLOUDFLARE_H

#include "server/api/api.h"

/* cloudflare_serves — whether the path is one of these, as far as that can be said without a body.
 * cloudflare_handle — answers the exchange, now or later; false: it is no such call. Ours and providers'
 * paths come first: asked only for what nobody else takes.
 * cloudflare_admit — how errors at the gate look, for a path that can be nothing else. */
bool cloudflare_serves(struct api *api, struct slice path);
bool cloudflare_handle(struct api *api, struct exchange *exchange);
void cloudflare_admit(struct api *api, struct exchange *exchange);

/* cloudflare_resume — GET …/run/{run}/resume?from=N. In cloudflare_resume.c. */
void cloudflare_resume(struct api *api, struct exchange *exchange, struct slice run);

#endif
