"""AWS Signature Version 4 as its documentation tells it: what a request's Authorization must be.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

import hashlib
import hmac
import urllib.parse


def sign(secret, region, service, method, path, query, headers, signed, body):
    """The signature; `headers` by lower-case names, `signed` the list of those that are signed."""
    canonical = "\n".join([
        method,
        urllib.parse.quote(path, safe="/~"),  # of the path as it is sent: encoded once more
        "&".join("=".join(pair) for pair in sorted(
            (name, value) for name, _, value in
            (part.partition("=") for part in query.split("&") if part))),
        *(f"{name}:{' '.join(headers[name].split())}" for name in signed),
        "",
        ";".join(signed),
        hashlib.sha256(body).hexdigest(),
    ])
    date = headers["x-amz-date"]
    scope = f"{date[:8]}/{region}/{service}/aws4_request"
    text = "\n".join(["AWS4-HMAC-SHA256", date, scope,
                      hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in (date[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
