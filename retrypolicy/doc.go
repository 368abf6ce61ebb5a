// Package retrypolicy decides whether to retry a failed call, when, and how often, within
// the rate limit of a pacer if there is one. It sends nothing itself: a [Policy] looks at one finished attempt
// and answers with a [Decision]. [Do] is the loop around any function, and [Call] is Do with
// a pacer, a fallback and a word about each retry; pacedhttp.Retry is the loop around an
// http.RoundTripper. All ask the same [Policy.Next] after every attempt, so they retry alike.
//
// # What is retried
//
// A [Classifier] gives every attempt a [Verdict]. The default one,
// [DefaultClassifier], says:
//
//	verdict      what happened                                        retried
//	Accept       any other status; x-should-retry: false; the         never
//	             caller's own cancellation or deadline; certificate
//	             and host name errors; a host that does not exist; a
//	             malformed request; a proxy that answers CONNECT
//	             with 407 or 403; a SOCKS proxy's refusal
//	Transient    408, 425, 500, 502, 503, 504, 520 to 524; a lost     if the request
//	             connection, an attempt's timeout, any error that is  is idempotent
//	             not known
//	Unprocessed  connection refused, DNS failure, dial timeout, any   for every method
//	             other answer to CONNECT, TLS handshake not
//	             finished, HTTP/2 REFUSED_STREAM and GOAWAY above the
//	             last stream; 413 with Retry-After; any other status
//	             with x-should-retry: true
//	Throttled    429, 529; 503 and 403 that ask for a delay           for every method
//	                                                                  (503: if idempotent)
//
// Where the rules come from:
//
//   - 408, 500, 502, 503, 504: RFC 9110 §15, what may pass; 425: RFC 8470 §5.2; 429: RFC 6585 §4.
//   - 413: RFC 9110 §15.5.14, temporary if it has a Retry-After. The call waits for as long, and
//     a pacer does not: it is this request that is too large now.
//   - 403 that asks for a delay, by Retry-After or by a quota with nothing left: GitHub, "Rate
//     limits for the REST API". A 403 that asks for none is a refusal for good. 503 that asks for
//     a delay: RFC 9110 §10.2.3.
//   - 529: Anthropic's overloaded_error, "Errors". 520 to 524: Cloudflare, "5xx errors": its
//     server did not answer, or answered what could not be read, perhaps after it had acted.
//   - x-should-retry and stripe-should-retry, true or false, on 400 and more: what OpenAI and
//     Anthropic, and Stripe ("Low-level errors"), tell their own clients. It goes before the
//     status. true makes 429 and 529, and a 503 that asks for a delay, Throttled, the latter for
//     every method. If both are said, false counts.
//
// Whether a 403 or 503 asks for a delay, the header tells by [RetryAfter], or Config.ServerDelay
// where the policy has no Classifier of the program's own. What only the body tells, a
// Classifier sees by [Attempt.Peek].
//
// Of a proxy's answer to CONNECT net/http leaves the words alone, as an errors.New.
// The standard ones (http.StatusText) are recognised for an https request, which is
// the only one for which a proxy is asked to connect; under [Do], which knows of no
// request, and in other words the answer is Transient.
//
// A request is idempotent (RFC 9110 §9.2.2) when its method is GET, HEAD,
// OPTIONS, TRACE, PUT, DELETE or QUERY, or when it has a header named
// Idempotency-Key or X-Idempotency-Key; a key whose value is an empty slice
// counts and, as in net/http, is not sent. A request that writes (any method but GET, HEAD,
// OPTIONS, TRACE and QUERY) under a precondition (RFC 9110 §13.1) is not: what its first
// sending wrote makes the second fail, with a 412. A function under [Do] counts as
// idempotent: handing it to Do says that it may run again.
//
// Three methods let another layer say what only it knows. They are looked for on
// every error of the chain:
//
//   - Retryable() bool answering false makes the failure final. No Classifier
//     can override it. [Permanent] makes such an error; answering true says nothing.
//   - Unprocessed() bool answering true says that nothing was sent, so
//     [DefaultClassifier] answers [Unprocessed]. Some errors need this: when the
//     server hangs up, net/http returns the same io.EOF during the TLS handshake
//     and after the request was written, and only the transport's caller can know
//     (through net/http/httptrace) which one it was.
//   - RetryAfter() time.Duration, under [Do], says how long the service wants to be left
//     alone: it is what the Retry-After header is to a response. The longest counts; zero and
//     less say nothing. Where a Classifier would say [Transient] the failure is [Throttled],
//     so that Call.Pacer holds back everybody.
//
// # When
//
// A [Backoff] gives the delay; by default a uniform draw from zero to a ceiling
// that starts at 100 ms and doubles up to 10 s. When the server names a delay (see
// [Policy.RetryAfter], and above for errors) the wait is never shorter than that: it is the
// larger of the two, and up to a tenth more so that the waiting callers do not come back
// together. When it throttles and names none, or one of zero, Config.ThrottleBackoff gives the
// delay: by default 1 s, 2 s, 4 s and so on, up to a minute. Where a pacer has taken over
// ([Attempt].Paced) there is no delay here: the next attempt waits in the pacer's queue.
//
// # How often
//
// Throttled attempts count like all others towards Config.MaxAttempts: by default a server that
// refuses without a delay ends a call after 1 + 2 + 4 s.
//
// Every limit of [Config] can end a call, and a wait that cannot succeed is never
// begun: when the delay would outlive the context's deadline or
// Config.MaxElapsed, or the server asks for more than Config.MaxRetryAfter, the
// call ends at once with the failure it has. A [Budget], shared between all callers
// of a service, keeps retries a fraction of the calls while that service is down.
//
// # How it ends
//
// A failed call ends with an [*Error]: the number of attempts, the [Reason] no
// further one was made, and the last attempt's error, which errors.Is and errors.As
// reach. [WithPolicy] and [WithoutRetry] change the policy for one call.
//
// Layers that retry multiply: four attempts around four attempts are sixteen
// sends. Where two layers retry, give the inner one [WithoutRetry].
package retrypolicy
