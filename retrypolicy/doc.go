// Package retrypolicy decides whether a failed call is tried again, when, and
// how often. It sends nothing itself: a [Policy] looks at one finished attempt
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
//	Accept       any other status; the caller's own cancellation or   never
//	             deadline; certificate and host name errors; a host
//	             that does not exist; a malformed request; a proxy
//	             that answers CONNECT with 407 or 403; a SOCKS proxy's
//	             refusal
//	Transient    408, 425, 500, 502, 503, 504; a lost connection, an  if the request
//	             attempt's timeout, any error that is not known       is idempotent
//	Unprocessed  connection refused, DNS failure, dial timeout, any   for every method
//	             other answer to CONNECT, TLS handshake not
//	             finished, HTTP/2 REFUSED_STREAM and GOAWAY above the
//	             last stream
//	Throttled    429; 503 and 403 with Retry-After                    for every method
//	                                                                  (503: if idempotent)
//
// Of a proxy's answer to CONNECT net/http leaves the words alone, as an errors.New.
// The standard ones (http.StatusText) are recognised for an https request, which is
// the only one for which a proxy is asked to connect; under [Do], which knows of no
// request, and in other words the answer is Transient.
//
// A request is idempotent (RFC 9110 §9.2.2) when its method is GET, HEAD,
// OPTIONS, TRACE, PUT, DELETE or QUERY, or when it has a header named
// Idempotency-Key or X-Idempotency-Key; a key whose value is an empty slice
// counts and, as in net/http, is not sent. A function under [Do] counts as
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
// [RetryAfter], and above for errors) the wait is never shorter than that: it is the larger
// of the two, and up to a tenth more so that the waiting callers do not come back together.
//
// # How often
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
