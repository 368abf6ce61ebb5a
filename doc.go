// Package pacedhttp is rate limiting and retry for HTTP clients: it sends requests no faster
// than a quota allows, retries included. It is middleware, a chain of http.RoundTrippers
// around any base transport, for an http.Client of your own or for one that you hand to an SDK.
// It obeys Retry-After, and reads the rate limit headers of a response.
//
//	policy := retrypolicy.Must(retrypolicy.Config{MaxAttempts: 4, AttemptTimeout: 5 * time.Second})
//	quota := pacer.Burst(5, time.Second)
//
//	client := pacedhttp.New(nil,
//		pacedhttp.Retry(policy),
//		pacedhttp.Pace(quota),
//	).Client()
//
// # Why the order matters
//
// [Pace] below [Retry] makes every attempt take a slot of the same pacer: the first
// send, each retry, whatever a caller does. The quota holds always, and so it holds
// during an outage, when retries come in masses. Pace above Retry takes one slot per
// call, and then each slot may send as many requests as the policy has attempts,
// exactly when the server can bear it least.
//
// The order is that in which the middlewares are listed, outermost first:
//
//	http.Client
//	 └ Observe, Log    are told what the layers below do
//	    └ Fallback     answers a call that has failed for good
//	       └ Retry     sends again: decides, waits, replays the body
//	          └ Pace   waits for a slot, before every attempt
//	             └ Prepare   signs what is about to be sent
//	                └ base   the http.RoundTripper that sends
//
// Leave out what you do not need. A middleware of your own goes where it belongs:
// outside of Retry it sees calls, below it attempts.
//
// # What an API limits
//
// A pacer holds to requests per period, costs per period such as tokens a minute, buckets
// and requests in flight, all at once and in one queue. [Cost] says before a request what it
// may cost, [Settle] after it what it did; [Pace] tells the pacer how it went, and that it is
// over when its body has been read or closed. No limit is exceeded at the costs that are known
// when a request starts, retries included.
//
// Several quotas: per host, per tenant or per token, each for itself, is [PaceBy]. One within
// another, the host's within the account's, or shares of one, people before batch, is one Pace
// of a pacer that has a Parent, or PaceBy of such children: a request takes its slots of all at one moment. Two Pace
// layers are two waits, where the first slot is spent during the second; they are for quotas that
// cross, per user and per model, and the one that is waited for most goes first.
//
// # What is documented where
//
//   - How chains are put together: [New], [WrapClient], [Transport]; what in their order
//     cannot be meant: [Transport.Check].
//   - What is retried, when and how often: package retrypolicy. What becomes of
//     bodies and responses meanwhile, and what the caller gets: [Retry].
//   - How fast a quota lets requests start: package pacer. What happens when a
//     server says "too many requests": [Pace]. A quota per host or token: [PaceBy]. Slots of one's own: [Acquirer].
//   - What to do when nothing helps: [Fallback], [StaticResponse].
//   - What must be fresh in every attempt, and whom it is shown: [Prepare].
//   - What holds callers back, and that they are told: [Pace], [Hooks], package pacer.
//   - What happened: [Observe], [Log], and [AttemptFromContext] for layers below
//     Retry. Spans and metrics: package otelpacedhttp.
//
// # What every layer keeps to
//
// The contract of [http.RoundTripper], to the letter: the caller's request is not
// modified, its body is closed on every path, a context that is done sends nothing
// more, and the result is a response or an error, never both. The body of a 101
// response stays an io.Writer, and trailers arrive.
//
// Besides: a body in memory that has GetBody is handed on as it is; a delivered response
// keeps no buffer of its request, and the context of its Request lives as long as the
// caller's; [http.Request].Cancel ends waits as the context does; a panic of a hook, a
// Classifier, a Backoff, a Waiter or a layer of yours passes through and leaves nothing
// open.
//
// Transports and middlewares are safe for concurrent use and share nothing but what
// they are given: one pacer in two chains is one quota, one
// [retrypolicy.Budget] in two policies one budget. No layer starts a goroutine that
// outlives the call but those that wait for a Read or Close of the request's body that
// blocks.
//
// # Errors
//
// Errors stay what they were, so that an SDK above finds what it asks for:
//
//	one attempt                 the very error that the base transport returned, or that of
//	                            GetBody if it was to be sent again
//	the context ended the call  the context's Err or, if its Cause is another, an error that
//	                            matches both, and what the last attempt failed with
//	several attempts            a [*retrypolicy.Error]
//	the pacer refused           a [*PaceError]: nothing was sent
//
// Where a deadline, and no cancellation, ends a call that waits to send again, the response
// that it would have retried is delivered instead, if it was short enough to be kept.
//
// The latter two are net.Errors and hold no secrets of URLs and headers; the base's own error
// is handed on as it is. Through http.Client all come inside a *url.Error. When
// http.Client.Timeout strikes, the client replaces the error by one of its own that
// unwraps to nothing: use a context's deadline where that matters.
//
// A failure that is a response, a 503 say, is delivered as one, with a nil error, as
// without this package.
package pacedhttp
